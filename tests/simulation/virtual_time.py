# SPDX-License-Identifier: MIT
"""An event loop whose time jumps to its next timer: days pass in seconds, and every run is the same."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

Result = TypeVar("Result")

# Far from 0, so that a forgotten "never happened" of 0.0 shows.
START = 1_000_000.0
START_WALL = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Stalled(Exception):
    """Everything waits, and no timer will ever end it."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting for its time limit, moves the clock by it. It looks at no file: nothing here may use one."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in order, and never waits for real."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        # Rounding may leave the clock a hair before a timer.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual.now


class VirtualClock:
    """The clock of the running virtual loop. The wall clock can be set, as operators and NTP do."""

    def __init__(self) -> None:
        self.wall_offset = timedelta()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return START_WALL + timedelta(seconds=self.now() - START) + self.wall_offset

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` in virtual time.

    Raises:
        Stalled: it waits for something that cannot come.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            _cancel_all(loop)
        finally:
            loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
