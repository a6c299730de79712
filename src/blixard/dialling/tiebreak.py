# SPDX-License-Identifier: MIT
"""Which of two connections of one pair stays: a rule that gives both sides the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blixard.dialling.breaker import LEASE

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

SIMULTANEOUS = LEASE
"""Seconds within which two connections may stem from both sides dialling at once. A node dials only while it has
no connection, so a dial that arrives later means that the peer has lost the older one."""


def newer_stays(
    *, own: EndpointId | None, peer: EndpointId, older_is_ours: bool, newer_is_ours: bool, older_age: float
) -> bool:
    """Tell whether the newer of two connections stays.

    Of two that both sides dialled at once, the one that the greater endpoint id dialled stays. Otherwise the
    newer does: its dialler no longer has the older one.

    Args:
        own: this node's id; None for a stranger, whom nobody dials.
        peer: the other node's id.
        older_is_ours, newer_is_ours: whether this node dialled it.
        older_age: seconds since the older one was made.
    """
    if own is None or older_is_ours == newer_is_ours or older_age > SIMULTANEOUS:
        return True
    return newer_is_ours == (own > peer)
