# SPDX-License-Identifier: MIT
"""When exchanges are begun, and what bounds them."""

from __future__ import annotations

from random import Random

import pytest
from tests.unit.agent.virtual_clock import VirtualClock
from tests.unit.peers.people import endpoint_id

from blixard.gossip.allowance import Bucket, PeerBuckets, Shunned
from blixard.gossip.schedule import IDLE, JITTER, MET_AT_ONCE, Schedule, rounds_for

PARTNERS = [endpoint_id(number) for number in range(1, 4)]


@pytest.mark.parametrize(("nodes", "rounds"), [(1, 3), (2, 3), (64, 8), (65, 9), (10_000, 16)])
def test_news_go_out_a_few_more_times_than_there_are_doublings_of_the_fleet(nodes: int, rounds: int) -> None:
    assert rounds_for(nodes) == rounds


def test_news_are_told_once_at_each_look_and_then_it_is_quiet_until_the_idle_time_is_over() -> None:
    schedule = Schedule(Random(1), 0.0)
    schedule.due(IDLE, PARTNERS)
    schedule.learned(64)
    begun = [len(schedule.due(IDLE + second, PARTNERS)) for second in range(1, 9)]
    assert begun == [1] * 8
    last = IDLE + 8
    quiet = [second for second in range(1, 120) if schedule.due(last + second, PARTNERS)]
    assert IDLE * (1 - JITTER) <= quiet[0] <= IDLE * (1 + JITTER) + 1
    assert len(quiet) in (3, 4)


def test_a_peer_that_was_just_connected_comes_at_once_and_not_when_it_has_gone_again() -> None:
    schedule = Schedule(Random(1), 0.0)
    for peer in PARTNERS:
        schedule.met(peer)
    assert schedule.due(0.0, PARTNERS[:2])[:2] == PARTNERS[:2]
    many = [endpoint_id(number) for number in range(1, MET_AT_ONCE + 5)]
    for peer in many:
        schedule.met(peer)
    assert len(schedule.due(0.0, many)) <= MET_AT_ONCE + 1


def test_without_partners_nothing_is_begun_and_news_wait() -> None:
    schedule = Schedule(Random(1), 0.0)
    schedule.learned(2)
    assert schedule.due(500.0, []) == []
    assert len(schedule.due(501.0, PARTNERS)) == 1


async def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = VirtualClock()
    bucket, each = Bucket(clock, rate=2, burst=3), PeerBuckets(clock, rate=1, burst=1)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert [each.take(peer) for peer in (*PARTNERS[:2], PARTNERS[0])] == [True, True, False]
    clock.time += 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    assert each.take(PARTNERS[0])


async def test_a_peer_is_shunned_for_a_while() -> None:
    clock = VirtualClock()
    shunned = Shunned(clock)
    shunned.add(PARTNERS[0], 5.0)
    assert PARTNERS[0] in shunned
    assert PARTNERS[1] not in shunned
    assert len(shunned) == 1
    clock.time += 5.0
    assert PARTNERS[0] not in shunned
