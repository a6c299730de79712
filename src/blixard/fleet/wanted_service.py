# SPDX-License-Identifier: MIT
"""How a node is to run on a host: what to look at, what follows from the look, and why it is to be started anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from blixard.documents import data_dir_files
from blixard.fleet.observe import has_key, pending
from blixard.fleet.service import CONFIG_MODE, FACTS, FACTS_MODE, UNIT_MODE, UNITS
from blixard.model.words import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blixard.fleet.host_view import HostView

MARKER_NAME = ".blixard-runtime"
"""Says in a virtual environment what was installed there."""

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
        "facts": f"{FACTS}/{service}.fact",
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
        wanted |= {
            "unit": {"expected": True, "mode": UNIT_MODE},
            "enabled": {"kind": "link"},
            "facts": {"expected": True, "mode": FACTS_MODE},
        }
    return {
        "manager": manager,
        "owner": owner,
        "group": group_or_none,
        "kept": has_key(look, owner, group_or_none),
        "pending": pending(look, wanted, NEWER),
    }


def reasons(hosts: Iterable[HostView]) -> list[str]:
    """Return a line for each of the reasons to work on nodes, with the hosts that have it; paths as in a data dir."""
    found: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        folder = PurePosixPath(host.look["key"]["path"]).parent if host.pending else ""
        lines = tuple(line.replace(f"{folder}/", "") for line in host.pending)
        found.setdefault(lines, []).append(host.name)
    return [f"{named(names)}: {'; '.join(lines)}" for lines, names in found.items() if lines]
