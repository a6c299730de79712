# SPDX-License-Identifier: MIT
"""One peer's record under arbitrary traces of what can happen to it."""

from __future__ import annotations

import dataclasses
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.peers.people import endpoint_id, peer

from blixard.dialling import backoff
from blixard.dialling.breaker import JITTER, LEASE, LONGEST_OPEN, Permit
from blixard.dialling.dial_state import MAX_REMEMBERED, DialState
from blixard.dialling.protocols import DialError

PEER = peer(1)
LONGEST_WAIT = max(LONGEST_OPEN * (1 + JITTER), backoff.LONGEST, backoff.LOSS_LONGEST)


def dial_state() -> DialState:
    return DialState(PEER, endpoint_id(1), since=0.0, alone_since=0.0)


def failed(times: int, kind: str = "timeout") -> DialState:
    """A peer that failed so often in a row, each dial being made when it was due."""
    made, rng, now = dial_state(), Random(1), 0.0
    for _ in range(times):
        permit = made.begin(now, rng, PEER.direct_addresses)
        assert permit is not None
        made.failed(permit, DialError(kind, "no"), now, rng)
        assert made.next_at is not None
        now = made.next_at
    return made


def test_each_outcome_has_its_state() -> None:
    assert dial_state().state == "discovered"
    assert failed(1).state == "backing_off"
    assert failed(5).state == "open"
    assert failed(5, "refused").state == "refused"
    assert failed(50, "local").state == "backing_off"


def test_a_caller_that_soon_goes_away_does_not_hide_that_the_peer_refuses_this_node() -> None:
    made, rng = failed(2, "wrong_node_id"), Random(1)
    made.connected(10.0, is_ours=False)
    made.lost("gone", 11.0, rng, 1)
    assert made.error is not None
    assert (made.state, made.error[0].kind) == ("refused", "wrong_node_id")
    made.connected(12.0, is_ours=False)
    made.lost("gone", 50.0, rng, 1)
    assert made.state == "backing_off"


def test_a_connection_dialled_from_here_is_the_end_of_a_refusal() -> None:
    made, rng = failed(2, "refused"), Random(1)
    made.connected(10.0, is_ours=True)
    made.lost("gone", 11.0, rng, 1)
    assert made.state == "backing_off"
    assert made.error is not None
    assert made.error[0].kind == "closed"


def test_another_node_id_under_the_same_key_is_reason_to_dial_at_once() -> None:
    made = failed(3, "wrong_node_id")
    assert made.learn(dataclasses.replace(PEER, node_id=9))
    made.hurry_if_fresh(7.0)
    assert made.next_at == 7.0


def test_failures_that_lie_here_are_waited_for_but_not_counted() -> None:
    here = failed(50, "local")
    assert (here.failures, here.local_failures, here.breaker.circuit) == (0, 50, "closed")


def test_a_way_is_new_only_until_it_was_dialled() -> None:
    made, rng = failed(1), Random(1)
    moved = peer(1, "10.0.0.9:1")
    assert made.learn(moved)
    made.hurry_if_fresh(5.0)
    assert made.next_at == 5.0
    permit = made.begin(5.0, rng, moved.direct_addresses)
    assert permit is not None
    made.failed(permit, DialError("timeout", "no"), 5.0, rng)
    assert not made.learn(moved)
    assert not made.learn(PEER)


def test_a_peer_that_a_probe_has_found_waits_as_one_that_failed_and_not_as_one_that_is_shunned() -> None:
    shunned = failed(5)
    now = shunned.since
    assert shunned.next_at is not None
    assert shunned.next_at - now >= 24.0
    shunned.sighted(now, Random(1))
    assert shunned.state == "backing_off"
    assert 0.25 <= shunned.next_at - now <= 8.0


def test_a_new_relay_is_a_new_way() -> None:
    made = failed(1)
    assert made.learn(dataclasses.replace(PEER, relay_url="https://relay.example"))


