# SPDX-License-Identifier: MIT
"""Which of the lost peers is probed early, and how often at most."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.unit.peers.people import endpoint_id

from blixard.dialling.search import ROUND_GAP, ROUND_WAIT, TOGETHER, URGED_AGAIN, URGED_GAP, Search
from blixard.model.ids import EndpointId

IDS = [endpoint_id(number) for number in range(64)]


def lost(*ids: EndpointId, now: float = 0.0, since: float = 0.0) -> Search:
    search = Search(Random(1))
    for each in ids:
        search.failed(each, now, since)
    return search


def probes(search: Search, until: float, *, seconds: float = 0.0) -> list[tuple[float, EndpointId]]:
    """Who is probed when until then; each probe fails after so many seconds."""
    made: list[tuple[float, EndpointId]] = []
    while (at := search.next_at()) is not None and at <= until:
        each = search.pop(at)
        assert each is not None
        search.began(each)
        search.failed(each, at + seconds, 0.0)
        made.append((at, each))
    return made


def test_a_lost_peer_has_its_turn_ten_to_fifteen_seconds_after_each_failure() -> None:
    times = [0.0, *(at for at, _ in probes(lost(IDS[0]), 3600.0))]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert ROUND_WAIT[0] <= min(waits)
    assert max(waits) <= ROUND_WAIT[1]
    assert max(waits) - min(waits) > 1, "many nodes shall not keep step"


def test_many_lost_peers_have_their_turns_one_every_two_seconds_and_nobody_twice_before_all() -> None:
    made = probes(lost(*IDS), 3600.0)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(made)]
    assert {round(gap, 6) for gap in gaps} == {ROUND_GAP}
    first, second = ([each for _, each in made[begin : begin + len(IDS)]] for begin in (0, len(IDS)))
    assert set(first) == set(second) == set(IDS)


def test_a_peer_whose_dial_is_under_way_is_not_probed() -> None:
    search = lost(IDS[0])
    search.began(IDS[0])
    search.urge_all(1.0)
    assert search.next_at() is None
    assert len(search) == 1


def test_a_peer_that_is_back_is_reason_to_try_those_that_were_lost_with_it_and_no_others() -> None:
    search = lost(*IDS[:3], since=1000.0)
    search.failed(IDS[3], 0.0, 1000.0 - TOGETHER - 1)
    search.returned(IDS[0], 5.0)
    assert {each for at, each in probes(search, 6.0) if at < 6.0} == set(IDS[1:3])


def test_the_return_of_one_that_was_not_lost_is_no_reason() -> None:
    search = lost(*IDS[:3])
    search.returned(IDS[9], 5.0)
    assert probes(search, 6.0) == []


def test_those_that_are_urged_are_tried_a_tenth_of_a_second_apart_in_an_order_of_each_nodes_own() -> None:
    some, orders = IDS[:40], []
    for seed in (1, 2):
        search = Search(Random(seed))
        for each in some:
            search.failed(each, 0.0, 0.0)
        search.urge(some, 5.0)
        made = probes(search, 5.0 + len(some) * URGED_GAP)
        assert [round(at - 5.0, 6) for at, _ in made] == [round(place * URGED_GAP, 6) for place in range(len(some))]
        orders.append([each for _, each in made])
    assert set(orders[0]) == set(orders[1]) == set(some)
    assert orders[0] != orders[1]


def test_however_often_it_is_urged_a_peer_is_tried_for_it_once_in_fifteen_seconds() -> None:
    search = lost(IDS[0])
    made = []
    for tenth in range(3000):
        search.urge_all(tenth / 10)
        made += probes(search, tenth / 10)
    assert 10 < len(made) <= 300 / URGED_AGAIN + 300 / ROUND_WAIT[0]


def test_a_reason_that_comes_during_a_dial_counts_as_soon_as_that_has_failed() -> None:
    search = lost(IDS[0])
    search.began(IDS[0])
    search.urge(IDS[:1], 3.0)
    search.failed(IDS[0], 8.0, 0.0)
    assert search.next_at() == 8.0


def test_a_reason_that_comes_too_soon_after_another_is_not_lost() -> None:
    search = lost(IDS[0])
    search.urge(IDS[:1], 1.0)
    assert [at for at, _ in probes(search, 1.0)] == [1.0]
    search.urge(IDS[:1], 2.0)
    search.began(IDS[0])
    search.urge(IDS[:1], 3.0)
    search.failed(IDS[0], 11.0, 0.0)
    assert search.next_at() == 1.0 + URGED_AGAIN


def test_a_peer_that_is_not_lost_cannot_be_urged_and_one_that_is_forgotten_is_searched_for_no_more() -> None:
    search = lost(IDS[0])
    search.urge(IDS[1:], 1.0)
    search.forget(IDS[0])
    assert search.next_at() is None
    assert len(search) == 0


class SearchTraces(RuleBasedStateMachine):
    """Whatever is reported and urged in whatever order, the rates hold, and nobody who is lost is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.search = Search(Random(0))
        self.waiting: set[EndpointId] = set()
        self.under_way: set[EndpointId] = set()
        self.probed: list[float] = []

    some = st.sampled_from(IDS[:12])

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        """Time goes on, and whoever's turn comes is dialled at once."""
        end = self.now + seconds
        while (at := self.search.next_at()) is not None and at <= end:
            self.now = max(self.now, at)
            each = self.search.pop(self.now)
            assert each in self.waiting
            self.probed.append(self.now)
            self.it_is_dialled(each)
        self.now = end

    @rule(each=some)
    def it_is_dialled(self, each: EndpointId) -> None:
        if each in self.waiting:
            self.search.began(each)
            self.waiting.discard(each)
            self.under_way.add(each)

    @rule(each=some, ago=st.floats(0, 100))
    def it_fails(self, each: EndpointId, ago: float) -> None:
        self.search.failed(each, self.now, self.now - ago)
        self.under_way.discard(each)
        self.waiting.add(each)

    @rule(each=some)
    def it_is_back(self, each: EndpointId) -> None:
        self.search.returned(each, self.now)
        self.waiting.discard(each)
        self.under_way.discard(each)

    @rule(those=st.sets(some))
    def they_are_urged(self, those: set[EndpointId]) -> None:
        self.search.urge(those, self.now)

    @rule()
    def all_are_urged(self) -> None:
        self.search.urge_all(self.now)

    @invariant()
    def somebody_is_next_as_long_as_somebody_waits(self) -> None:
        at = self.search.next_at()
        assert (at is not None) == bool(self.waiting)
        assert at is None or at <= self.now + ROUND_WAIT[1]

    @invariant()
    def no_more_are_probed_in_a_second_than_the_two_queues_allow(self) -> None:
        recent = [at for at in self.probed if at > self.now - 1.0]
        assert len(recent) <= 1.0 / URGED_GAP + 1 + 1


TestSearchTraces = SearchTraces.TestCase
