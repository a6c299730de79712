# SPDX-License-Identifier: MIT
"""The circuit breaker of one peer: a pure state machine that can never leave a healthy peer refused for good.

Closed, it lets every dial through and counts the failures in a row. At five it opens, for longer each time. When
that time is over it is half open: exactly one dial, the probe, is let through, under a lease. The probe's
success closes the breaker; its failure, its cancellation and the end of its lease open it again. Each dial carries
the generation in which it began; a result from an earlier generation, or after the lease, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from random import Random

THRESHOLD = 5
"""Failures in a row that open it."""

FIRST_OPEN = 30.0
"""Seconds, before jitter, that it stays open the first time; doubled with each further trip."""

LONGEST_OPEN = 300.0
"""Seconds, before jitter, that it stays open at most."""

JITTER = 0.2
"""The share by which the time is stretched or shrunk at random."""

DIAL_TIMEOUT = 10.0
"""Seconds that one dial may take."""

LEASE = DIAL_TIMEOUT + 5.0
"""Seconds after which a probe that did not report counts as failed."""

LONGEST_REFUSAL = LONGEST_OPEN * (1 + JITTER) + LEASE
"""Seconds after which any breaker lets a dial through, whatever happened before."""

_MAX_DOUBLINGS = 32

Circuit = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class Permit:
    """Leave to dial once, given by `Breaker.begin` and handed back with the result."""

    generation: int
    is_probe: bool


@dataclass(frozen=True)
class Breaker:
    """One peer's breaker. Times are monotonic seconds; every method returns the breaker that comes after.

    Attributes:
        circuit: closed, open or half_open.
        failures: in a row, while closed.
        trips: how often it opened since the peer was last proven.
        until: when an open one turns half open, or when the lease of a half-open one's probe ends.
        generation: grows with each change of `circuit` and each probe.
    """

    circuit: Circuit = "closed"
    failures: int = 0
    trips: int = 0
    until: float = 0.0
    generation: int = 0

    def begin(self, now: float, rng: Random) -> tuple[Breaker, Permit | None]:
        """Ask for leave to dial; None when it is refused at this time."""
        current = self.expired(now, rng)
        if current.circuit == "closed":
            return current, Permit(current.generation, is_probe=False)
        if current.circuit == "half_open" or now < current.until:
            return current, None
        generation = current.generation + 1
        probing = replace(current, circuit="half_open", until=now + LEASE, generation=generation)
        return probing, Permit(generation, is_probe=True)

    def expired(self, now: float, rng: Random) -> Breaker:
        """Return the breaker after the lease of its probe, if that is over, has been taken as a failure."""
        return self._opened(self.until, rng) if self.circuit == "half_open" and now >= self.until else self

    def succeeded(self, permit: Permit, now: float, rng: Random) -> Breaker:
        """The dial reached the peer."""
        current = self.expired(now, rng)
        return current.answered() if permit.generation == current.generation else current

    def failed(self, permit: Permit, now: float, rng: Random) -> Breaker:
        """The dial failed for a reason that lies with the peer or the way to it."""
        current = self.expired(now, rng)
        if permit.generation != current.generation:
            return current
        failures = current.failures + 1
        if current.circuit == "half_open" or failures >= THRESHOLD:
            return current._opened(now, rng)
        return replace(current, failures=failures)

    def local_error(self, permit: Permit, now: float, rng: Random) -> Breaker:
        """The dial failed for a reason on this machine: that counts for nothing, and a probe may be made anew."""
        current = self.expired(now, rng)
        if permit.generation != current.generation or current.circuit != "half_open":
            return current
        return replace(current, circuit="open", until=now, generation=current.generation + 1)

    def cancelled(self, permit: Permit, now: float, rng: Random) -> Breaker:
        """The dial was given up by this node: no failure, but a probe that was given up proved nothing either."""
        current = self.expired(now, rng)
        if permit.generation != current.generation or current.circuit != "half_open":
            return current
        return current._open_for(_open_time(current.trips, rng), now, current.trips)

    def answered(self) -> Breaker:
        """The peer is alive, whichever way that was seen: closes, and keeps the trips until it is proven."""
        if self.circuit == "closed":
            return replace(self, failures=0)
        return replace(self, circuit="closed", generation=self.generation + 1)

    def proven(self) -> Breaker:
        """A connection lived long enough: the next trip is a first one again."""
        return replace(self, trips=0)

    def hurried(self, now: float) -> Breaker:
        """There is new reason to try: an open one may be probed at once."""
        return replace(self, until=min(self.until, now)) if self.circuit == "open" else self

    def _opened(self, now: float, rng: Random) -> Breaker:
        trips = self.trips + 1
        return self._open_for(_open_time(trips, rng), now, trips)

    def _open_for(self, seconds: float, now: float, trips: int) -> Breaker:
        return Breaker("open", trips=trips, until=now + seconds, generation=self.generation + 1)


def _open_time(trips: int, rng: Random) -> float:
    """`min(300, 30·2^(trips-1))·U(0.8, 1.2)` seconds."""
    doublings = min(max(trips - 1, 0), _MAX_DOUBLINGS)
    return min(LONGEST_OPEN, FIRST_OPEN * 2.0**doublings) * rng.uniform(1 - JITTER, 1 + JITTER)