def test_ways_are_not_remembered_without_end() -> None:
    made, rng = dial_state(), Random(1)
    for number in range(2 * MAX_REMEMBERED):
        permit = made.begin(0.0, rng, [f"10.0.0.1:{number + 1}"])
        assert permit is not None
        made.failed(permit, DialError("local", "no"), 0.0, rng)
    assert len(made._tried) == MAX_REMEMBERED
    assert not made.learn(peer(1, f"10.0.0.1:{2 * MAX_REMEMBERED}"))


def test_every_dial_is_counted() -> None:
    assert dial_state().attempts == 0
    assert failed(3).attempts == 3


def test_a_peer_found_or_lost_just_now_goes_before_one_that_fails_and_a_guest_goes_last() -> None:
    guest = dial_state()
    guest.is_guest = True
    assert dial_state().urgency < failed(1).urgency < guest.urgency


def test_a_member_that_failed_five_times_in_a_row_is_searched_for_but_no_guest_and_none_that_refuses() -> None:
    guest = failed(5)
    guest.is_guest = True
    assert failed(5).is_lost
    assert not any(each.is_lost for each in (dial_state(), failed(4), failed(5, "refused"), failed(9, "local"), guest))
    back = failed(5)
    back.connected(100.0, is_ours=True)
    assert not back.is_lost
    back.lost("gone", 101.0, Random(1), 1)
    assert back.is_lost, "a connection that died young proves nothing"


def test_a_connection_and_a_failure_elsewhere_end_the_row_of_failures_that_lie_here() -> None:
    connected, elsewhere = failed(3, "local"), failed(3, "local")
    connected.connected(100.0, is_ours=True)
    permit = elsewhere.begin(100.0, Random(1), PEER.direct_addresses)
    assert permit is not None
    elsewhere.failed(permit, DialError("timeout", "no"), 100.0, Random(1))
    assert (connected.local_failures, elsewhere.local_failures) == (0, 0)


def test_a_probe_that_fails_for_a_reason_here_is_not_made_again_at_once() -> None:
    made, rng = failed(5), Random(1)
    now = made.next_at
    assert now is not None
    permit = made.begin(now, rng, PEER.direct_addresses)
    assert permit is not None
    made.failed(permit, DialError("local", "no"), now, rng)
    assert made.next_at is not None
    assert made.next_at >= now + 0.25


def test_a_dial_that_was_given_up_may_be_made_again_at_once() -> None:
    made, rng = dial_state(), Random(1)
    permit = made.begin(5.0, rng, PEER.direct_addresses)
    assert permit is not None
    made.cancelled(permit, 6.0, rng)
    assert (made.state, made.next_at, made.failures) == ("backing_off", 6.0, 0)


def test_a_connection_is_proven_when_it_has_lived_for_thirty_seconds() -> None:
    made = failed(2)
    made.connected(10.0, is_ours=True)
    made.connected(20.0, is_ours=True)
    assert not made.settle(39.9)
    assert (made.failures, made.is_proven) == (2, False)
    assert made.settle(40.0)
    assert (made.failures, made.is_proven) == (0, True)


def test_a_connection_that_died_young_is_a_failure_and_one_that_was_proven_is_none() -> None:
    young, old = failed(2), failed(2)
    for made, end in ((young, 39.9), (old, 40.0)):
        made.connected(10.0, is_ours=True)
        made.lost("gone", end, Random(1), 1)
        assert (made.connected_at, made.alone_since, made.state) == (None, end, "backing_off")
    assert (young.failures, old.failures) == (3, 0)
    assert old.next_at is not None
    assert old.next_at <= 40.05


def test_a_new_way_skips_a_wait_once_and_only_where_one_waits() -> None:
    made = failed(1)
    waits_until = made.next_at
    made.hurry_if_fresh(0.1)
    assert made.next_at == waits_until
    assert made.learn(peer(1, "10.0.0.9:1"))
    made.hurry_if_fresh(0.1)
    made.next_at = 7.0
    made.hurry_if_fresh(0.2)
    assert made.next_at == 7.0
    connected = dial_state()
    connected.connected(1.0, is_ours=True)
    connected.hurry(2.0)
    assert connected.next_at is None


