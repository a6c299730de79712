# SPDX-License-Identifier: MIT
"""Who the peers are when several sources speak."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.peers.people import HOUR, NOON, endpoint_id, found, origin, peer

from blixard.model.addresses import HostPort
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.peers.claims import RANKS
from blixard.peers.table import Change, PeerTable
from blixard.sources.base import Failed, Found, Nothing, Sighting, SourceKind

HOLD = 180.0
STATIC, REGISTRY, HELLO, MANUAL = origin("static"), origin("registry", 1), origin("hello"), origin("manual")


@pytest.fixture
def table() -> PeerTable:
    return PeerTable(hold=HOLD, own=endpoint_id(99), own_node_id=99)


def told(changes: list[Change]) -> list[tuple[str, int]]:
    return [(change.kind, change.known.peer.node_id) for change in changes]


def ids(table: PeerTable) -> list[int]:
    return sorted(known.peer.node_id for known in table)


def test_peers_are_discovered_in_the_order_of_their_node_ids(table: PeerTable) -> None:
    assert told(table.apply(STATIC, found(peer(2), peer(1)), 0.0)) == [("discovered", 1), ("discovered", 2)]
    assert table.find(endpoint_id(1)) is table.get(1)
    assert len(table) == 2


def test_the_same_answer_again_changes_nothing_and_looks_at_nothing(table: PeerTable) -> None:
    class Unread(Found):
        """An answer whose peers may be looked at once."""

        looks = 0

        def __getattribute__(self, name: str) -> object:
            if name == "sightings":
                Unread.looks += 1
            return super().__getattribute__(name)

    answer = Unread(found(peer(1)).sightings)
    table.apply(STATIC, answer, 0.0)
    looks = Unread.looks
    assert table.apply(STATIC, answer, 60.0) == []
    assert Unread.looks == looks


def test_a_new_address_is_an_update_and_a_new_date_is_none(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    assert told(table.apply(STATIC, found(peer(1, "10.0.0.7:7001")), 1.0)) == [("updated", 1)]
    assert table.apply(STATIC, found(peer(1, "10.0.0.7:7001")), 2.0) == []


def test_this_node_itself_never_becomes_a_peer(table: PeerTable) -> None:
    assert table.apply(STATIC, found(peer(99)), 0.0) == []
    assert table.dropped() == []


def test_another_endpoint_id_under_this_nodes_id_is_refused_and_told(table: PeerTable) -> None:
    assert table.apply(STATIC, found(peer(1, node_id=99)), 0.0) == []
    assert [line.reason for line in table.dropped()] == ["this node itself has that node id"]
    assert table.take_news() == table.dropped()
    assert table.take_news() == []


def test_a_failure_keeps_what_was_known(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    for minute in range(60):
        assert table.apply(STATIC, Failed("down"), 60.0 * minute) == []
    assert ids(table) == [1]


def test_a_peer_leaves_after_it_was_absent_from_good_answers_for_the_hold_time(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1), peer(2)), 0.0)
    without = found(peer(1))
    assert table.apply(STATIC, without, 60.0) == []
    assert table.apply(STATIC, without, 60.0 + HOLD - 1) == []
    assert told(table.apply(STATIC, without, 60.0 + HOLD)) == [("removed", 2)]


@pytest.mark.parametrize("empty", [Nothing(), Found(())])
def test_a_source_that_names_nobody_takes_all_its_peers_away_in_time(table: PeerTable, empty: Nothing | Found) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    assert table.apply(STATIC, empty, 1.0) == []
    assert told(table.apply(STATIC, empty, 1.0 + HOLD)) == [("removed", 1)]


def test_a_peer_that_comes_back_within_the_hold_time_never_left(table: PeerTable) -> None:
    both = found(peer(1), peer(2))
    table.apply(STATIC, both, 0.0)
    for moment in range(0, 10_000, 200):
        assert table.apply(STATIC, found(peer(1)), moment) == []
        assert table.apply(STATIC, both, moment + 100.0) == []
    assert ids(table) == [1, 2]


def test_a_failing_source_does_not_let_the_hold_time_end(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(STATIC, Nothing(), 1.0)
    assert table.apply(STATIC, Failed("down"), 1000.0) == []
    assert ids(table) == [1]


def test_a_peer_stays_while_another_source_names_it(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(REGISTRY, found(peer(1)), 0.0)
    table.apply(STATIC, Nothing(), 1.0)
    assert table.apply(STATIC, Nothing(), 1000.0) == []
    known = table.get(1)
    assert known is not None
    assert known.sources == (REGISTRY.name,)


def test_unsigned_addresses_of_all_sources_are_joined_the_better_rank_first(table: PeerTable) -> None:
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", "10.0.0.1:1"), place="reg"), 0.0)
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", "10.0.0.3:1"), place="file"), 0.0)
    known = table.get(1)
    assert known is not None
    assert tuple(known.peer.direct_addresses) == ("10.0.0.1:1", "10.0.0.3:1", "10.0.0.2:1")
    assert known.provenance == {"10.0.0.1:1": ("file", "reg"), "10.0.0.3:1": ("file",), "10.0.0.2:1": ("reg",)}
    assert known.peer.source == "static"


def test_signed_addresses_replace_unsigned_ones_and_the_reason_is_told(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1")), 0.0)
    assert told(table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", seq=5)), 0.0)) == [("updated", 1)]
    known = table.get(1)
    assert known is not None
    assert tuple(known.peer.direct_addresses) == ("10.0.0.2:1",)
    assert known.peer.attestation is not None
    assert [(line.address, line.source) for line in table.dropped()] == [("10.0.0.1:1", STATIC.name)]


def test_an_address_given_by_hand_comes_before_the_signed_ones(table: PeerTable) -> None:
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", seq=5)), 0.0)
    table.put(MANUAL, Sighting(peer(1, "192.0.2.1:9"), "manual"))
    known = table.get(1)
    assert known is not None
    assert tuple(known.peer.direct_addresses) == ("192.0.2.1:9", "10.0.0.2:1")
    assert known.seq == 5
    assert known.peer.attestation is None, "the node has not signed these addresses"


def test_the_higher_attestation_number_wins_whichever_source_brings_it(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", seq=6)), 0.0)
    known = table.get(1)
    assert known is not None
    assert tuple(known.peer.direct_addresses) == ("10.0.0.2:1",)
    assert known.seq == 6


def test_a_lower_attestation_number_from_the_same_source_is_refused_and_told(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.2:1", seq=6)), 0.0)
    assert table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 60.0) == []
    known = table.get(1)
    assert known is not None
    assert tuple(known.peer.direct_addresses) == ("10.0.0.2:1",)
    assert "number 5, and 6 was seen before" in table.take_news()[0].reason


def test_taking_the_attestation_away_does_not_bring_other_addresses_in(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.2:1", seq=6)), 0.0)
    assert table.apply(STATIC, found(peer(1, "10.6.6.6:1")), 60.0) == []
    assert ids(table) == [1]


def test_of_two_endpoint_ids_for_one_node_the_better_rank_counts_and_the_other_is_told(table: PeerTable) -> None:
    table.apply(REGISTRY, found(peer(2, node_id=1, seq=1_000)), 0.0)
    changes = table.apply(STATIC, found(peer(1)), 0.0)
    assert told(changes) == [("removed", 1), ("discovered", 1)]
    assert table.find(endpoint_id(2)) is None
    assert [line.reason for line in table.dropped()] == [f"node 1 is {endpoint_id(1).short}, says static:0"]
    assert table.take_news() == table.dropped()


def test_of_two_node_ids_for_one_endpoint_the_better_rank_counts_and_the_other_is_told_once(
    table: PeerTable,
) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(REGISTRY, found(peer(1, node_id=2)), 0.0)
    assert ids(table) == [1]
    lines = [(line.source, line.node_id, line.reason) for line in table.dropped()]
    assert lines == [("registry:1", 2, f"{endpoint_id(1).short} is node 1, says static:0")]
    assert table.take_news() == table.dropped()
    table.apply(STATIC, found(peer(1, "10.0.0.9:1")), 1.0)
    assert table.take_news() == []


def test_the_other_takes_over_when_the_better_claim_has_gone(table: PeerTable) -> None:
    table.apply(REGISTRY, found(peer(2, node_id=1)), 0.0)
    table.apply(STATIC, found(peer(1)), 0.0)
    changes = table.apply(STATIC, Nothing(), 1.0)
    assert [change.known.endpoint_id for change in changes] == [endpoint_id(1), endpoint_id(2)]


def test_a_new_identity_takes_effect_at_once_although_the_old_one_is_held(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    changes = table.apply(STATIC, found(peer(2, node_id=1)), 1.0)
    assert told(changes) == [("removed", 1), ("discovered", 1)]
    known = table.get(1)
    assert known is not None
    assert known.endpoint_id == endpoint_id(2)


def test_a_peer_under_a_new_node_id_moves(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    assert told(table.apply(STATIC, found(peer(1, node_id=5)), 1.0)) == [("updated", 5)]
    assert table.get(1) is None
    assert table.get(5) is table.find(endpoint_id(1))


def test_two_peers_that_swap_their_node_ids_both_stay(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1), peer(2)), 0.0)
    table.apply(STATIC, found(peer(1, node_id=2), peer(2, node_id=1)), 1.0)
    assert ids(table) == [1, 2]
    known = table.get(1)
    assert known is not None
    assert known.endpoint_id == endpoint_id(2)


def test_what_a_known_peer_signs_changes_its_addresses_and_keeps_nobody_a_member(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1")), 0.0)
    assert told(table.attest(Sighting(peer(1, "10.0.0.2:1", seq=3), "hello"))) == [("updated", 1)]
    known = table.get(1)
    assert known is not None
    assert known.provenance == {"10.0.0.2:1": ("hello",)}
    table.apply(STATIC, Nothing(), 1.0)
    assert told(table.apply(STATIC, Nothing(), 1.0 + HOLD)) == [("removed", 1)]


def test_what_a_stranger_signs_makes_it_no_peer(table: PeerTable) -> None:
    assert table.attest(Sighting(peer(1, seq=3), "hello")) == []
    assert len(table) == 0


def test_withdrawing_a_claim_takes_it_away_at_once(table: PeerTable) -> None:
    table.put(MANUAL, Sighting(peer(1), "manual"))
    assert told(table.withdraw(MANUAL, endpoint_id(1))) == [("removed", 1)]
    assert table.withdraw(MANUAL, endpoint_id(1)) == []


def test_an_expired_attestation_takes_its_claim_away(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, seq=5, expires_at=NOON), peer(2, seq=5)), 0.0)
    assert table.expire(NOON - HOUR) == []
    assert told(table.expire(NOON)) == [("removed", 1)]
    assert [line.reason for line in table.dropped()] == ["its attestation has expired"]
    assert ids(table) == [2]


def test_when_the_newest_attestation_expires_an_older_one_that_holds_counts_again(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", seq=6, expires_at=NOON)), 0.0)
    assert told(table.expire(NOON)) == [("updated", 1)]
    known = table.get(1)
    assert known is not None
    assert tuple(known.peer.direct_addresses) == ("10.0.0.1:1",)


def test_nothing_is_left_of_a_peer_that_has_gone(table: PeerTable) -> None:
    for number in range(1, 20):
        table.put(HELLO, Sighting(peer(number, seq=number), "hello"))
        table.withdraw(HELLO, endpoint_id(number))
    assert (len(table), table.dropped(), table.claims_of(HELLO)) == (0, [], [])
    assert not table._signed
    assert not table._claims


KINDS: list[SourceKind] = list(RANKS)
CLAIMS = st.builds(
    lambda number, node_id, port, seq: peer(number, f"10.0.0.{number}:{port}", node_id=node_id, seq=seq),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 3)),
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), CLAIMS), max_size=5), st.data())
def test_the_outcome_does_not_depend_on_the_order_in_which_sources_answer(
    claims: list[tuple[SourceKind, DiscoveredPeer]], data: st.DataObject
) -> None:
    answers = [(origin(kind, order), found(each)) for order, (kind, each) in enumerate(claims)]
    outcomes = []
    orders = list(itertools.permutations(answers))
    for order in data.draw(st.lists(st.sampled_from(orders), min_size=2, max_size=2)):
        table = PeerTable(hold=HOLD)
        for where, answer in order:
            table.apply(where, answer, 0.0)
        known = sorted(table, key=lambda each: each.endpoint_id)
        outcomes.append([(k.peer.content(), k.sources, k.provenance, k.seq) for k in known])
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.lists(CLAIMS, max_size=3)), max_size=8))
def test_no_two_peers_ever_share_a_node_id_and_lookups_agree(
    answers: list[tuple[SourceKind, list[DiscoveredPeer]]],
) -> None:
    table = PeerTable(hold=0.0)
    shown: dict[EndpointId, object] = {}
    for step, (kind, peers) in enumerate(answers):
        unique = {each.endpoint_id: each for each in peers}
        for change in table.apply(origin(kind), found(*unique.values()), float(step)):
            if change.kind == "removed":
                del shown[change.known.endpoint_id]
            else:
                assert (change.known.endpoint_id in shown) == (change.kind in ("updated", "vouched"))
                shown[change.known.endpoint_id] = change.known.peer.content()
        assert len({known.peer.node_id for known in table}) == len(table)
        assert all(table.get(known.peer.node_id) is known is table.find(known.endpoint_id) for known in table)
        assert shown == {known.endpoint_id: known.peer.content() for known in table}


def test_who_is_missing_from_a_final_answer_leaves_at_once(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1), peer(2)), 0.0)
    assert told(table.apply(STATIC, replace(found(peer(1)), final=True), 1.0)) == [("removed", 2)]
    assert ids(table) == [1]


def test_pruning_drops_who_is_missing_from_a_peers_file_and_leaves_registries_their_time(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1), peer(2)), 0.0)
    table.apply(REGISTRY, found(peer(3)), 0.0)
    table.apply(STATIC, found(peer(1)), 1.0)
    table.apply(REGISTRY, Nothing(), 1.0)
    assert ids(table) == [1, 2, 3]
    assert told(table.prune(2.0)) == [("removed", 2)]
    assert ids(table) == [1, 3]
    assert table.prune(3.0) == []


def vouched(table: PeerTable, number: int = 1) -> tuple[bool, set[str]]:
    """Whether somebody is a guest, and which of the ways to it the operator's sources bring."""
    known = table.find(endpoint_id(number))
    assert known is not None
    return known.is_guest, set(known.vouched)


