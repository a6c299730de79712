# SPDX-License-Identifier: MIT
"""What is wrong with a node's peers files, for whoever asks: a node that refuses one works on with what it had."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from blixard.clock import TimeLimit, limited

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.discovery_manager import DiscoveryManager

PATIENCE = 3.0
"""Seconds to wait for a fresh look: enough for files and a healthy server, not for a dead one."""


async def look_again(manager: DiscoveryManager, clock: Clock) -> None:
    """Ask all sources, so that what follows is about the files as they are now."""
    with contextlib.suppress(TimeLimit):
        await limited(clock, PATIENCE, manager.refresh_peers())


def problems(manager: DiscoveryManager) -> list[str]:
    """Return a line for each peers file that the node does not take, and why."""
    return [
        f"does not take its peers file: {status.error}"
        for status in manager.source_status()
        if status.error is not None and status.name.startswith("static:")
    ]
