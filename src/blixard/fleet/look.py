# SPDX-License-Identifier: MIT
"""A host as iroh_node_info sees it: its entry, key, node and files. Read only, and cheap where a node runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blixard
from blixard.agent.control_client import AgentError, AgentNotRunning, ask
from blixard.documents.account import as_owner_of, user_name
from blixard.documents.data_dir_files import KEY_FILE_NAME as KEY_FILE_NAME
from blixard.documents.data_dir_files import PEERS_FILE_NAME, SEEN_FILE_NAME, SOCKET_NAME
from blixard.errors import InputError
from blixard.fleet.observe import group_name, observe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blixard.model.entry import NodeRegistryEntry

INFO_TIMEOUT = 5.0

INFO = (
    *("node_id", "iroh_node_id", "cluster", "version", "pid", "config_sha256", "admission", "connected", "addresses"),
    *("not_written", "not_reachable"),
)
"""What of a node's word about itself goes to the controller, which takes no more than this."""


def look(
    data_dir: Path, *, config: bytes | None, paths: Mapping[str, str], expected: Mapping[str, str], min_seq: int
) -> dict[str, Any]:
    """Return what is on this host; nothing is written.

    Root looks into the data directory as the account that owns it, see `blixard.documents.account`.

    Args:
        data_dir: the node's data directory.
        config: its settings as they are to be, in the form of node-config.json.
        paths: files to describe, see `blixard.fleet.observe`, under names of the caller's.
        expected: digests that some of these files are to have; such a file also says whether it is `expected`.
        min_seq: the number of the entry that is recorded. What a run which broke off recorded may be newer than the
            running node, and was then taken back: the node's key signs anew what is so now.

    Returns:
        `entry` (the node's registry entry or null) with `entry_source` (`agent`, `key`, `registry` or null), and in
        `not_reachable` why no peer on another host can reach the node by that entry, or null,
        `config_sha256` of `config` or null, `key` (`path`, `state`, and its `owner` and `group`), `agent` (`state`,
        and when it runs what it says of itself and when it was `started`), `files` by name, `host` (`systemd`, `uid`),
        the installed `version`, and the numbers of signed peers files that the node has `seen`, by signer.

    Raises:
        InputError: settings, key or registry file that cannot be used.
    """
    with as_owner_of(data_dir):
        agent = _agent(data_dir)
        key, own = _key(data_dir / KEY_FILE_NAME)
    digest = None if config is None else hashlib.sha256(config).hexdigest()
    own_word = agent.pop("entry", None)
    as_wanted = agent["state"] == "running" and digest in (None, agent["config_sha256"])
    counts = as_wanted and (config is None or _seq(own_word) >= min_seq)
    said = own_word, "agent", agent.get("not_reachable")
    entry, source, why = said if counts else _entry(data_dir, config, agent, key=key["state"], own=own)
    return {
        "entry": entry,
        "entry_source": source,
        "not_reachable": why,
        "config_sha256": digest,
        "key": key,
        "agent": agent,
        "files": _files(data_dir, paths, expected),
        "host": {"systemd": Path("/run/systemd/system").is_dir(), "uid": os.getuid()},
        "version": blixard.__version__,
        "seen": _seen(data_dir, config),
    }


def _seen(data_dir: Path, config: bytes | None) -> list[dict[str, Any]]:
    """Return the number that the node holds its peers file against, for each signer; nothing where none is trusted."""
    settings = _settings(config)
    if not settings.get("trusted_signers"):
        return []
    from datetime import datetime, timezone

    from blixard.trust.highest_seq import numbers_seen

    place = str(settings.get("peers_file") or data_dir / PEERS_FILE_NAME)
    path, now = data_dir / SEEN_FILE_NAME, datetime.now(timezone.utc)
    try:
        with as_owner_of(data_dir):
            seen = numbers_seen(path, str(settings.get("cluster")), place, now)
    except InputError:
        return []  # the node says so itself, and does not start
    return [{"signer": signer, "seq": number} for signer, number in seen.items()]


