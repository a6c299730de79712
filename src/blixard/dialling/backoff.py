# SPDX-License-Identifier: MIT
"""How long to wait before the next dial: pure functions of the failures, the mesh's size and a random number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_FIRST_CEILING = 0.5
"""Seconds; the ceiling after one failure, doubled with each further one."""

LONGEST = 60.0
"""Seconds; the ceiling never rises above it."""

SHORTEST = 0.25
"""Seconds; no two dials of one peer are closer, however lucky the draw."""

PROVEN_AFTER = 30.0
"""Seconds that a connection must live before the failures before it are forgotten, so that a peer that accepts
and drops is not dialled in a tight loop."""

_LOSS_PER_PEER = 0.05
LOSS_LONGEST = 5.0
"""After a loss the first wait is spread over 0.05 s for each peer, at most 5 s: a node that restarts loses all
its connections at once, and all its peers come back to it at once."""

GRACE = 0.25
"""Seconds that the smaller of two ids leaves to the greater, whose connection would stay anyway."""

# Above this the power is far beyond LONGEST; it also keeps 2.0 ** n from overflowing.
_MAX_DOUBLINGS = 32


def ceiling(failures: int) -> float:
    """Return the greatest wait in seconds after `failures` failures in a row (1 or more)."""
    return min(LONGEST, _FIRST_CEILING * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))


def delay(failures: int, rng: Random) -> float:
    """Return the seconds to wait after `failures` failures in a row; 0 after none.

    `max(0.25, U(0, min(60, 0.5·2^(failures-1))))`: full jitter, so that peers that failed together do not
    come back together.
    """
    if failures < 1:
        return 0.0
    return max(SHORTEST, rng.uniform(0.0, ceiling(failures)))


def loss_window(peers: int) -> float:
    """Return the seconds over which `peers` peers that lost each other spread their first dial."""
    return min(LOSS_LONGEST, _LOSS_PER_PEER * peers)


def after_loss(peers: int, rng: Random) -> float:
    """Return the seconds to wait after a loss, in a mesh of `peers` peers: `U(0, min(5, 0.05·peers))`."""
    return rng.uniform(0.0, loss_window(peers))


def is_proven(lived: float) -> bool:
    """Tell whether a connection that lived so many seconds ends the row of failures before it."""
    return lived >= PROVEN_AFTER
