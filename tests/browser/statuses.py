# SPDX-License-Identifier: MIT
"""What the page of a node is made of: a made-up status with a peer in each state, and events."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from tests.unit.documents.samples import key

from blixard.pages.node_page import node_page
from blixard.peers.events import Event

AT = datetime(2026, 1, 15, 9, 30, tzinfo=timezone.utc)
STATES = ("connected", "connected", "backing_off", "open", "refused", "connecting", "discovered")


def peer(number: int, state: str, text: str) -> dict[str, Any]:
    """The status of one peer; what others say of it is `text`."""
    is_up = state == "connected"
    return {
        "node_id": number,
        "state": state,
        "since": "2026-01-15T09:30:00Z",
        "wanted": True,
        "sources": [text],
        "path": "direct" if is_up else None,
        "rtt_ms": 0.7 * number if is_up else None,
        "failures": 0 if is_up else 3,
        "next_attempt_s": None if is_up else 12.5,
        "last_error": None if is_up else {"kind": "timeout", "message": text, "at": "2026-01-15T09:30:00Z"},
    }


def status_page(text: str = "no answer within 3 s", many: int = len(STATES)) -> bytes:
    """The page of a node with `many` peers of which others say `text`."""
    problem = {"state": "failed", "peers": 0, "good_at": None, "error": text, "problems": [text]}
    return node_page(
        cluster="harbour",
        node_id=1,
        version="0.1.0",
        peers=[peer(number + 2, STATES[number % len(STATES)], text) for number in range(many)],
        sources=[{"name": text, **problem}],
        events=[Event("failed", AT, 4, key(4).public(), {"error": "timeout", "message": text, "seconds": None})],
    )
