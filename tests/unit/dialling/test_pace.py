# SPDX-License-Identifier: MIT
"""How many dials at once a machine can stand."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.pace import LATE, MAX_DIALS, Pace, lateness
from blixard.dialling.protocols import DialError


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("timeout", DIAL_TIMEOUT),
        ("timeout", DIAL_TIMEOUT + LATE),
        ("unreachable", 3 * DIAL_TIMEOUT),
        ("wrong_id", 99.0),
    ],
)
def test_an_error_that_came_in_time_or_from_outside_is_what_it_says(kind: str, seconds: float) -> None:
    pace, error = Pace(), DialError(kind, "no")
    assert pace.failed(error, seconds) is error
    assert pace.most == MAX_DIALS


def test_the_limit_of_a_dial_and_of_the_pace_are_those_that_are_given() -> None:
    pace, error = Pace(2, limit=3), DialError("timeout", "no answer")
    assert pace.failed(error, 3.0 + LATE, limit=3.0) is error
    assert pace.most == 3
    assert pace.failed(error, 3.1 + LATE, limit=3.0).kind == "too_slow"
    assert pace.failed(error, 0.0, was_late=True).kind == "too_slow"
    assert pace.most == 1
    for _ in range(9):
        pace.in_time()
    assert pace.most == 3


class HeldClock:
    """A clock whose waits take so much longer as the test says; they end when it says so."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waits: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    def now(self) -> float:
        return self.time

    def wall(self) -> datetime:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waits.put_nowait((self.time + seconds, over))
        await over

    async def pass_until_due(self, late: float) -> None:
        due, over = await self.waits.get()
        self.time = due + late
        over.set_result(None)


async def test_a_program_that_was_kept_from_running_is_known_to_have_been_late_from_then_on_and_not_before() -> None:
    clock = HeldClock()
    async with lateness(clock) as watched:
        await clock.pass_until_due(late=LATE)
        assert not watched.since(0.0)
        await clock.pass_until_due(late=2 * LATE)
        was = clock.time
        await clock.pass_until_due(late=0.0)
        assert watched.since(0.0)
        assert watched.since(was)
        assert not watched.since(clock.time)


async def test_a_look_that_is_overdue_counts_before_it_is_made() -> None:
    clock = HeldClock()
    async with lateness(clock) as watched:
        due, _ = await clock.waits.get()
        clock.time = due + LATE
        assert not watched.since(0.0)
        clock.time += 0.001
        assert watched.since(clock.time)


def test_a_late_timeout_is_this_machines_and_halves_the_dials_which_come_back_one_by_one() -> None:
    pace = Pace()
    most = []
    for _ in range(6):
        error = pace.failed(DialError("timeout", "no answer"), DIAL_TIMEOUT + 1)
        assert (error.kind, error.local) == ("too_slow", True)
        most.append(pace.most)
    assert most == [8, 4, 2, 1, 1, 1]
    for _ in range(2 * MAX_DIALS):
        pace.in_time()
    assert pace.most == MAX_DIALS
