# SPDX-License-Identifier: MIT
"""Time as everything here is given it: passed in, so that a simulation can pass another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Clock(Protocol):
    """Tells and waits. Waits and time limits go by `now`, which never jumps; `wall` is for people and signatures."""

    def now(self) -> float:
        """Monotonic seconds from an arbitrary start."""
        ...

    def wall(self) -> datetime:
        """The date and time, aware, UTC; may jump either way."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at once for 0 or less."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The date and time, UTC."""
        return datetime.now(timezone.utc)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(max(0.0, seconds))


class TimeLimit(Exception):
    """Something took longer than it may."""


async def limited(clock: Clock, seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what `work` returns; after `seconds` cancel it.

    Raises:
        TimeLimit: it was cancelled, and has ended.
    """
    task = asyncio.ensure_future(work)
    sleeper = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeLimit
    finally:
        sleeper.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
