# SPDX-License-Identifier: MIT
"""What the sources of a manager have found, each fact with its source, and what is wrong with them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from blixard.clock import TimeLimit, limited

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.discovery_manager import DiscoveryManager
    from blixard.peers.status import SourceStatus


def findings(manager: DiscoveryManager) -> dict[str, Any]:
    """Return the document of `blixard discover --json`."""
    return {
        "peers": [peer.to_json() for peer in manager.status()],
        "sources": [source.to_json() for source in manager.source_status()],
        "dropped": [dropped.to_json() for dropped in manager.dropped()],
    }


PATIENCE = 3.0
"""Seconds to wait for a fresh look: enough for files and a healthy server, not for a dead one."""


async def look_again(manager: DiscoveryManager, clock: Clock) -> None:
    """Ask all sources, so that what follows is about the files as they are now."""
    with contextlib.suppress(TimeLimit):
        await limited(clock, PATIENCE, manager.refresh_peers())


def problems(manager: DiscoveryManager) -> list[str]:
    """Return a line for each peers file that the node does not take, or not whole, and why.

    Also where what it takes cannot be remembered: after a restart an older file would pass.
    """
    lines = [
        line
        for status in manager.source_status()
        if status.name.startswith("static:")
        for line in _troubles(status, "does not take its peers file: ", "refuses a part of its peers file: ")
    ]
    return lines + [f"cannot remember what it took: {line}" for line in manager.not_remembered()]


def all_problems(manager: DiscoveryManager) -> list[str]:
    """Return a line for each source that failed, or was not taken whole: for whoever named them all on purpose."""
    return [
        line
        for status in manager.source_status()
        for line in _troubles(status, f"source {status.name} failed: ", f"source {status.name}: refused: ")
    ]


def _troubles(status: SourceStatus, failed: str, refused: str) -> list[str]:
    lines = [f"{refused}{problem}" for problem in status.problems]
    return lines if status.error is None else [f"{failed}{status.error}", *lines]
