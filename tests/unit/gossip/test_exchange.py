# SPDX-License-Identifier: MIT
"""What two nodes have after an exchange."""

from __future__ import annotations

from tests.unit.documents.samples import attested, key
from tests.unit.gossip.talk import Talker, moved, talk

AT = "192.0.2.1:7001"


async def test_the_newer_entry_wins_in_both_directions_and_then_there_is_nothing_to_say() -> None:
    one = await Talker(1, attested(2), moved(3, 5), attested(4)).learn()
    two = await Talker(2, attested(1), attested(3), moved(4, 5)).learn()
    await talk(one, two)
    assert one.seq_of(3) == two.seq_of(3) == moved(3, 5).seq
    assert one.seq_of(4) == two.seq_of(4) == moved(4, 5).seq
    assert one.entries == two.entries == {"taken": 1}
    before = one.gossip.counts()["sent"]["frames"]
    await talk(one, two)
    assert one.gossip.counts()["sent"]["frames"] == before + 1


async def test_a_changed_address_of_the_node_itself_travels_through_a_third_one() -> None:
    one, two, three = [await Talker(n, *(attested(m) for m in (1, 2, 3) if m != n)).learn() for n in (1, 2, 3)]
    one.entry = moved(1, 9)
    await talk(one, two)
    await talk(three, two)
    peer = three.manager.find(key(1).public())
    assert peer is not None
    assert peer.direct_addresses == moved(1, 9).direct_addresses


async def test_a_known_peer_that_no_source_has_an_attestation_of_gets_one() -> None:
    plain = attested(3)
    one = await Talker(1, attested(2), type(plain)(*plain.content(), plain.address)).learn()
    two = await Talker(2, attested(1), plain).learn()
    await talk(one, two)
    assert one.seq_of(3) == plain.seq


async def test_who_is_no_member_is_asked_for_only_where_strangers_are_let_in() -> None:
    two = await Talker(2, attested(1), attested(3)).learn()
    closed = await Talker(1, attested(2)).learn()
    await talk(closed, two)
    assert closed.manager.find(key(3).public()) is None
    assert closed.entries == {"taken": 0}
    opened = await Talker(1, attested(2), is_open=True).learn()
    await talk(opened, two)
    peer = opened.manager.find(key(3).public())
    assert peer is not None
    assert peer.source == "gossip"
    assert not opened.manager.is_member(key(3).public())


async def test_a_guest_that_nobody_was_connected_with_for_a_day_is_handed_on_no_more() -> None:
    two = await Talker(2, attested(1), attested(3)).learn()
    guest = await Talker(1, attested(2), is_open=True).learn()
    await talk(guest, two)
    late = await Talker(4, attested(1), is_open=True).learn()
    guest.clock.time += 86_400.0
    await talk(late, guest)
    assert late.manager.find(key(3).public()) is None
    assert late.manager.find(key(2).public()) is not None


async def test_all_of_a_large_fleet_comes_in_a_few_exchanges_of_bounded_size() -> None:
    fleet = [attested(number, direct_addresses=(AT,), address=AT) for number in range(3, 603)]
    one = await Talker(1, attested(2), *fleet).learn()
    two = await Talker(2, attested(1), is_open=True).learn()
    taken = []
    for _ in range(3):
        await talk(two, one)
        taken.append(two.entries["taken"])
    assert taken == [256, 512, 600]


async def test_a_guest_that_came_by_gossip_is_forgotten_a_day_after_anybody_was_connected_with_it() -> None:
    two = await Talker(2, attested(1), attested(3)).learn()
    one = await Talker(1, attested(2), is_open=True).learn()
    await talk(one, two)
    guest = key(3).public()
    one.clock.time += 86_000.0
    one.manager._tidy()
    assert one.manager.guest_age(guest) == 86_000.0
    one.manager._additions.heard_alive([guest, key(9).public()], one.clock.now())
    one.clock.time += 86_399.0
    one.manager._tidy()
    assert one.manager.find(guest) is not None
    one.clock.time += 1.0
    one.manager._tidy()
    assert one.manager.find(guest) is None
