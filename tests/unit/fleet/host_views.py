# SPDX-License-Identifier: MIT
"""Hosts as a run knows them, for tests of what is decided of them."""

from __future__ import annotations

from typing import Any

from blixard.fleet.host_view import HostView


def up(
    name: str, number: int, connected: tuple[int, ...] = (), pending: tuple[str, ...] = (), **variables: Any
) -> HostView:
    """Return a host whose node ran when the run looked at it, and is to be started anew where there is a reason."""
    look = {"agent": {"state": "running", "connected": list(connected)}, "service": {"pending": list(pending)}}
    return HostView(name, number, variables={"__blixard_look": look, **variables})


def down(name: str, number: int, **variables: Any) -> HostView:
    """Return a host whose node did not run."""
    return HostView(name, number, variables={"__blixard_look": {"agent": {"state": "not running"}}, **variables})


def by_name(*hosts: HostView) -> dict[str, HostView]:
    """Return `hosts` by name."""
    return {host.name: host for host in hosts}
