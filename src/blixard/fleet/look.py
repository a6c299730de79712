# SPDX-License-Identifier: MIT
"""A host as iroh_node_info sees it: its entry, key, node and files. Read only, and cheap where a node runs."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blixard
from blixard.agent.client import SOCKET_NAME, AgentError, AgentNotRunning, ask
from blixard.fleet.observe import group_name, observe, user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_FILE_NAME = "iroh-secret-key"
"""The same as in `blixard.trust.keys`, whose import costs more than the rest of this file; a test compares."""

INFO_TIMEOUT = 5.0


def look(
    data_dir: Path, *, config: bytes | None, paths: Mapping[str, str], expected: Mapping[str, str], min_seq: int = 0
) -> dict[str, Any]:
    """Return what is on this host; nothing is written.

    Args:
        data_dir: the node's data directory.
        config: its settings as they are to be, in the form of node-config.json.
        paths: files to describe, see `blixard.fleet.observe`, under names of the caller's.
        expected: digests that some of these files are to have; such a file also says whether it is `expected`.
        min_seq: the number of the entry that is recorded. What a run which broke off recorded may be newer than the
            running node, and was then taken back: the node's key signs anew what is so now.

    Returns:
        `entry` (the node's registry entry or null) with `entry_source` (`agent`, `key`, `registry` or null),
        `config_sha256` of `config` or null, `key` (`path`, `state`, and its `owner` and `group`), `agent` (`state`,
        and when it runs what it says of itself and when it was `started`), `files` by name, `host` (`systemd`, `uid`)
        and the installed `version`.

    Raises:
        InputError: settings, key or registry file that cannot be used.
    """
    agent = _agent(data_dir)
    key = _key(data_dir / KEY_FILE_NAME)
    digest = None if config is None else hashlib.sha256(config).hexdigest()
    own_word = agent.pop("entry", None)
    as_wanted = agent["state"] == "running" and digest in (None, agent["config_sha256"])
    counts = as_wanted and (config is None or _seq(own_word) >= min_seq)
    entry, source = (own_word, "agent") if counts else _entry(data_dir, config, agent, key)
    return {
        "entry": entry,
        "entry_source": source,
        "config_sha256": digest,
        "key": key,
        "agent": agent,
        "files": {name: _describe(path, expected.get(name)) for name, path in paths.items()},
        "host": {"systemd": Path("/run/systemd/system").is_dir(), "uid": os.getuid()},
        "version": blixard.__version__,
    }


def _seq(entry: Mapping[str, Any] | None) -> int:
    return int(((entry or {}).get("attestation") or {}).get("seq", 0))


def _key(path: Path) -> dict[str, str]:
    """Say whether the key is there and whose it is; nothing about what is in it, not even a digest."""
    try:
        status = path.lstat()
    except OSError:
        return {"path": str(path), "state": "absent"}
    owners = {"owner": user_name(status.st_uid), "group": group_name(status.st_gid)}
    return {"path": str(path), "state": "present", **owners}


def _describe(path: str, expected: str | None) -> dict[str, Any]:
    seen = {"path": path, **observe(Path(path))}
    return seen if expected is None else {**seen, "expected": seen.get("sha256") == expected}


def _agent(data_dir: Path) -> dict[str, Any]:
    try:
        info = dict(ask(data_dir, "info", timeout=INFO_TIMEOUT))
    except AgentNotRunning:
        return {"state": "not running"}
    except AgentError as error:
        return {"state": "not answering", "error": str(error)}
    started = observe(data_dir / SOCKET_NAME).get("mtime", 0.0)
    return {**info, "state": "running", "started": started}


def _entry(
    data_dir: Path, config: bytes | None, agent: dict[str, Any], key: dict[str, str]
) -> tuple[dict[str, Any] | None, str | None]:
    """Work the entry out from the key and the wanted settings, or else take it from a registry file."""
    if config is not None and key["state"] == "present":
        return _entry_from_key(config, agent), "key"
    path = _registry_file(data_dir)
    if path is None:
        return None, None
    from blixard.documents.registry import read_registry

    return read_registry(path).to_json(), "registry"


def _entry_from_key(config: bytes, agent: Mapping[str, Any]) -> dict[str, Any]:
    """Sign the entry here; its port is bound for a moment to prove that it can be had, unless the node has it."""
    import asyncio
    from datetime import datetime, timezone

    from blixard.agent.config import parse_config
    from blixard.agent.entry import current_entry, key_path, last_signed, signed_entry
    from blixard.trust.keys import read_secret_key

    settings = parse_config(config, file="settings")
    if not _may_have(agent, settings.bind.port):
        return asyncio.run(current_entry(settings)).to_json()
    key = read_secret_key(key_path(settings.data_dir))
    now = datetime.now(timezone.utc)
    previous = last_signed(settings, key.public(), now)
    return signed_entry(settings, key, settings.bind.port, now=now, previous=previous).to_json()


def _may_have(agent: Mapping[str, Any], port: int) -> bool:
    """Tell whether the host's own node may be what has `port`, on whatever address."""
    if agent["state"] == "not running":
        return False
    known = agent.get("addresses")
    return known is None or any(int(each["address"].rpartition(":")[2]) == port for each in known)


def _registry_file(data_dir: Path) -> Path | None:
    """Return the registry file that another implementation of the node wrote, upstream's name included."""
    form = re.compile(r"node-(?:[0-9]+-)?registry\.json")
    try:
        found = [path for path in data_dir.iterdir() if form.fullmatch(path.name)]
    except OSError:
        return None
    return min(found, key=lambda path: (path.name != "node-registry.json", path.name), default=None)