def test_what_a_guest_says_is_nobody_elses_word_until_a_source_says_it_too(table: PeerTable) -> None:
    relay = "https://relay.example/"
    guest = peer(1, "10.0.0.1:1", seq=5, relay_url=relay)
    assert told(table.put(HELLO, Sighting(guest, "hello"))) == [("discovered", 1)]
    assert vouched(table) == (True, set())
    assert told(table.apply(STATIC, found(guest), 0.0)) == [("vouched", 1)]
    assert vouched(table) == (False, {"10.0.0.1:1", relay})


def test_addresses_that_a_member_signed_later_are_its_own_word(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.attest(Sighting(peer(1, "10.0.0.1:1", "203.0.113.9:1", seq=6), "hello"))
    assert vouched(table) == (False, {"10.0.0.1:1"})
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", "203.0.113.9:1", seq=6)), 60.0)
    assert vouched(table) == (False, {"10.0.0.1:1", "203.0.113.9:1"})


def test_a_source_that_goes_back_to_an_older_file_takes_no_word_of_the_newer_one_back(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.2:1", seq=6)), 0.0)
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 60.0)
    assert vouched(table) == (False, {"10.0.0.2:1"})


def test_a_member_that_no_source_names_any_more_is_a_guest_again(table: PeerTable) -> None:
    guest = peer(1, "10.0.0.1:1", seq=5)
    table.put(HELLO, Sighting(guest, "hello"))
    table.apply(STATIC, found(guest), 0.0)
    table.retire(STATIC.name)
    assert vouched(table)[0]


def test_addresses_that_nobody_signed_go_from_the_better_kind_to_the_worse(table: PeerTable) -> None:
    kinds: list[SourceKind] = ["hello", "join", "registry", "static", "manual"]
    for number, kind in enumerate(kinds):
        table.put(origin(kind), Sighting(peer(1, f"10.0.0.{number}:1"), kind))
    known = table.get(1)
    assert known is not None
    assert known.sources == ("manual:0", "static:0", "registry:0", "join:0", "hello:0")
    assert known.peer.direct_addresses == tuple(f"10.0.0.{number}:1" for number in (4, 3, 2, 1, 0))


def test_an_unsigned_claim_that_has_gone_from_its_source_brings_no_address(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1")), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1")), 0.0)
    table.apply(STATIC, Nothing(), 1.0)
    known = table.get(1)
    assert known is not None
    assert known.peer.direct_addresses == ("10.0.0.2:1",)
    assert [(line.address, line.reason) for line in table.dropped()] == [("10.0.0.1:1", "is no longer in its source")]


