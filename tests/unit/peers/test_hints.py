# SPDX-License-Identifier: MIT
"""What nobody signed, where a fleet key says who the members are: it helps to reach peers and makes nobody one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.peers.people import HOUR, NOON, endpoint_id, found, origin, peer

from blixard.model.entry import DiscoveredPeer
from blixard.peers.claims import UNSIGNED, Origin
from blixard.peers.table import HINT_REASON, Change, PeerTable
from blixard.sources.base import Found, Nothing, Sighting, SourceKind

HOLD = 180.0
STATIC, HELLO, DNS = origin("static"), origin("hello"), origin("dns", 1)
HINT = replace(DNS, is_hint=True)
HINTS: list[SourceKind] = sorted(UNSIGNED)


@pytest.fixture
def table() -> PeerTable:
    return PeerTable(hold=HOLD)


def told(changes: list[Change]) -> list[tuple[str, int]]:
    return [(change.kind, change.known.peer.node_id) for change in changes]


def reasons(table: PeerTable) -> list[tuple[int, str | None, str]]:
    return [(line.node_id, line.address, line.reason) for line in table.dropped()]


@pytest.mark.parametrize("kind", HINTS)
def test_without_signers_an_unsigned_source_names_peers_between_the_registries_and_the_joined(
    table: PeerTable, kind: SourceKind
) -> None:
    assert told(table.apply(origin(kind, 1), found(peer(1), peer(2)), 0.0)) == [("discovered", 1), ("discovered", 2)]
    assert [known.is_guest for known in table] == [False, False]
    table.apply(origin("registry", 2), found(peer(1, node_id=7)), 0.0)
    table.apply(origin("join", 0), found(peer(2, node_id=8)), 0.0)
    assert sorted(known.peer.node_id for known in table) == [2, 7]


@pytest.mark.parametrize("kind", HINTS)
def test_a_hint_alone_makes_nobody_a_peer_and_is_listed_with_the_reason(table: PeerTable, kind: SourceKind) -> None:
    hint = replace(origin(kind), is_hint=True)
    assert table.apply(hint, found(peer(1), peer(2, seq=5)), 0.0) == []
    assert (len(table), table.get(1), table.find(endpoint_id(2))) == (0, None, None)
    assert reasons(table) == [(1, None, HINT_REASON), (2, None, HINT_REASON)]
    assert table.take_news() == []


def test_a_hint_adds_an_address_for_which_the_operator_does_not_stand(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1")), 0.0)
    assert told(table.apply(HINT, found(peer(1, "10.0.0.2:1"), place="zone"), 0.0)) == [("updated", 1)]
    known = table.get(1)
    assert known is not None
    assert known.peer.direct_addresses == ("10.0.0.1:1", "10.0.0.2:1")
    assert known.provenance["10.0.0.2:1"] == ("zone",)
    assert known.vouched == {"10.0.0.1:1"}
    assert known.sources == (STATIC.name,)


def test_a_registry_that_is_a_hint_moves_a_member_under_its_own_signature_and_makes_nobody_one(
    table: PeerTable,
) -> None:
    """One source may bring a signed peers file today, and a registry tomorrow: what it brings is a hint or not."""
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    said = (peer(1, "10.0.0.2:1", seq=6), peer(2, seq=5))
    web = Found(tuple(Sighting(each, "web", is_hint=True) for each in said))
    assert told(table.apply(origin("registry", 1), web, 0.0)) == [("updated", 1)]
    known = table.get(1)
    assert known is not None
    assert (known.peer.direct_addresses, known.vouched) == (("10.0.0.2:1",), frozenset())
    assert known.sources == (STATIC.name,)
    assert reasons(table)[-1] == (2, None, HINT_REASON)


def test_a_hint_adds_nothing_to_what_the_node_has_signed(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(HINT, found(peer(1, "10.0.0.2:1")), 0.0)
    assert reasons(table) == [
        (1, "10.0.0.2:1", "is not among the addresses that the node signed last (number 5)"),
    ]


def test_what_a_node_signed_later_counts_for_its_addresses_although_a_hint_brought_it(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(HINT, found(peer(1, "10.0.0.2:1", seq=6)), 0.0)
    known = table.get(1)
    assert known is not None
    assert (known.peer.direct_addresses, known.seq, set(known.vouched)) == (("10.0.0.2:1",), 6, set())


def test_a_peer_leaves_with_the_source_that_named_it_whatever_a_hint_says(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(HINT, found(peer(1)), 0.0)
    table.apply(STATIC, Nothing(), 1.0)
    assert len(table) == 1
    assert told(table.apply(STATIC, Nothing(), 1.0 + HOLD)) == [("removed", 1)]
    assert reasons(table) == [(1, None, HINT_REASON)]


def test_a_hint_says_nothing_against_a_claim_that_is_only_kept_for_a_while(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1, "10.0.0.1:1")), 0.0)
    table.apply(HINT, found(peer(1, "10.0.0.2:1", node_id=9)), 0.0)
    table.apply(STATIC, Nothing(), 1.0)
    known = table.get(1)
    assert known is not None
    assert known.peer.direct_addresses == ("10.0.0.1:1", "10.0.0.2:1")
    assert table.get(9) is None


def test_a_hint_does_not_make_a_member_of_a_guest(table: PeerTable) -> None:
    table.put(HELLO, Sighting(peer(1, seq=5), "hello"))
    table.apply(HINT, found(peer(1, node_id=2)), 0.0)
    known = table.get(1)
    assert known is not None
    assert (known.is_guest, known.sources) == (True, (HELLO.name,))
    assert [line.reason for line in known.overruled] == [f"{endpoint_id(1).short} is node 1, says {HELLO.name}"]


def test_who_was_named_by_an_unsigned_source_is_no_peer_once_signers_are_trusted_and_again_one_without(
    table: PeerTable,
) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(DNS, found(peer(1, "10.0.0.9:1", seq=5), peer(2)), 0.0)
    assert set(known.vouched if (known := table.get(1)) else ()) == {"10.0.0.9:1"}
    assert told(table.rank([STATIC, HINT], hold=HOLD)) == [("removed", 2), ("vouched", 1)]
    assert set(known.vouched if (known := table.get(1)) else ()) == set()
    assert told(table.rank([STATIC, DNS], hold=HOLD)) == [("vouched", 1), ("discovered", 2)]


def test_a_sighting_without_a_node_id_of_its_own_is_a_hint_from_any_source(table: PeerTable) -> None:
    ways = Found((Sighting(peer(1, "10.0.0.2:1"), "_iroh", is_hint=True),))
    assert table.apply(DNS, ways, 0.0) == []
    assert reasons(table) == [(1, None, HINT_REASON)]
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", node_id=4)), 0.0)
    known = table.get(4)
    assert known is not None
    # The node id that it repeats is no claim of its own, so it is not overruled either.
    assert (known.peer.direct_addresses, known.overruled) == (("10.0.0.1:1", "10.0.0.2:1"), ())
    assert set(known.vouched) == {"10.0.0.1:1"}


def test_a_hint_that_expires_takes_nothing_else_away(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(HINT, found(peer(1, "10.0.0.2:1", seq=5, expires_at=NOON)), 0.0)
    assert told(table.expire(NOON + HOUR)) == [("updated", 1)]
    known = table.get(1)
    assert known is not None
    assert known.peer.direct_addresses == ("10.0.0.1:7001",)


def test_what_a_peer_signed_is_forgotten_when_only_a_hint_of_it_is_left(table: PeerTable) -> None:
    table.apply(HINT, found(peer(1, "10.0.0.2:1")), 0.0)
    table.apply(STATIC, found(peer(1, "10.0.0.1:1", seq=5)), 0.0)
    table.apply(STATIC, Found((), final=True), 1.0)
    table.apply(STATIC, found(peer(1, "10.0.0.1:2")), 2.0)
    known = table.get(1)
    assert known is not None
    assert set(known.vouched) == {"10.0.0.1:2"}


def test_only_members_are_among_the_node_ids_that_sources_are_told(table: PeerTable) -> None:
    table.apply(STATIC, found(peer(1)), 0.0)
    table.apply(HINT, found(peer(2)), 0.0)
    table.put(HELLO, Sighting(peer(3, seq=5), "hello"))
    assert table.node_ids() == {endpoint_id(1): 1}


PEERS = st.lists(
    st.builds(
        lambda number, node_id, port, seq: peer(number, f"10.0.0.{number}:{port}", node_id=node_id, seq=seq),
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(1, 2),
        st.one_of(st.none(), st.integers(1, 2)),
    ),
    max_size=3,
    unique_by=(lambda each: each.iroh_node_id, lambda each: each.node_id),
)
STEPS = st.lists(st.tuples(st.sampled_from(["static", "hello", *HINTS]), PEERS), max_size=8)


@given(STEPS)
def test_hints_change_neither_who_is_a_peer_nor_under_which_node_id_nor_what_the_operator_vouches_for(
    steps: list[tuple[SourceKind, list[DiscoveredPeer]]],
) -> None:
    with_hints, without = PeerTable(hold=0.0), PeerTable(hold=0.0)
    for at, (kind, peers) in enumerate(steps):
        where = Origin(kind, kind, 0, is_hint=kind in UNSIGNED)
        with_hints.apply(where, found(*peers), float(at))
        if not where.is_hint:
            without.apply(where, found(*peers), float(at))
    view = [{(k.endpoint_id, k.peer.node_id, k.is_guest, k.sources) for k in table} for table in (with_hints, without)]
    assert view[0] == view[1]
    by_operator = {
        (each.endpoint_id, way)
        for kind, peers in steps
        if kind == "static"
        for each in peers
        for way in each.direct_addresses
    }
    assert {(known.endpoint_id, way) for known in with_hints for way in known.vouched} <= by_operator
