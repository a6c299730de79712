# SPDX-License-Identifier: MIT
"""What a file is like, and what has to be done on a host where its files are not as they are to be.

Standard library only: every host runs `observe`, and the controller compares what it found.
"""

from __future__ import annotations

import grp
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from blixard.documents.account import user_name as user_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Nothing that is compared is larger; a file that somebody else put there must not cost minutes to read.
MAX_DIGEST_BYTES = 64 * 1024 * 1024

_KINDS = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))

KEY_FOLDER_MODE = "0700"


def observe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what stands at `path`, without following a link there, and without waiting for anything.

    Returns:
        `{"kind": "absent"}`, or `kind` (`file`, `directory`, `link`, `other`), `mode` (four octal digits),
        `owner`, `group` (names, or numbers as text where there is no name), `mtime` (Unix seconds) and
        `sha256` (hex; null for what is no file, cannot be read or is over 64 MiB).
    """
    try:
        status = os.lstat(path)
    except OSError:
        return {"kind": "absent"}
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "other")
    return {
        "kind": kind,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "owner": user_name(status.st_uid),
        "group": group_name(status.st_gid),
        "mtime": status.st_mtime,
        "sha256": _digest(path) if kind == "file" and status.st_size <= MAX_DIGEST_BYTES else None,
    }


def _digest(path: str | os.PathLike[str]) -> str | None:
    """Digest a regular file of at most `MAX_DIGEST_BYTES`, whatever has taken its name or become of it since."""
    digest = hashlib.sha256()
    left = MAX_DIGEST_BYTES
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            while block := os.read(descriptor, 1 << 20):
                left -= len(block)
                if left < 0:
                    return None
                digest.update(block)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return digest.hexdigest()


def group_name(number: int) -> str:
    """Return the name of a group, or its number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def differs(seen: Mapping[str, Any], **wanted: object) -> bool:
    """Return whether a file seen by `observe` is anything but what is wanted; wanted None means any."""
    return seen.get("kind") != "file" or any(
        value is not None and seen.get(name) != value for name, value in wanted.items()
    )


def pending(look: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]], newer: Sequence[str] = ()) -> list[str]:
    """Return the reasons to work on the host, for people; empty where everything is as wanted.

    A restart that an interrupted run left undone is found again, since everything here is read from the host:
    the running node is compared with the files, not with what this run changed.

    Args:
        look: what iroh_node_info returned for the host.
        wanted: files as they are to be, by name: `sha256`, `mode`, `owner`, `group`, `expected`, or `kind` for
            what is no file; null is for any. `config` is the settings that the node must run with.
        newer: names of files that the running node must not be older than, such as its unit and its runtime.
    """
    files = look["files"]
    unlike = [files[name] for name, want in wanted.items() if _unlike(files[name], want)]
    reasons = [f"{file['path']} is {'missing' if file['kind'] == 'absent' else 'not as wanted'}" for file in unlike]
    agent = look["agent"]
    if agent["state"] != "running":
        return [*reasons, f"the node is {agent['state']}"]
    if agent["config_sha256"] != wanted["config"]["sha256"]:
        reasons.append("the node runs with other settings")
    if agent["version"] != look["version"]:
        reasons.append(f"the node runs version {agent['version']}, installed is {look['version']}")
    late = [files[name] for name in newer if files[name].get("mtime", 0) > agent["started"]]
    return reasons + [f"the node is older than {file['path']}" for file in late]


def _unlike(seen: Mapping[str, Any], want: Mapping[str, Any]) -> bool:
    return bool(seen["kind"] != want["kind"]) if "kind" in want else differs(seen, **want)


def has_key(look: Mapping[str, Any], owner: str | None, group: str | None) -> bool:
    """Tell whether there is a key, and it and its directory are the node's alone.

    Args:
        look: what iroh_node_info returned for the host.
        owner: the account that both are to belong to; None for whatever they belong to.
        group: its group, likewise.
    """
    key, data_dir = look["key"], look["files"]["data_dir"]
    if key["state"] != "present" or data_dir["mode"] != KEY_FOLDER_MODE:
        return False
    wanted = {what: name for what, name in (("owner", owner), ("group", group)) if name is not None}
    return all(each[what] == name for each in (key, data_dir) for what, name in wanted.items())


def has_peers(look: Mapping[str, Any], peers: Mapping[str, Any], signature: Mapping[str, Any]) -> bool:
    """Tell whether the host has the fleet's peers file, and its signature where there is one.

    Args:
        look: what iroh_node_info returned for the host.
        peers: `sha256` of the peers file on the controller.
        signature: `sha256` of the signature, null or missing where the fleet does not sign.
    """
    files, sha256 = look["files"], signature.get("sha256")
    return files["peers"].get("sha256") == peers["sha256"] and sha256 in (None, files["signature"].get("sha256"))
