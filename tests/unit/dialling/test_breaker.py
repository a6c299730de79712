# SPDX-License-Identifier: MIT
"""The circuit breaker, by its rules and by arbitrary traces."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from blixard.dialling.breaker import (
    LEASE,
    LONGEST_OPEN,
    LONGEST_REFUSAL,
    THRESHOLD,
    Breaker,
    Permit,
)

RNG = Random(1)


def opened(now: float = 0.0) -> Breaker:
    """A breaker that has just opened for the first time."""
    breaker = Breaker()
    for _ in range(THRESHOLD):
        breaker, permit = breaker.begin(now, RNG)
        assert permit is not None
        breaker = breaker.failed(permit, now, RNG)
    return breaker


def half_open() -> tuple[Breaker, Permit, float]:
    """A breaker whose probe is under way, the probe, and the time."""
    breaker = opened()
    now = breaker.until
    breaker, permit = breaker.begin(now, RNG)
    assert permit is not None
    return breaker, permit, now


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker()
    for number in range(1, 6):
        breaker, permit = breaker.begin(0.0, RNG)
        assert permit is not None
        assert breaker.circuit == "closed"
        breaker = breaker.failed(permit, 0.0, RNG)
        assert breaker.circuit == ("open" if number == 5 else "closed")


def test_a_success_ends_the_row() -> None:
    breaker = Breaker(failures=4)
    breaker, permit = breaker.begin(0.0, RNG)
    assert permit is not None
    assert breaker.succeeded(permit, 0.0, RNG).failures == 0


def test_an_open_one_lets_nothing_through() -> None:
    breaker = opened()
    assert breaker.begin(breaker.until - 0.001, RNG)[1] is None


@pytest.mark.parametrize(("trips", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 300), (6, 300), (1000, 300)])
def test_each_trip_is_twice_as_long_up_to_five_minutes(trips: int, seconds: float) -> None:
    breaker = Breaker(failures=THRESHOLD - 1, trips=trips - 1)
    opened_for = [breaker.failed(Permit(0, is_probe=False), 0.0, Random(seed)).until for seed in range(200)]
    assert 0.8 * seconds <= min(opened_for) < 0.85 * seconds
    assert 1.15 * seconds < max(opened_for) <= 1.2 * seconds


def test_a_half_open_one_lets_exactly_one_probe_through() -> None:
    breaker, permit, now = half_open()
    assert permit.is_probe
    assert breaker.begin(now, RNG)[1] is None
    assert breaker.begin(now + LEASE - 0.001, RNG)[1] is None


def test_one_successful_probe_closes_it() -> None:
    breaker, permit, now = half_open()
    assert breaker.succeeded(permit, now, RNG).circuit == "closed"


def test_a_failed_probe_opens_it_for_longer() -> None:
    breaker, permit, now = half_open()
    breaker = breaker.failed(permit, now, RNG)
    assert (breaker.circuit, breaker.trips) == ("open", 2)
    assert breaker.until >= now + 0.8 * 60


def test_a_cancelled_probe_opens_it_again_for_the_same_time() -> None:
    breaker, permit, now = half_open()
    breaker = breaker.cancelled(permit, now, RNG)
    assert (breaker.circuit, breaker.trips) == ("open", 1)
    assert now + 0.8 * 30 <= breaker.until <= now + 1.2 * 30


def test_a_probe_that_never_reports_opens_it_again_when_its_lease_ends() -> None:
    breaker, _, now = half_open()
    expired = breaker.expired(now + LEASE, RNG)
    assert (expired.circuit, expired.trips) == ("open", 2)


def test_open_time_after_a_lost_lease_counts_from_the_end_of_the_lease_not_from_when_somebody_asks() -> None:
    breaker, _, now = half_open()
    late = now + LEASE + 1.2 * 60
    assert breaker.begin(late, RNG)[1] is not None


def test_a_late_failure_of_an_earlier_generation_changes_nothing() -> None:
    breaker, permit, now = half_open()
    closed = breaker.answered()
    assert closed.failed(permit, now, RNG) == closed
    assert closed.cancelled(permit, now, RNG) == closed
    assert closed.local_error(permit, now, RNG) == closed


def test_a_late_success_of_an_earlier_generation_does_not_close_it() -> None:
    breaker, permit, now = half_open()
    again = breaker.expired(now + LEASE, RNG)
    assert again.succeeded(permit, now + LEASE, RNG) == again


@pytest.mark.parametrize("result", [Breaker.succeeded, Breaker.failed, Breaker.cancelled, Breaker.local_error])
def test_a_result_after_the_lease_does_not_prolong_or_end_the_open_time(
    result: Callable[[Breaker, Permit, float, Random], Breaker],
) -> None:
    breaker, permit, now = half_open()
    late = result(breaker, permit, now + LEASE + 1000, RNG)
    assert (late.circuit, late.trips) == ("open", 2)
    assert late.until <= now + LEASE + 1.2 * 60


def test_local_errors_do_not_count() -> None:
    breaker = Breaker()
    for _ in range(3 * THRESHOLD):
        breaker, permit = breaker.begin(0.0, RNG)
        assert permit is not None
        breaker = breaker.local_error(permit, 0.0, RNG)
    assert breaker == Breaker()


def test_a_probe_that_fails_for_a_local_reason_may_be_made_again_at_once() -> None:
    breaker, permit, now = half_open()
    breaker = breaker.local_error(permit, now, RNG)
    assert breaker.trips == 1
    _, again = breaker.begin(now, RNG)
    assert again is not None
    assert again.is_probe


@pytest.mark.parametrize("result", [Breaker.failed, Breaker.cancelled, Breaker.local_error])
def test_a_probe_that_has_ended_in_vain_can_no_longer_close_it(
    result: Callable[[Breaker, Permit, float, Random], Breaker],
) -> None:
    breaker, permit, now = half_open()
    ended = result(breaker, permit, now, RNG)
    assert ended.succeeded(permit, now, RNG) == ended


def test_a_probe_that_is_given_up_when_the_peer_was_proven_meanwhile_opens_it_as_the_first_time() -> None:
    breaker, permit, now = half_open()
    assert breaker.proven().cancelled(permit, now, RNG).until >= now + 24.0


def test_the_peer_answering_by_another_way_closes_it() -> None:
    assert opened().answered().circuit == "closed"


def test_one_that_was_closed_opens_at_the_fifth_failure_again() -> None:
    breaker = opened().answered()
    for number in range(1, 6):
        assert breaker.circuit == "closed", number
        breaker, permit = breaker.begin(0.0, RNG)
        assert permit is not None
        breaker = breaker.failed(permit, 0.0, RNG)
    assert breaker.circuit == "open"


def test_trips_are_remembered_until_the_peer_is_proven() -> None:
    closed = opened().answered()
    assert closed.trips == 1
    assert closed.proven().trips == 0


def test_new_reason_to_try_ends_the_open_time_and_makes_one_probe() -> None:
    breaker, permit = opened().hurried(1.0).begin(1.0, RNG)
    assert permit is not None
    assert permit.is_probe
    assert breaker.hurried(2.0) == breaker


class BreakerTraces(RuleBasedStateMachine):
    """Any events in any order, results of any dial at any time: it must never stay shut for good."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0
        self.rng = Random(0)
        self.permits: list[Permit] = []
        self.refused_since: float | None = None
        self.probe: tuple[Permit, float] | None = None

    @rule(seconds=st.floats(0, 1000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([0.0, LEASE, LONGEST_OPEN, 36.0, 24.0]))
    def a_telling_time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def dial(self) -> None:
        self.breaker, permit = self.breaker.begin(self.now, self.rng)
        if permit is None:
            since = self.refused_since if self.refused_since is not None else self.now
            self.refused_since = since
            assert self.now - since <= LONGEST_REFUSAL
            return
        self.refused_since = None
        if permit.is_probe:
            assert self.probe is None or self.probe[1] <= self.now, "two probes at once"
            self.probe = (permit, self.now + LEASE)
        self.permits.append(permit)

    def _some_dial(self, data: st.DataObject) -> Permit:
        permit = data.draw(st.sampled_from(self.permits))
        if self.probe is not None and self.probe[0] == permit:
            self.probe = None
        return permit

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def a_dial_succeeds(self, data: st.DataObject) -> None:
        self.breaker = self.breaker.succeeded(self._some_dial(data), self.now, self.rng)

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def a_dial_fails(self, data: st.DataObject) -> None:
        self.breaker = self.breaker.failed(self._some_dial(data), self.now, self.rng)

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def a_dial_is_cancelled(self, data: st.DataObject) -> None:
        self.breaker = self.breaker.cancelled(self._some_dial(data), self.now, self.rng)

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def a_dial_breaks_here(self, data: st.DataObject) -> None:
        self.breaker = self.breaker.local_error(self._some_dial(data), self.now, self.rng)

    @rule()
    def the_peer_calls(self) -> None:
        self.breaker = self.breaker.answered()
        self.probe = None

    @rule()
    def the_peer_is_proven(self) -> None:
        self.breaker = self.breaker.proven()

    @rule()
    def there_is_new_reason(self) -> None:
        self.breaker = self.breaker.hurried(self.now)

    @invariant()
    def a_healthy_peer_gets_through_within_the_longest_refusal(self) -> None:
        at = max(self.now, self.breaker.until)
        breaker, permit = self.breaker.begin(at, self.rng)
        if permit is None:
            # The lease of a lost probe ended: one more open time, and then nothing stands in the way.
            assert breaker.circuit == "open"
            at = max(at, breaker.until)
            breaker, permit = breaker.begin(at, self.rng)
        assert at <= self.now + LONGEST_REFUSAL
        assert permit is not None
        assert breaker.succeeded(permit, at, self.rng).circuit == "closed"


TestBreakerTraces = BreakerTraces.TestCase
