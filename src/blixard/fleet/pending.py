# SPDX-License-Identifier: MIT
"""What still has to be done on a host before its node runs as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from blixard.documents import data_dir_files
from blixard.fleet.membership import named
from blixard.fleet.observe import differs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blixard.fleet.host_view import HostView

UNITS = "/etc/systemd/system"
MARKER_NAME = ".blixard-runtime"
"""Says in a virtual environment what was installed there."""

KEY_FOLDER_MODE = "0700"
CONFIG_MODE = "0640"
UNIT_MODE = "0644"

SYSTEMD = "systemd"
PROCESS = "process"

NEWER = ("unit", "runtime")
"""Files that a running node must not be older than, by the names that the look has them under."""

NOTHING_TO_DO: Mapping[str, Any] = {"manager": None, "owner": None, "group": None, "kept": True, "pending": []}
"""What `service` says where the node is not ours."""


def paths(data_dir: str, config: str, venv: str, service: str, join: Sequence[str] = ()) -> dict[str, str]:
    """Return all that one look at a host is to describe, by the names that the look has it under.

    Args:
        data_dir: the node's data directory.
        config: its node-config.json.
        venv: the virtual environment of the package.
        service: the name of the systemd service.
        join: registry files that the node joins through; they go by their paths.
    """
    in_data_dir = data_dir_files.paths(data_dir)
    return {
        "config": config,
        **{name: in_data_dir[name] for name in ("peers", "signature", "registry")},
        "runtime": f"{venv}/{MARKER_NAME}",
        "unit": f"{UNITS}/{service}.service",
        "enabled": f"{UNITS}/multi-user.target.wants/{service}.service",
        # The directory itself, also where it is reached through a link of the operator's.
        "data_dir": f"{data_dir}/.",
        **{path: path for path in join},
    }


def service(look: Mapping[str, Any], *, manager: str, user: str, group: str) -> dict[str, Any]:
    """Return what follows from a look for the service of a node of ours.

    Args:
        look: what iroh_node_info returned for the host.
        manager: `systemd`, `process`, or `auto` for the one that fits the host.
        user: the account that the node runs as under systemd; as a process it is whoever starts it.
        group: its group.

    Returns:
        `manager`, the account's `owner` and `group` (null for a process), whether the key is `kept` as the account's
        alone, and the reasons to work on the host (`pending`, see there).
    """
    if manager == "auto":
        manager = SYSTEMD if look["host"]["systemd"] and look["host"]["uid"] == 0 else PROCESS
    owner, group_or_none = (user, group) if manager == SYSTEMD else (None, None)
    wanted: dict[str, dict[str, Any]] = {
        "config": {"sha256": look["config_sha256"], "mode": CONFIG_MODE, "group": group_or_none}
    }
    if manager == SYSTEMD:
        wanted |= {"unit": {"expected": True, "mode": UNIT_MODE}, "enabled": {"kind": "link"}}
    return {
        "manager": manager,
        "owner": owner,
        "group": group_or_none,
        "kept": has_key(look, owner, group_or_none),
        "pending": pending(look, wanted, NEWER),
    }


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


def reasons(hosts: Iterable[HostView]) -> list[str]:
    """Return a line for each of the reasons to work on nodes, with the hosts that have it; paths as in a data dir."""
    found: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        folder = PurePosixPath(host.look["key"]["path"]).parent if host.pending else ""
        lines = tuple(line.replace(f"{folder}/", "") for line in host.pending)
        found.setdefault(lines, []).append(host.name)
    return [f"{named(names)}: {'; '.join(lines)}" for lines, names in found.items() if lines]


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
