# SPDX-License-Identifier: MIT
"""When a node begins an exchange, and with whom. Pure: it is told the time, and draws from the RNG that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from blixard.ordered_set import OrderedSet

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

TICK = 1.0
"""Seconds between two looks. While there is news, one exchange is begun at each."""
IDLE = 30.0
"""Seconds between two exchanges while there is none, on average."""
JITTER = 0.2
MET_AT_ONCE = 8
"""Exchanges with peers that were just connected which are begun at one look."""


def rounds_for(nodes: int) -> int:
    """Return the number of exchanges that a node begins with its news: the base-2 logarithm, rounded up, and two."""
    return max(1, (nodes - 1).bit_length()) + 2


class Schedule:
    """Whom to ask when."""

    def __init__(self, rng: Random, now: float) -> None:
        self._rng = rng
        self._met: OrderedSet[EndpointId] = OrderedSet()
        self._rounds = 0
        self._idle_at = now + rng.uniform(0, IDLE)

    def met(self, peer: EndpointId) -> None:
        """A peer was just connected, and it is for this node to begin."""
        self._met.add(peer)

    def learned(self, nodes: int) -> None:
        """There is news for a fleet of so many nodes."""
        self._rounds = rounds_for(nodes)

    def due(self, now: float, partners: Sequence[EndpointId]) -> list[EndpointId]:
        """Return with whom to begin an exchange at this look.

        Args:
            now: monotonic seconds.
            partners: with whom it can be done, all of whom are connected.
        """
        self._met &= OrderedSet(partners)
        due = list(self._met)[:MET_AT_ONCE]
        for peer in due:
            self._met.discard(peer)
        if partners and (self._rounds or now >= self._idle_at):
            self._rounds = max(0, self._rounds - 1)
            self._idle_at = now + IDLE * self._rng.uniform(1 - JITTER, 1 + JITTER)
            partner = self._rng.choice(partners)
            due += [partner] if partner not in due else []
        return due
