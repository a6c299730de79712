# SPDX-License-Identifier: MIT
"""A source whose answers the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from blixard.model.entry import DiscoveredPeer
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting, SourceKind


class SetSource:
    """Answers what it was set to. Peers that stay the same stay the same sightings, as real sources do it."""

    def __init__(self, name: str = "static:test", kind: SourceKind = "static") -> None:
        self.name = name
        self.kind: SourceKind = kind
        self.answer: Answer = Nothing()
        self.seconds = 0.0
        self.fetches = 0
        self._sightings: dict[DiscoveredPeer, Sighting] = {}

    def set(self, peers: Iterable[DiscoveredPeer]) -> None:
        """Answer with these peers from now on."""
        kept = {peer: self._sightings.get(peer) or Sighting(peer, self.name) for peer in peers}
        self._sightings = kept
        self.answer = Found(tuple(kept.values()))

    def fail(self, error: str = "down") -> None:
        """Fail from now on."""
        self.answer = Failed(error)

    def recover(self) -> None:
        """Answer with the peers of the last `set` again."""
        self.answer = Found(tuple(self._sightings.values()))

    async def fetch(self) -> Answer:
        self.fetches += 1
        await asyncio.sleep(self.seconds)
        return self.answer
