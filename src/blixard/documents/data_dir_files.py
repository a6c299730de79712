# SPDX-License-Identifier: MIT
"""The names of all that a node has in its data directory, written once. Standard library only: every host reads it."""

from __future__ import annotations

from typing import NamedTuple

KEY_FILE_NAME = "iroh-secret-key"
NEXT_KEY_FILE_NAME = f"{KEY_FILE_NAME}.next"
NEW_KEY_FILE_NAME = f"{KEY_FILE_NAME}.new"
REGISTRY_FILE_NAME = "node-registry.json"
PEERS_FILE_NAME = "discovery-peers.json"
SIGNATURE_SUFFIX = ".sig"
SEEN_FILE_NAME = "seen-signatures.json"
SNAPSHOTS_FOLDER_NAME = "remembered-peers"
JOIN_FOLDER_NAME = "registry.d"
PID_FILE_NAME = "agent.pid"
LOG_FILE_NAME = "agent.log"
SOCKET_NAME = "agent.sock"
RAFT_FOLDER_NAME = "raft"
ETCD_FILE_NAMES = {"password": "etcd-password", "ca": "etcd-ca.pem", "cert": "etcd-cert.pem", "key": "etcd-key.pem"}


class Kept(NamedTuple):
    """One of these names.

    Attributes:
        name: of the file, in the data directory.
        kind: `file`, `socket` or `folder`.
        content: `key`, `json`, or `any` where nothing can be said of it; in a folder, that of its files.
        by_node: the node alone writes it. All else is put there by whoever manages the host.
        inside: for a folder, a regular expression of the names of its files.
    """

    name: str
    kind: str = "file"
    content: str = "json"
    by_node: bool = False
    inside: str = ""


KEPT = (
    Kept(PEERS_FILE_NAME),
    Kept(PEERS_FILE_NAME + SIGNATURE_SUFFIX),
    Kept(JOIN_FOLDER_NAME, kind="folder", inside=r".+\.json"),
    *(Kept(name, content="any") for name in ETCD_FILE_NAMES.values()),
    Kept(REGISTRY_FILE_NAME, by_node=True),
    Kept(SEEN_FILE_NAME, by_node=True),
    Kept(SNAPSHOTS_FOLDER_NAME, kind="folder", content="any", by_node=True, inside="[0-9a-f]{32}"),
    Kept(
        RAFT_FOLDER_NAME,
        kind="folder",
        content="any",
        by_node=True,
        inside=r"(?:identity|vote|snapshot)\.json|journal",
    ),
    Kept(LOG_FILE_NAME, content="any", by_node=True),
    Kept(PID_FILE_NAME, content="any", by_node=True),
    Kept(SOCKET_NAME, kind="socket", content="any", by_node=True),
    Kept(NEW_KEY_FILE_NAME, content="key", by_node=True),
    Kept(NEXT_KEY_FILE_NAME, content="key", by_node=True),
    Kept(KEY_FILE_NAME, content="key", by_node=True),
)
"""All that a node has there, its key last: whoever gives it all to another account is done when the key is given."""


def paths(data_dir: str) -> dict[str, str]:
    """Return the paths in a data directory that whoever manages the host reads or writes there, by what they are."""
    names = {
        "key": KEY_FILE_NAME,
        "peers": PEERS_FILE_NAME,
        "signature": PEERS_FILE_NAME + SIGNATURE_SUFFIX,
        "registry": REGISTRY_FILE_NAME,
        "join": JOIN_FOLDER_NAME,
    }
    return {what: f"{data_dir}/{name}" for what, name in names.items()}


def left_behind(data_dir: str, *, ours: bool) -> list[str]:
    """Return the path of all that a node leaves in its data directory, its key first.

    Args:
        data_dir: the data directory.
        ours: the node is ours. Otherwise only what was put there for it is listed.
    """
    kept = [each.name for each in reversed(KEPT) if ours or not each.by_node or each.name == REGISTRY_FILE_NAME]
    return [f"{data_dir}/{name}" for name in kept]
