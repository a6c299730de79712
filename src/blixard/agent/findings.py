# SPDX-License-Identifier: MIT
"""What a discovery manager has found: each fact with its source, and what was dropped with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blixard.discovery_manager import DiscoveryManager


def findings(manager: DiscoveryManager) -> dict[str, Any]:
    """Return the document of `blixard discover --json`."""
    return {
        "peers": [peer.to_json() for peer in manager.status()],
        "sources": [source.to_json() for source in manager.source_status()],
        "dropped": [dropped.to_json() for dropped in manager.dropped()],
    }
