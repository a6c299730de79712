# SPDX-License-Identifier: MIT
"""Members before start: who forms, who joins, who waits; and that one set of voters never becomes two clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blixard.raft.formation import Form, Join, Standing, StayOut, Wait, decide
from blixard.raft.voters import majority

FIVE = frozenset({1, 2, 3, 4, 5})
THREE = frozenset({1, 2, 3})


def blank(node: int, expected: frozenset[int] = THREE) -> Standing:
    return Standing(node_id=node, expected=expected, incarnation=f"first-{node}")


def formed(
    node: int, admitted: Iterable[int] = (1, 2), *, members: frozenset[int] = THREE, genesis: str | None = "g"
) -> Standing:
    words = {each: f"first-{each}" for each in admitted}
    return dataclasses.replace(blank(node), members=members, genesis=genesis, admitted=words)


def test_a_lone_node_of_a_larger_set_waits() -> None:
    decision = decide(blank(1), {})
    assert decision == Wait("not forming: 1 of the voters 1,2,3 are here, 2 are needed")


def test_a_lone_node_that_is_the_whole_set_forms() -> None:
    assert decide(blank(1, frozenset({1})), {}) == Form(frozenset({1}))


def test_a_node_does_not_count_itself_among_those_it_found() -> None:
    assert isinstance(decide(blank(1), {1: blank(1)}), Wait)


def test_a_majority_that_expects_the_same_voters_forms() -> None:
    assert decide(blank(1), {2: blank(2)}) == Form(THREE)
    assert isinstance(decide(blank(1, FIVE), {2: blank(2, FIVE)}), Wait)
    assert decide(blank(1, FIVE), {2: blank(2, FIVE), 5: blank(5, FIVE)}) == Form(FIVE)


def test_nodes_that_are_no_voters_do_not_count() -> None:
    assert isinstance(decide(blank(1), {7: blank(7), 8: blank(8)}), Wait)


def test_a_node_that_is_none_of_the_voters_waits() -> None:
    decision = decide(blank(9), {1: blank(1), 2: blank(2)})
    assert decision == Wait("not forming: node 9 is none of the voters 1,2,3")


def test_nobody_forms_while_one_that_is_here_expects_others() -> None:
    decision = decide(blank(1), {2: blank(2), 3: blank(3, frozenset({1, 2, 3, 4}))})
    assert decision == Wait("not forming: node 3 expects voters 1,2,3,4; this node 1,2,3")


def test_a_node_that_started_without_a_committed_entry_is_one_to_form_with() -> None:
    assert decide(blank(1), {2: formed(2, (), genesis=None)}) == Form(THREE)


def test_a_node_joins_the_cluster_that_has_admitted_it_and_forms_no_other() -> None:
    assert decide(blank(3), {1: formed(1, (1, 2, 3)), 2: blank(2)}) == Join(THREE, "g")
    decision = decide(blank(3), {1: formed(1), 2: blank(2)})
    assert decision == Wait("waiting until the cluster of node 1 has a leader that admits this node")


def test_a_blank_journal_in_the_place_of_an_admitted_voter_stays_out() -> None:
    own = dataclasses.replace(blank(2), incarnation="second")
    decision = decide(own, {1: formed(1), 3: blank(3)})
    assert isinstance(decision, StayOut)
    assert "blixard raft members remove 2, then blixard raft members add 2" in decision.reason


def test_a_node_that_the_cluster_does_not_know_says_how_it_becomes_a_voter() -> None:
    decision = decide(blank(4, frozenset({1, 2, 3, 4})), {1: formed(1), 2: formed(2)})
    assert isinstance(decision, Wait)
    assert "blixard raft members add 4" in decision.reason


def test_two_clusters_that_answer_are_named() -> None:
    decision = decide(blank(3), {1: formed(1, genesis="g1"), 2: formed(2, genesis="g2")})
    assert decision == Wait("two clusters answer, g1 and g2; end one of them")


class Schedule:
    """Nodes that start at any time, links that come and go, journals that are lost, and Raft as far as it matters.

    A candidate leads when a majority of its voters is connected with it and has no newer log. It adds an entry, the
    first of a cluster being its id, and what a majority has is acknowledged. All that have started vote, whatever
    their incarnation: nothing but `decide` keeps a blank journal out here.
    """

    def __init__(self, seed: int, voters: frozenset[int]) -> None:
        self.rng = Random(seed)
        self.nodes: dict[int, Standing] = {}
        self.to_come = self.rng.sample(sorted(voters), len(voters))
        self.voters = voters
        self.links: set[frozenset[int]] = set()
        self.logs: dict[int, list[tuple[int, str]]] = {}  # terms and entries
        self.acknowledged: list[tuple[int, str]] = []
        self.term = 0
        self.to_lose = len(voters) - majority(len(voters))

    def step(self, *more: Callable[[], None]) -> None:
        self.rng.choice((self._come, self._link, self._link, self._look, self._look, self._look, self._lead, *more))()

    def connect_all(self) -> None:
        """Everybody is there and connected."""
        while self.to_come:
            self._come()
        self.links = {frozenset({one, other}) for one in self.voters for other in self.voters if one != other}

    def settle(self) -> None:
        """Connect everybody, and let them do what they can."""
        self.connect_all()
        for _ in range(200):
            self._look()
            self._lead()

    def _come(self) -> None:
        if self.to_come:
            node = self.to_come.pop()
            self.nodes[node] = blank(node, self.voters)

    def _link(self) -> None:
        if len(self.nodes) > 1:
            self.links ^= {frozenset(self.rng.sample(sorted(self.nodes), 2))}

    def lose(self) -> None:
        """A node comes back with a blank journal."""
        if self.to_lose:
            self.to_lose -= 1
            node = self.rng.choice(sorted(n for n in self.nodes if self.nodes[n].incarnation == f"first-{n}"))
            self.nodes[node] = dataclasses.replace(blank(node, self.voters), incarnation=f"second-{node}")
            self.logs.pop(node)

    def _heard(self, node: int) -> dict[int, Standing]:
        return {other: each for other, each in self.nodes.items() if frozenset({node, other}) in self.links}

    def _look(self) -> None:
        if not self.nodes:
            return
        node = self.rng.choice(sorted(self.nodes))
        own, heard = self.nodes[node], self._heard(node)
        if own.has_formed:
            return
        decision = decide(own, heard)
        if isinstance(decision, Form):
            assert len(heard) + 1 >= majority(len(self.voters))
            assert not any(each.genesis for each in heard.values())
            self.nodes[node] = dataclasses.replace(own, members=decision.voters)
        elif isinstance(decision, Join):
            self.nodes[node] = dataclasses.replace(own, members=decision.voters, genesis=decision.genesis)

    def _lead(self) -> None:
        started = sorted(node for node, each in self.nodes.items() if each.has_formed)
        if not started:
            return
        leader = self.rng.choice(started)
        members = self.nodes[leader].members or frozenset()
        connected = {node: each for node, each in self._heard(leader).items() if node in members}
        followers = [node for node, each in connected.items() if each.has_formed and not self._is_newer(node, leader)]
        if len(followers) + 1 < majority(len(members)):
            return
        log = self.logs.get(leader, [])
        assert log[: len(self.acknowledged)] == self.acknowledged, "what was acknowledged is lost"
        self.term += 1
        log = [*log, (self.term, f"entry-{self.term}")]
        words = {node: each.incarnation for node, each in connected.items()} | {leader: self.nodes[leader].incarnation}
        admitted = {**words, **(self.nodes[leader].admitted or {})}
        for node in (leader, *followers):
            self.logs[node] = log
            self.nodes[node] = dataclasses.replace(self.nodes[node], genesis=log[0][1], admitted=admitted)
        self.acknowledged = log

    def _is_newer(self, node: int, than: int) -> bool:
        one, other = (self.logs.get(each, []) for each in (node, than))
        return (one[-1:], len(one)) > (other[-1:], len(other))


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([1, 3, 4, 5, 7]))
def test_voters_that_come_late_and_lose_each_other_become_one_cluster_and_never_two(seed: int, size: int) -> None:
    schedule = Schedule(seed, frozenset(range(1, size + 1)))
    for _ in range(200):
        schedule.step()
    schedule.settle()
    assert {each.genesis for each in schedule.nodes.values()} == {schedule.acknowledged[0][1]}


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([3, 4, 5, 7]))
def test_journals_of_a_minority_that_are_lost_take_nothing_with_them_that_was_acknowledged(
    seed: int, size: int
) -> None:
    schedule = Schedule(seed, frozenset(range(1, size + 1)))
    schedule.settle()
    for _ in range(300):
        schedule.step(schedule.lose)
    schedule.settle()
    lost = [each for each in schedule.nodes.values() if each.incarnation.startswith("second")]
    assert len(lost) == size - majority(size)
    assert not any(each.has_formed for each in lost)


@pytest.mark.parametrize("seed", range(20))
def test_while_all_are_connected_and_one_expects_others_nobody_forms(seed: int) -> None:
    schedule = Schedule(seed, FIVE)
    schedule.connect_all()
    odd = schedule.rng.choice(sorted(FIVE))
    schedule.nodes[odd] = blank(odd, FIVE | {6})
    for _ in range(100):
        schedule._look()
    assert not any(each.has_formed for each in schedule.nodes.values())
