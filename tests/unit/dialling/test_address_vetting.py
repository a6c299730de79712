# SPDX-License-Identifier: MIT
"""Which of a peer's addresses are dialled."""

from __future__ import annotations

import pytest
from tests.simulation.network import endpoint

from blixard.dialling.address_vetting import QUARANTINE, Vetting

ALICE, BOB = endpoint(0, 1), endpoint(0, 2)
DOCKER, LAN, OTHER = "172.17.0.1:7001", "10.0.0.1:7001", "10.0.0.2:7001"


@pytest.fixture
def vetting() -> Vetting:
    """Alice on two addresses of her own."""
    vetting = Vetting()
    vetting.learn(ALICE, [DOCKER, LAN], has_relay=False)
    return vetting


def test_all_addresses_are_dialled_while_nothing_speaks_against_one(vetting: Vetting) -> None:
    assert vetting.candidates(ALICE) == (DOCKER, LAN)


def test_an_address_that_two_peers_list_is_held_back_for_both(vetting: Vetting) -> None:
    vetting.learn(BOB, [DOCKER, OTHER], has_relay=False)
    assert vetting.candidates(ALICE) == (LAN,)
    assert vetting.candidates(BOB) == (OTHER,)
    assert vetting.verdict(ALICE, DOCKER).state == "held_back"
    assert BOB.short in str(vetting.verdict(ALICE, DOCKER).reason)


def test_it_is_dialled_again_when_the_other_peer_no_longer_lists_it(vetting: Vetting) -> None:
    vetting.learn(BOB, [DOCKER], has_relay=False)
    vetting.learn(BOB, [OTHER], has_relay=False)
    assert vetting.candidates(ALICE) == (DOCKER, LAN)
    vetting.learn(BOB, [DOCKER], has_relay=False)
    vetting.forget(BOB)
    assert vetting.candidates(ALICE) == (DOCKER, LAN)


def test_an_address_of_this_node_itself_is_held_back(vetting: Vetting) -> None:
    vetting.set_own([DOCKER])
    assert vetting.candidates(ALICE) == (LAN,)
    assert vetting.verdict(ALICE, DOCKER).reason == "this node has it too"


def test_a_shared_address_is_dialled_where_there_is_no_other(vetting: Vetting) -> None:
    vetting.learn(BOB, [DOCKER], has_relay=False)
    assert vetting.candidates(BOB) == (DOCKER,)
    assert vetting.verdict(BOB, DOCKER).state == "usable"


def test_listing_a_peers_good_address_cannot_keep_it_from_being_dialled_for_good(vetting: Vetting) -> None:
    vetting.learn(BOB, [LAN], has_relay=False)
    assert vetting.candidates(ALICE, failures=0) == (DOCKER,)
    assert vetting.candidates(ALICE, failures=1) == (DOCKER, LAN)
    assert vetting.candidates(ALICE, failures=2) == (DOCKER,)
    assert vetting.candidates(ALICE, failures=3) == (DOCKER, LAN)


def test_where_somebody_else_answers_is_quarantined(vetting: Vetting) -> None:
    assert vetting.to_probe(ALICE) == (DOCKER, LAN)
    assert vetting.judge(ALICE, {DOCKER: False, LAN: True}, 100.0) == ([DOCKER], [])
    assert vetting.candidates(ALICE) == (LAN,)
    verdict = vetting.verdict(ALICE, DOCKER)
    assert (verdict.state, verdict.until) == ("quarantined", 100.0 + QUARANTINE)


def test_where_nobody_answers_is_not_quarantined(vetting: Vetting) -> None:
    assert vetting.judge(ALICE, {DOCKER: None, LAN: False}, 0.0) == ([LAN], [])
    assert vetting.candidates(ALICE) == (DOCKER,)


def test_what_was_found_out_before_is_no_news(vetting: Vetting) -> None:
    vetting.judge(ALICE, {DOCKER: False, LAN: True}, 0.0)
    assert vetting.judge(ALICE, {DOCKER: False, LAN: True}, 60.0) == ([], [])
    assert vetting.verdict(ALICE, DOCKER).until == 60.0 + QUARANTINE


def test_a_quarantined_address_comes_back_only_when_the_peer_was_found_there(vetting: Vetting) -> None:
    vetting.judge(ALICE, {DOCKER: False, LAN: True}, 0.0)
    assert vetting.to_release(ALICE, QUARANTINE - 1) == ()
    assert vetting.to_release(ALICE, QUARANTINE) == (DOCKER,)
    assert vetting.judge(ALICE, {DOCKER: None}, QUARANTINE) == ([], [])
    assert vetting.candidates(ALICE) == (LAN,)
    assert vetting.judge(ALICE, {DOCKER: True}, QUARANTINE) == ([], [DOCKER])
    assert vetting.candidates(ALICE) == (DOCKER, LAN)


def test_the_last_way_to_a_peer_is_never_quarantined(vetting: Vetting) -> None:
    assert vetting.judge(ALICE, {DOCKER: False, LAN: False}, 0.0) == ([], [])
    assert vetting.candidates(ALICE) == (DOCKER, LAN)


def test_the_last_way_comes_back_when_the_others_are_found_to_be_impostors_later(vetting: Vetting) -> None:
    vetting.judge(ALICE, {DOCKER: False, LAN: None}, 0.0)
    vetting.judge(ALICE, {DOCKER: False, LAN: False}, 50.0)
    assert vetting.candidates(ALICE) == (DOCKER, LAN)


def test_with_a_relay_all_direct_addresses_may_be_quarantined() -> None:
    vetting = Vetting()
    vetting.learn(ALICE, [LAN], has_relay=True)
    assert vetting.to_probe(ALICE) == (LAN,)
    assert vetting.judge(ALICE, {LAN: False}, 0.0) == ([LAN], [])
    assert vetting.candidates(ALICE) == ()


def test_a_single_address_without_relay_is_not_probed_since_nothing_would_change() -> None:
    vetting = Vetting()
    vetting.learn(ALICE, [LAN], has_relay=False)
    assert vetting.to_probe(ALICE) == ()


def test_quarantine_outlives_an_update_of_the_peer_but_not_the_address(vetting: Vetting) -> None:
    vetting.judge(ALICE, {DOCKER: False, LAN: True}, 0.0)
    vetting.learn(ALICE, [DOCKER, LAN, OTHER], has_relay=False)
    assert vetting.candidates(ALICE) == (LAN, OTHER)
    vetting.learn(ALICE, [LAN], has_relay=False)
    vetting.learn(ALICE, [DOCKER, LAN], has_relay=False)
    assert vetting.candidates(ALICE) == (DOCKER, LAN)


def test_probes_that_come_back_for_a_forgotten_peer_change_nothing(vetting: Vetting) -> None:
    vetting.forget(ALICE)
    assert vetting.judge(ALICE, {LAN: False}, 0.0) == ([], [])
