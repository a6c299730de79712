# SPDX-License-Identifier: MIT
"""Whom to dial in a mesh too large for everyone to dial everyone: a sparse graph that all nodes compute alike.

All ids stand on several rings, on each at the place that a hash gives them. A node's neighbours are the ids
before and after its own on each ring. That relation is the same from both sides when both know the same ids; one
ring alone connects all nodes, and several independent ones together are an expander: it takes the loss of
most nodes to cut some of the others off. A node that joins or leaves changes the neighbours of those beside it only.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.ordered_set import OrderedSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blixard.model.ids import EndpointId

_FEWEST_RINGS = 4
_MAX_RINGS = 16
"""Enough for 65,536 nodes at one ring for each doubling."""

_CIRCLE = 1 << 64
_PLACES = struct.Struct(f">{_MAX_RINGS}Q")


def rings_for(nodes: int) -> int:
    """Return the number of rings for a mesh of so many nodes: its base-2 logarithm, rounded up."""
    return min(_MAX_RINGS, max(_FEWEST_RINGS, (nodes - 1).bit_length()))


def places(endpoint_id: EndpointId) -> tuple[int, ...]:
    """Return the place of an id on each of as many rings as there can be."""
    return _PLACES.unpack(hashlib.shake_128(endpoint_id.raw).digest(_PLACES.size))


@dataclass
class _Beside:
    """On one ring, the ids just after and just before one's own, with their way round from it."""

    after: tuple[int, EndpointId] | None = None
    before: tuple[int, EndpointId] | None = None

    def meet(self, way: int, endpoint_id: EndpointId) -> None:
        here = (way, endpoint_id)
        self.after = here if self.after is None else min(self.after, here)
        self.before = here if self.before is None else max(self.before, here)

    def holds(self, endpoint_id: EndpointId) -> bool:
        return any(side is not None and side[1] == endpoint_id for side in (self.after, self.before))


class Overlay:
    """One node's view of the rings, kept up to date at a cost that does not grow with the number of peers."""

    def __init__(self, own: EndpointId) -> None:
        self._own = places(own)
        self._peers: OrderedSet[EndpointId] = OrderedSet()
        self._rings: list[_Beside] = []

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, endpoint_id: EndpointId) -> None:
        """Add a peer."""
        if endpoint_id in self._peers:
            return
        self._peers.add(endpoint_id)
        there = places(endpoint_id)
        for ring, beside in enumerate(self._rings):
            beside.meet(self._way(ring, there), endpoint_id)
        self._fit()

    def remove(self, endpoint_id: EndpointId) -> None:
        """Remove a peer; only then, and only for a neighbour, are the others looked through."""
        if endpoint_id not in self._peers:
            return
        self._peers.discard(endpoint_id)
        for ring, beside in enumerate(self._rings):
            if beside.holds(endpoint_id):
                self._rings[ring] = self._look(ring)
        self._fit()

    def neighbours(self) -> Set[EndpointId]:
        """Return whom to dial, in the order of the rings; at most twice as many as there are rings."""
        sides = (side for beside in self._rings for side in (beside.after, beside.before))
        return OrderedSet(side[1] for side in sides if side is not None)

    def _way(self, ring: int, there: tuple[int, ...]) -> int:
        return (there[ring] - self._own[ring]) % _CIRCLE

    def _look(self, ring: int) -> _Beside:
        beside = _Beside()
        for endpoint_id in self._peers:
            beside.meet(self._way(ring, places(endpoint_id)), endpoint_id)
        return beside

    def _fit(self) -> None:
        """Bring the number of rings in line with the number of nodes, this one included."""
        wanted = rings_for(len(self._peers) + 1)
        del self._rings[wanted:]
        while len(self._rings) < wanted:
            self._rings.append(self._look(len(self._rings)))


def neighbours(own: EndpointId, peers: Iterable[EndpointId]) -> Set[EndpointId]:
    """Return whom `own` dials when these are all peers."""
    overlay = Overlay(own)
    for endpoint_id in peers:
        overlay.add(endpoint_id)
    return overlay.neighbours()