def test_what_an_overruled_source_says_is_told_under_the_node_id_that_it_says(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", node_id=7)), 0.0)
    lines = [(line.source, line.node_id, line.address, line.reason) for line in table.dropped()]
    assert lines == [
        (REGISTRY.name, 7, None, f"{endpoint_id(1).short} is node 1, says {STATIC.name}"),
        (REGISTRY.name, 7, "10.0.0.2:1", "is not among the addresses that the node signed last (number 5)"),
    ]


def test_an_overruled_source_that_loses_the_peer_says_nothing_of_its_node_id_any_more(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1")), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", node_id=7)), 0.0)
    assert told(table.apply(REGISTRY, Nothing(), 1.0)) == [("updated", 1)]
    lines = [(line.node_id, line.address, line.reason) for line in table.dropped()]
    assert lines == [(7, "10.0.0.2:1", "is no longer in its source")]


def test_addresses_beyond_sixty_four_do_not_count_and_are_told(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, *(f"10.0.0.1:{port}" for port in range(1, 64)))), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", "10.0.0.2:2")), 0.0)
    known = table.get(1)
    assert known is not None
    assert len(known.peer.direct_addresses) == 64
    assert known.peer.direct_addresses[-1] == "10.0.0.2:1"
    lines = [(line.source, line.address, line.reason) for line in table.dropped()]
    assert lines == [(REGISTRY.name, "10.0.0.2:2", "is beyond 64 addresses")]