def test_the_status_says_since_when_it_is_as_it_is() -> None:
    made = dial_state()
    made.connected(5.0, is_ours=True)
    made.connected(6.0, is_ours=True)
    assert (made.state, made.since) == ("connected", 5.0)
    made.rest(7.0)
    assert (made.state, made.since, made.next_at) == ("discovered", 7.0, None)


class PursuitTraces(RuleBasedStateMachine):
    """Whatever happens in whatever order, the next dial is never far, and a success ends everything."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = Random(0)
        self.now = 0.0
        self.dial_state = dial_state()
        self.dial_state.next_at = 0.0
        self.permit: Permit | None = None
        self.old: list[Permit] = []

    @property
    def is_waiting(self) -> bool:
        return self.permit is None and self.dial_state.connected_at is None

    @rule(seconds=st.one_of(st.floats(0, 700), st.sampled_from([0.25, 30.0, 60.0, LEASE, 360.0])))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.is_waiting)
    @rule()
    def its_time_comes(self) -> None:
        assert self.dial_state.next_at is not None
        self.now = max(self.now, self.dial_state.next_at)
        self.permit = self.dial_state.begin(self.now, self.rng, PEER.direct_addresses)
        if self.permit is not None:
            self.old.append(self.permit)

    @precondition(lambda self: self.permit is not None)
    @rule(kind=st.sampled_from(["timeout", "unreachable", "wrong_id", "refused", "wrong_cluster", "local"]))
    def it_fails(self, kind: str) -> None:
        assert self.permit is not None
        self.dial_state.failed(self.permit, DialError(kind, "no"), self.now, self.rng)
        self.permit = None
        assert self.dial_state.next_at is not None
        assert self.dial_state.next_at >= self.now + backoff.SHORTEST

    @precondition(lambda self: self.permit is not None)
    @rule()
    def it_is_given_up(self) -> None:
        assert self.permit is not None
        self.dial_state.cancelled(self.permit, self.now, self.rng)
        self.permit = None

    @precondition(lambda self: self.dial_state.connected_at is None)
    @rule()
    def it_is_connected(self) -> None:
        """By the dial or by a call from there."""
        self.dial_state.connected(self.now, is_ours=True)
        self.permit = None

    @precondition(lambda self: self.dial_state.connected_at is not None)
    @rule(peers=st.integers(0, 10_000))
    def it_is_lost(self, peers: int) -> None:
        self.dial_state.lost("gone", self.now, self.rng, peers)
        assert self.dial_state.error is not None
        assert self.dial_state.error[0].kind == "closed"

    @precondition(lambda self: self.is_waiting)
    @rule()
    def a_probe_has_seen_it(self) -> None:
        self.dial_state.sighted(self.now, self.rng)

    @precondition(lambda self: self.is_waiting)
    @rule()
    def there_is_a_new_way(self) -> None:
        self.dial_state.hurry(self.now)

    @invariant()
    def the_next_dial_is_never_farther_than_the_longest_wait(self) -> None:
        if self.is_waiting:
            assert self.dial_state.next_at is not None
            assert self.dial_state.next_at <= self.now + LONGEST_WAIT

    @invariant()
    def when_its_time_comes_the_breaker_lets_it_through(self) -> None:
        if self.is_waiting and self.dial_state.next_at is not None:
            at = max(self.now, self.dial_state.next_at)
            assert self.dial_state.breaker.begin(at, self.rng)[1] is not None

    @invariant()
    def the_state_says_what_is(self) -> None:
        if self.dial_state.connected_at is not None:
            assert self.dial_state.state == "connected"
        elif self.permit is not None:
            assert self.dial_state.state == "connecting"
        elif self.dial_state.breaker.circuit == "open":
            assert self.dial_state.state == "open"
        else:
            assert self.dial_state.state in ("discovered", "backing_off", "refused")

    @invariant()
    def a_connection_that_lives_ends_all_that_was_before(self) -> None:
        if self.dial_state.connected_at is not None and self.now - self.dial_state.connected_at >= backoff.PROVEN_AFTER:
            self.dial_state.settle(self.now)
            assert (self.dial_state.failures, self.dial_state.breaker.trips) == (0, 0)


TestPursuitTraces = PursuitTraces.TestCase
