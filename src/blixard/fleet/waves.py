# SPDX-License-Identifier: MIT
"""How many hosts check at once: no more than a machine bears, where several hosts of the inventory are one machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

CHECKS_A_CORE = 4
"""Hosts that check at once for each core of their machine. A check is a fraction of a second of work; with a dead peer
it is ten seconds of waiting, which hosts can do side by side."""

_CONTAINERS = ("docker", "podman", "buildah", "chroot", "lxc", "lxd", "incus", "machinectl", "nspawn")
_ON_THE_CONTROLLER = ("local", *_CONTAINERS)


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def waves(hosts: Mapping[str, Mapping[str, Any]], cores: int) -> dict[str, int]:
    """Return how many may check at once, for each host that shares its machine with more hosts than that.

    Args:
        hosts: the variables of each host that checks.
        cores: of the controller; what other machines have is not known, and they are taken to have as many.
    """
    machines = {name: _machine(name, variables) for name, variables in hosts.items()}
    crowd = Counter(machines.values())
    most = CHECKS_A_CORE * cores
    return {name: most for name, machine in machines.items() if crowd[machine] > most}


def _machine(name: str, variables: Mapping[str, Any]) -> str:
    """Return the machine of a host as far as the inventory tells: the controller is the empty text."""
    address = str(variables.get("ansible_host") or name).lower().strip("[]")
    plugin = str(variables.get("ansible_connection") or "").rpartition(".")[2]
    return "" if plugin in _ON_THE_CONTROLLER or address == "localhost" or _is_loopback(address) else address


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