def test_an_address_that_two_sources_name_counts_once_into_the_sixty_four(table: PeerTable) -> None:
    same = [f"10.0.0.1:{port}" for port in range(1, 64)]
    table.apply(STATIC, found(peer(1, *same)), 0.0)
    table.apply(REGISTRY, found(peer(1, *same, "10.0.0.2:1")), 0.0)
    known = table.get(1)
    assert known is not None
    assert known.peer.direct_addresses == (*same, "10.0.0.2:1")
    assert table.dropped() == []


def test_relay_and_listening_address_come_from_the_best_source_that_has_one(table: PeerTable) -> None:
    relay, listens_at = "https://relay.example/", HostPort.parse("node1:7001")
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(REGISTRY, Found((Sighting(peer(1, relay_url=relay), "here", listens_at),)), 0.0)
    known = table.get(1)
    assert known is not None
    assert (known.sources[0], known.peer.relay_url, known.listens_at) == (STATIC.name, relay, listens_at)


def test_a_source_that_names_a_guest_no_longer_does_not_make_it_a_member(table: PeerTable) -> None:
    guest = peer(1, "10.0.0.1:1", seq=5)
    table.put(HELLO, Sighting(guest, "hello"))
    table.apply(STATIC, found(guest), 0.0)
    assert vouched(table) == (False, {"10.0.0.1:1"})
    table.apply(STATIC, Nothing(), 1.0)
    assert vouched(table)[0]


