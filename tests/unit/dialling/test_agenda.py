# SPDX-License-Identifier: MIT
"""The heap of what is to be done when, and the alarm that wakes for it."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from tests.simulation.virtual_time import VirtualClock, run

from blixard.dialling.agenda import Agenda, Alarm

TIMES = st.floats(0, 100)
PLANS = st.lists(st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), TIMES)), max_size=200)


@given(PLANS, TIMES)
def test_it_agrees_with_a_plain_dict_of_times(plans: list[tuple[str, float | None]], now: float) -> None:
    agenda: Agenda[str] = Agenda()
    model: dict[str, float] = {}
    for key, at in plans:
        if at is None:
            agenda.cancel(key)
            model.pop(key, None)
        else:
            agenda.plan(key, at)
            model[key] = at
    assert len(agenda) == len(model)
    assert agenda.next_at() == min(model.values(), default=None)
    due = []
    while (first := agenda.pop(now)) is not None:
        due.append(first)
    assert sorted(due) == sorted(key for key, at in model.items() if at <= now)
    assert [model[key] for key in due] == sorted(model[key] for key in due)
    assert agenda.next_at() == min((at for at in model.values() if at > now), default=None)


def test_what_is_due_at_the_same_time_comes_in_the_order_it_was_planned() -> None:
    agenda: Agenda[str] = Agenda()
    for key in ("b", "c", "a"):
        agenda.plan(key, 1.0)
    assert [agenda.pop(1.0) for _ in range(4)] == ["b", "c", "a", None]


def test_planning_one_thing_over_and_over_does_not_grow_the_heap() -> None:
    agenda: Agenda[str] = Agenda()
    for at in range(10_000):
        agenda.plan("a", float(at))
        assert len(agenda._heap) <= 2
    assert agenda.next_at() == 9_999.0


def test_what_was_replaced_is_cleared_away_only_when_it_is_half_of_the_heap() -> None:
    agenda: Agenda[int] = Agenda()
    for key in range(100):
        agenda.plan(key, 1.0)
    rebuilt = 0
    for step in range(1010):
        before = agenda._heap
        agenda.plan(step % 100, 2.0)
        rebuilt += agenda._heap is not before
    assert rebuilt == 10


def test_the_alarm_wakes_at_its_time() -> None:
    async def main() -> float:
        clock = VirtualClock()
        alarm, started = Alarm(clock), clock.now()
        await alarm.wait(started + 7.0)
        return clock.now() - started

    assert run(main()) == 7.0


def test_an_alarm_for_no_time_wakes_when_it_is_rung() -> None:
    async def main() -> float:
        clock = VirtualClock()
        alarm, started = Alarm(clock), clock.now()
        asyncio.get_running_loop().call_later(2.0, alarm.ring)
        await alarm.wait(None)
        return clock.now() - started

    assert run(main()) == 2.0


def test_ringing_wakes_before_the_time_and_only_once() -> None:
    async def main() -> list[float]:
        clock = VirtualClock()
        alarm, started = Alarm(clock), clock.now()
        asyncio.get_running_loop().call_later(2.0, alarm.ring)
        woken = []
        for _ in range(3):
            await alarm.wait(started + 7.0)
            woken.append(clock.now() - started)
        return woken

    assert run(main()) == [2.0, 7.0, 7.0]


def test_ringing_while_nobody_waits_is_not_lost() -> None:
    async def main() -> float:
        clock = VirtualClock()
        alarm, started = Alarm(clock), clock.now()
        alarm.ring()
        await alarm.wait(None)
        return clock.now() - started

    assert run(main()) == 0.0


def test_an_alarm_that_was_rung_or_given_up_leaves_nothing_that_sleeps() -> None:
    async def main() -> None:
        clock = VirtualClock()
        alarm, before = Alarm(clock), asyncio.all_tasks()
        for _ in range(10):
            asyncio.get_running_loop().call_later(1.0, alarm.ring)
            await alarm.wait(clock.now() + 1000.0)
        waiting = asyncio.ensure_future(alarm.wait(clock.now() + 1000.0))
        await clock.sleep(1.0)
        waiting.cancel()
        await clock.sleep(1.0)
        assert asyncio.all_tasks() == before

    run(main())
