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
        self.failing: str | None = None
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
        self.failing = error

    def recover(self) -> None:
        """Answer again."""
        self.failing = None

    async def fetch(self) -> Answer:
        self.fetches += 1
        await asyncio.sleep(self.seconds)
        return self.answer if self.failing is None else Failed(self.failing)