def test_of_two_endpoint_ids_that_one_source_names_for_one_node_the_one_that_signed_last_counts(
    table: PeerTable,
) -> None:
    for first, second in ((1, 2), (2, 1)):
        table.apply(STATIC, found(peer(first, node_id=7, seq=5), peer(second, node_id=7, seq=6)), 0.0)
        known = table.get(7)
        assert known is not None
        assert known.endpoint_id == endpoint_id(second)
        table.retire(STATIC.name)


def reasons(table: PeerTable) -> list[tuple[str, str]]:
    return [(line.source, line.reason) for line in table.dropped()]


OLDER = "its attestation has number 5, and 6 was seen before"


def test_what_was_refused_of_a_source_is_told_until_the_source_says_it_no_longer(table: PeerTable) -> None:
    older, other = peer(1, "10.0.0.1:1", seq=5), peer(2, node_id=99)
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=6), other), 0.0)
    table.apply(REGISTRY, found(older, other), 0.0)
    own = "this node itself has that node id"
    assert sorted(reasons(table)) == [(REGISTRY.name, OLDER), (REGISTRY.name, own), (STATIC.name, own)]
    table.apply(REGISTRY, found(older), 1.0)
    assert sorted(reasons(table)) == [(REGISTRY.name, OLDER), (STATIC.name, own)]
    table.apply(REGISTRY, found(peer(1, "10.0.0.1:1", seq=6)), 2.0)
    assert reasons(table) == [(STATIC.name, own)]


