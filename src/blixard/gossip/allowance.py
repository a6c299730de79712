# SPDX-License-Identifier: MIT
"""Bounds on how often something happens: token buckets, one for all and one for each peer."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.model.ids import EndpointId

MAX_REMEMBERED = 1024
"""Peers of which something is remembered; more than a node is connected with."""


class Bucket:
    """Holds `burst` tokens at most, and gets `rate` of them a second."""

    def __init__(self, clock: Clock, *, rate: float, burst: float) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._since = clock.now()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now = self._clock.now()
        self._tokens = min(self._burst, self._tokens + (now - self._since) * self._rate)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class PeerBuckets:
    """A bucket for each peer."""

    def __init__(self, clock: Clock, *, rate: float, burst: float) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[EndpointId, Bucket] = OrderedDict()

    def take(self, peer: EndpointId) -> bool:
        """Take one token of a peer's."""
        bucket = self._buckets.pop(peer, None) or Bucket(self._clock, rate=self._rate, burst=self._burst)
        self._buckets[peer] = bucket
        if len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket.take()


class Shunned:
    """Peers with which nothing is exchanged for a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[EndpointId, float] = OrderedDict()

    def add(self, peer: EndpointId, seconds: float) -> None:
        """Shun a peer for so long."""
        self._until.pop(peer, None)
        self._until[peer] = self._clock.now() + seconds
        if len(self._until) > MAX_REMEMBERED:
            self._until.popitem(last=False)

    def __contains__(self, peer: EndpointId) -> bool:
        return self._clock.now() < self._until.get(peer, float("-inf"))

    def __len__(self) -> int:
        now = self._clock.now()
        return sum(now < until for until in self._until.values())