def _settings(config: bytes | None) -> dict[str, Any]:
    """Return settings without a look at whether they are good; nothing of what is no JSON object."""
    try:
        settings = json.loads(config or b"{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _seq(entry: Mapping[str, Any] | None) -> int:
    attestation = (entry or {}).get("attestation")
    seq = attestation.get("seq") if isinstance(attestation, dict) else None
    return seq if type(seq) is int else 0


def _key(path: Path) -> tuple[dict[str, str], bool]:
    """Say whether the key is there and whose it is, and whether it is ours; nothing about what is in it."""
    try:
        status = path.lstat()
    except OSError:
        return {"path": str(path), "state": "absent"}, False
    owners = {"owner": user_name(status.st_uid), "group": group_name(status.st_gid)}
    return {"path": str(path), "state": "present", **owners}, status.st_uid == os.geteuid()


def _files(data_dir: Path, paths: Mapping[str, str], expected: Mapping[str, str]) -> dict[str, Any]:
    """Describe each of `paths` as the account that it is for to say what stands there."""
    inside = {name: path for name, path in paths.items() if path.startswith(f"{data_dir}/")}
    with as_owner_of(data_dir):
        seen = {name: observe(path) for name, path in inside.items()}
    seen |= {name: _outside(path) for name, path in paths.items() if name not in inside}
    found: dict[str, Any] = {name: {"path": path, **seen[name]} for name, path in paths.items()}
    for name in expected.keys() & found.keys():
        found[name]["expected"] = found[name].get("sha256") == expected[name]
    return found


def _outside(path: str) -> dict[str, Any]:
    try:
        with as_owner_of(os.path.dirname(path) or ".", strict=False):  # noqa: PTH120
            return observe(path)
    except InputError:
        return {"kind": "absent"}


def _agent(data_dir: Path) -> dict[str, Any]:
    try:
        info = _word(ask(data_dir, "info", timeout=INFO_TIMEOUT))
    except AgentNotRunning:
        return {"state": "not running"}
    except AgentError as error:
        return {"state": "not answering", "error": str(error)}
    started = observe(data_dir / SOCKET_NAME).get("mtime", 0.0)
    return {**{name: info[name] for name in (*INFO, "entry") if name in info}, "state": "running", "started": started}


def _word(info: Any) -> dict[str, Any]:
    """Return what a node says of itself, if that is what it is: whatever listens there may have said it."""
    if not isinstance(info, dict) or not {"config_sha256", "version", "iroh_node_id"} <= info.keys():
        raise AgentError("what listens there does not say who it is")
    if not isinstance(info.get("entry"), dict | None) or not isinstance(info.get("addresses"), list | None):
        raise AgentError("what listens there says of itself what cannot be read")
    return info


def _entry(
    data_dir: Path, config: bytes | None, agent: Mapping[str, Any], *, key: str, own: bool
) -> tuple[dict[str, Any] | None, str | None, str | None]:
    """Work the entry out from the key and the wanted settings, or else take it from a registry file.

    Returns:
        the entry, its source, and why no peer on another host can reach the node by it.
    """
    if config is None or key != "present":
        return (*_entry_from_registry(data_dir), None)
    # A key of another account than the directory's is still to be given to it.
    if not own:
        return None, None, None
    entry, why = _entry_from_key(data_dir, config, agent)
    return entry.to_json(), "key", why


def _entry_from_registry(data_dir: Path) -> tuple[dict[str, Any] | None, str | None]:
    with as_owner_of(data_dir):
        path = _registry_file(data_dir)
    if path is None:
        return None, None
    from blixard.documents.registry_file import read_registry
    from blixard.fleet import preloaded_modules  # noqa: F401

    with as_owner_of(data_dir):
        return read_registry(path).to_json(), "registry"


def _entry_from_key(data_dir: Path, config: bytes, agent: Mapping[str, Any]) -> tuple[NodeRegistryEntry, str | None]:
    """Sign the entry here; its port is bound for a moment to prove that it can be had, unless the node has it.

    Returns:
        the entry, and why no peer on another host can reach the node by it.
    """
    import asyncio
    from datetime import datetime, timezone

    from blixard.agent.node_config import parse_config
    from blixard.agent.own_entry import (
        current_entry,
        key_path,
        last_signed,
        not_reachable,
        ports_of,
        signed_entry,
    )
    from blixard.fleet import preloaded_modules  # noqa: F401
    from blixard.transport import connector  # noqa: F401
    from blixard.trust.keys import read_secret_key

    settings = parse_config(config, file="settings")
    with as_owner_of(data_dir):
        if not _may_have(agent, settings.bind.port):
            entry = asyncio.run(current_entry(settings))
            return entry, not_reachable(settings, {each.ip.version: each.port for each in entry.socket_addresses})
        key = read_secret_key(key_path(settings.data_dir), own=True)
        now = datetime.now(timezone.utc)
        previous = last_signed(settings, key.public(), now)
        ports = ports_of(settings.bind)
        entry = signed_entry(settings, key, ports, now=now, previous=previous)
        return entry, not_reachable(settings, ports)


def _may_have(agent: Mapping[str, Any], port: int) -> bool:
    """Tell whether the host's own node may be what has `port`, on whatever address."""
    if agent["state"] == "not running":
        return False
    known = agent.get("addresses")
    return known is None or any(_port(each) == port for each in known)


def _port(said: Any) -> int | None:
    last = str(said.get("address")).rpartition(":")[2] if isinstance(said, dict) else ""
    return int(last) if re.fullmatch("[0-9]{1,5}", last) else None


def _registry_file(data_dir: Path) -> Path | None:
    """Return the registry file that another implementation of the node wrote, upstream's name included."""
    form = re.compile(r"node-(?:[0-9]+-)?registry\.json")
    try:
        found = [path for path in data_dir.iterdir() if form.fullmatch(path.name)]
    except OSError:
        return None
    return min(found, key=lambda path: (path.name != "node-registry.json", path.name), default=None)