def test_what_was_refused_of_a_source_is_told_no_longer_when_it_is_retired(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=6)), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.1:1", seq=5), peer(2, node_id=99)), 0.0)
    assert reasons(table) == [(REGISTRY.name, OLDER), (REGISTRY.name, "this node itself has that node id")]
    table.retire(REGISTRY.name)
    assert reasons(table) == []


def test_what_the_operator_brought_counts_no_more_when_the_peer_comes_back_by_itself(table: PeerTable) -> None:
    signed = peer(1, "10.0.0.1:1", seq=5)
    table.apply(STATIC, found(signed), 0.0)
    table.retire(STATIC.name)
    table.put(HELLO, Sighting(signed, "hello"))
    assert vouched(table) == (True, set())


def test_when_what_the_operator_brought_expires_an_older_word_of_the_peer_is_its_own(table: PeerTable) -> None:
    table.put(HELLO, Sighting(peer(1, "10.0.0.1:1", seq=5), "hello"))
    table.apply(STATIC, found(peer(1, "10.0.0.2:1", seq=6, expires_at=NOON)), 0.0)
    table.expire(NOON)
    assert vouched(table) == (True, set())


def test_what_the_operator_brought_before_a_newer_word_expired_is_still_the_operators(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(REGISTRY, found(peer(1, "10.0.0.2:1", seq=6, expires_at=NOON)), 0.0)
    table.expire(NOON)
    table.apply(STATIC, found(peer(1, "10.0.0.3:1", seq=4)), 1.0)
    assert vouched(table) == (False, {"10.0.0.1:1"})


def test_a_shorter_time_for_absent_peers_counts_from_the_next_answer_on(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1), peer(2)), 0.0)
    without = found(peer(1))
    table.apply(STATIC, without, 1.0)
    assert table.rank([STATIC], hold=10.0) == []
    assert table.apply(STATIC, without, 10.9) == []
    assert told(table.apply(STATIC, without, 11.0)) == [("removed", 2)]


def test_the_signed_word_of_a_stranger_is_not_remembered(table: PeerTable) -> None:
    assert table.attest(Sighting(peer(1, seq=5), "hello")) == []
    assert table.newest_seq(endpoint_id(1)) == 0


def test_a_claim_without_a_number_is_not_told_as_one_whose_number_is_too_low(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, seq=5)), 0.0)
    table.apply(REGISTRY, found(peer(1)), 0.0)
    assert table.dropped() == []
    assert table.newest_seq(endpoint_id(1)) == 5
    assert table.newest_seq(endpoint_id(2)) == 0


def test_the_least_number_is_refused_where_the_next_one_was_seen(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, seq=2)), 0.0)
    table.apply(REGISTRY, found(peer(1, seq=1)), 0.0)
    assert [line.reason for line in table.dropped()] == ["its attestation has number 1, and 2 was seen before"]
