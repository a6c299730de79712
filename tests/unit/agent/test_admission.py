# SPDX-License-Identifier: MIT
"""Admission control: it answers by what the manager knows at that moment, counts, and does not fill the log."""

from __future__ import annotations

import logging
from typing import cast

import pytest
from tests.unit.agent.virtual_clock import VirtualClock
from tests.unit.documents.samples import attested, key, peer

from blixard.agent.admission import CALLERS_REMEMBERED, LOG_AGAIN, AdmissionControl
from blixard.discovery_manager import DiscoveryManager
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.transport.hello import MAX_REASON, Admission, Hello, encode


class FakeManager:
    """Knows the peers that it is given."""

    def __init__(self) -> None:
        self.peers: list[DiscoveredPeer] = []

    def find(self, endpoint_id: EndpointId) -> DiscoveredPeer | None:
        return next((each for each in self.peers if each.endpoint_id == endpoint_id), None)

    def get_peer(self, node_id: int) -> DiscoveredPeer | None:
        return next((each for each in self.peers if each.node_id == node_id), None)


@pytest.fixture
def manager() -> FakeManager:
    return FakeManager()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def admission_control(manager: FakeManager, clock: VirtualClock, admission: Admission = "known") -> AdmissionControl:
    """The admission control of node 1."""
    return AdmissionControl(
        cast("DiscoveryManager", manager), lambda: attested(1), cluster="blixard", admission=admission, clock=clock
    )


def hello(number: int) -> Hello:
    return Hello(cluster="blixard", node_id=number, entry=attested(number))


def test_who_is_let_in_hears_who_the_node_is(manager: FakeManager, clock: VirtualClock) -> None:
    manager.peers = [peer(2)]
    welcome = admission_control(manager, clock).welcome(hello(2), key(2).public())
    assert (welcome.admitted, welcome.cluster, welcome.node_id, welcome.entry) == (True, "blixard", 1, attested(1))


def test_who_is_refused_hears_the_reason_and_nothing_else(manager: FakeManager, clock: VirtualClock) -> None:
    welcome = admission_control(manager, clock).welcome(hello(2), key(2).public())
    assert not welcome.admitted
    assert welcome.reason is not None
    assert welcome.reason.startswith("unknown: ")
    assert (welcome.cluster, welcome.node_id, welcome.entry) == (None, None, None)


def test_a_peer_that_becomes_known_is_let_in_the_next_time(manager: FakeManager, clock: VirtualClock) -> None:
    door = admission_control(manager, clock)
    assert not door.welcome(hello(2), key(2).public()).admitted
    manager.peers = [peer(2)]
    assert door.welcome(hello(2), key(2).public()).admitted
    manager.peers = []
    assert not door.welcome(hello(2), key(2).public()).admitted


def test_an_open_node_lets_whoever_proves_membership_in(manager: FakeManager, clock: VirtualClock) -> None:
    assert admission_control(manager, clock, "open").welcome(hello(2), key(2).public()).admitted


def test_a_node_id_that_another_holds_is_not_given_twice(manager: FakeManager, clock: VirtualClock) -> None:
    manager.peers = [peer(3)]
    claim = Hello(cluster="blixard", node_id=3, entry=attested(2, cluster_node_id=3))
    door = admission_control(manager, clock, "open")
    assert not door.welcome(claim, key(2).public()).admitted
    assert door.refused == {"node_id_taken": 1}


def test_every_refusal_is_counted_by_kind_and_each_caller_is_logged_once_in_a_while(
    manager: FakeManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    door = admission_control(manager, clock)
    for _ in range(5):
        door.welcome(hello(2), key(2).public())
    door.welcome(hello(3), key(3).public())
    door.welcome(Hello(cluster="another", node_id=2, entry=None), key(2).public())
    assert door.refused == {"unknown": 6, "wrong_cluster": 1}
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    for time, lines in ((59.9, 3), (60.0, 4), (119.9, 4), (120.0, 5)):
        clock.time = time
        door.welcome(hello(2), key(2).public())
        assert len(caplog.records) == lines


def test_a_crowd_of_callers_costs_no_more_memory_than_a_few(
    manager: FakeManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    door = admission_control(manager, clock)
    for number in range(2, CALLERS_REMEMBERED + 10):
        door.welcome(Hello(cluster="blixard", node_id=number, entry=None), key(number).public())
    assert len(door._logged) == CALLERS_REMEMBERED
    caplog.clear()
    door.welcome(Hello(cluster="blixard", node_id=2, entry=None), key(CALLERS_REMEMBERED).public())
    assert caplog.records == []


def test_of_many_callers_the_one_that_was_refused_longest_ago_is_forgotten_first(
    manager: FakeManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.agent.admission.CALLERS_REMEMBERED", 2)
    door = admission_control(manager, clock)
    for caller, lines in (("a", 1), ("b", 2), ("c", 3), ("c", 3), ("b", 3), ("a", 4)):
        door.turned_away("unknown", caller, "is not known")
        assert len(caplog.records) == lines


def test_a_reason_always_fits_into_the_welcome(manager: FakeManager, clock: VirtualClock) -> None:
    nuisance = Hello(cluster="\U0010ffff" * 64, node_id=2, entry=None)
    welcome = admission_control(manager, clock).welcome(nuisance, key(2).public())
    assert welcome.reason is not None
    assert len(welcome.reason) <= MAX_REASON
    assert welcome.reason.isprintable()
    encode(welcome)


def test_a_crowd_of_callers_fills_no_log_and_the_first_line_left_out_says_so(
    manager: FakeManager, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    door = admission_control(manager, clock)
    for number in range(1000):
        door.turned_away("no_hello", f"192.0.2.{number}", "not complete after 10 s")
    assert door.refused == {"no_hello": 1000}
    assert len(caplog.records) == 31
    assert caplog.messages[-1].startswith("more callers are refused")
    clock.time = LOG_AGAIN
    door.turned_away("no_hello", "198.51.100.1", "not complete after 10 s")
    assert len(caplog.records) == 32
