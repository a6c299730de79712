# SPDX-License-Identifier: MIT
"""How many dials at once: fewer while this machine itself is too slow for them.

Without this a machine that starves makes no progress at all: its dials share the little time there is, all run into
their limit together, and open the circuits of peers that are well.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.protocols import DialError
from blixard.documents.connectivity_report import TOO_SLOW
from blixard.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blixard.clock import Clock

MAX_DIALS = 16
"""Dials in flight at once: enough to hide one peer's silence behind the others, few enough that a dead network
costs the work of 16 and not of all peers."""

LATE = 0.25
"""Seconds by which a dial may end after its limit. When it is more, this program did not get to look at what had come
in: that the time is over says nothing about the peer."""

LOOK = 0.05
"""Seconds between two looks at the clock."""


class Pace:
    """The dials that may be in flight: halved by each that was late, one more for each that ended in time.

    Attributes:
        most: how many, from 1 to the limit.
    """

    def __init__(self, most: int = MAX_DIALS, *, limit: int = MAX_DIALS) -> None:
        """`most` to begin with, never more than `limit`."""
        self.most = min(most, limit)
        self._limit = limit

    def in_time(self) -> None:
        """A dial ended in time, whatever came of it."""
        self.most = min(self.most + 1, self._limit)

    def failed(
        self, error: DialError, seconds: float, *, limit: float = DIAL_TIMEOUT, was_late: bool = False
    ) -> DialError:
        """Return the error of a dial that took `seconds` of at most `limit`: this machine's own, where it is that.

        `was_late`: it is known that this program was kept from running meanwhile.
        """
        if error.kind != "timeout" or not (was_late or seconds > limit + LATE):
            self.in_time()
            return error
        self.most = max(1, self.most // 2)
        return DialError(TOO_SLOW, f"this machine was too busy to tell: {error.message}", local=True)


class Lateness:
    """Whether this program was kept from running: it looks at the clock again and again, and sees when it is late."""

    def __init__(self, clock: Clock) -> None:
        """`clock` waits between the looks."""
        self._clock = clock
        self._due = float("inf")
        self._last = float("-inf")

    def since(self, moment: float) -> bool:
        """Tell whether a look was late after `moment`, or is late now."""
        now = self._clock.now()
        return self._last >= moment or now - self._due > LATE

    async def watch(self) -> None:
        """Look, until this is cancelled."""
        while True:
            self._due = self._clock.now() + LOOK
            await self._clock.sleep(LOOK)
            now = self._clock.now()
            if now - self._due > LATE:
                self._last = now


@contextlib.asynccontextmanager
async def lateness(clock: Clock) -> AsyncIterator[Lateness]:
    """Keep watch over the lateness of this program for a while."""
    watched = Lateness(clock)
    task = spawn(watched.watch(), "lateness")
    try:
        yield watched
    finally:
        task.cancel()
