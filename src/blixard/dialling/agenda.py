# SPDX-License-Identifier: MIT
"""What is to be done when: one heap for everything, and one sleeper that wakes for its first item."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from blixard.clock import Clock

Key = TypeVar("Key")


class Agenda(Generic[Key]):
    """At most one planned time for each key.

    Items that were replaced stay in the heap and are skipped later; it is rebuilt when they are more than half of it.
    """

    def __init__(self) -> None:
        self._planned: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._planned)

    def __contains__(self, key: object) -> bool:
        return key in self._planned

    def plan(self, key: Key, at: float) -> None:
        """Plan `key` for `at`, instead of any time planned before."""
        # The running number keeps keys from being compared, and items of one time in the order they were planned.
        number = next(self._numbers)
        self._planned[key] = (at, number)
        heapq.heappush(self._heap, (at, number, key))
        if len(self._heap) > 2 * len(self._planned):
            self._heap = [(when, place, each) for each, (when, place) in self._planned.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Plan nothing for `key`."""
        self._planned.pop(key, None)

    def next_at(self) -> float | None:
        """Return the earliest time planned."""
        while self._heap and self._is_outdated(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> Key | None:
        """Take off and return the earliest key that is due; None when there is none."""
        at = self.next_at()
        if at is None or at > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._planned[key]
        return key

    def _is_outdated(self, item: tuple[float, int, Key]) -> bool:
        at, number, key = item
        return self._planned.get(key) != (at, number)


class Alarm:
    """Lets one task wait for a time, or for somebody to ring before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiting task, or keep it from falling asleep next time."""
        self._rung.set()

    async def wait(self, until: float | None) -> None:
        """Return at `until` (monotonic seconds; None for never) or when rung."""
        sleeper = None
        if until is not None and not self._rung.is_set():
            sleeper = asyncio.ensure_future(self._clock.sleep(until - self._clock.now()))
            sleeper.add_done_callback(self._ring_after)
        try:
            await self._rung.wait()
        finally:
            if sleeper is not None:
                sleeper.cancel()
        self._rung.clear()

    def _ring_after(self, sleeper: asyncio.Future[None]) -> None:
        # One that is cancelled because something else rang must not ring on its own account.
        if not sleeper.cancelled():
            self._rung.set()
