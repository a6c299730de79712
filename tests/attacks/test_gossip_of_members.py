# SPDX-License-Identifier: MIT
"""What a member can do to a node by gossip: little, counted by name, and nothing is exchanged with it for a while."""

from __future__ import annotations

from pathlib import Path

from tests.unit.documents.samples import NOW, attested, key
from tests.unit.gossip.talk import Talker, moved, talk
from tests.unit.gossip.test_signed_file import file_in, mark, put, signed

from blixard.gossip.intake import VERIFIED_AT_ONCE
from blixard.gossip.messages import Digest, Entries, Entry, Offer, Request, encode, encode_entry
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry

AT = "192.0.2.1:7001"
MEMBER = key(2).public()
DIFFERENT = encode(Digest(None, b"x" * 16))
REQUEST = encode(Request(False, bytes(2048)))


def entry_of(entry: NodeRegistryEntry, age: int = 0) -> Entry:
    return Entry(age, encode_entry(DiscoveredPeer.from_entry(entry, "gossip", NOW)))


def handing_on(*entries: Entry) -> list[bytes]:
    return [DIFFERENT, REQUEST, encode(Entries(entries))]


async def victim(*, is_open: bool = False) -> Talker:
    return await Talker(1, attested(2), attested(3), is_open=is_open).learn()


async def test_a_forged_entry_is_dropped_and_its_bringer_shunned() -> None:
    node = await victim()
    forged = moved(3, 9)
    assert forged.attestation is not None
    elsewhere = NodeRegistryEntry(3, forged.iroh_node_id, ("10.6.6.6:6",), None, "10.6.6.6:6", forged.attestation)
    stream = await node.hears(handing_on(entry_of(elsewhere)), by=MEMBER)
    assert stream.was_aborted
    assert node.failed == {"forged": 1}
    assert node.entries == {"taken": 0, "forged": 1}
    assert node.seq_of(3) == attested(3).seq
    await node.hears(handing_on(entry_of(moved(3, 9))), by=MEMBER)
    assert node.failed == {"busy": 1, "forged": 1}
    node.clock.time += 300.0
    await node.hears(handing_on(entry_of(moved(3, 9))), by=MEMBER)
    assert node.seq_of(3) == moved(3, 9).seq


async def test_old_entries_those_of_another_cluster_and_of_strangers_are_dropped_by_name() -> None:
    node = await victim()
    entries = [attested(3), moved(3, 9, cluster="other"), attested(9)]
    await node.hears(handing_on(*map(entry_of, entries)), by=MEMBER)
    assert node.entries == {"taken": 0, "foreign_cluster": 1, "not_a_member": 1, "old": 1}
    assert node.failed == {}


async def test_an_entry_of_64_kib_is_not_even_read() -> None:
    node = await victim()
    stream = await node.hears(handing_on(Entry(0, b"[" * 65_536)), by=MEMBER)
    assert stream.was_aborted
    assert node.failed == {"malformed": 1}


async def test_ever_new_numbers_of_one_member_are_taken_no_oftener_than_they_may_be() -> None:
    node = await victim()
    await node.hears(handing_on(*(entry_of(moved(3, seq)) for seq in range(1, 100))), by=MEMBER)
    assert node.entries == {"taken": 1, "too_often": 98}
    node.clock.time += 5.0
    await node.hears(handing_on(entry_of(moved(3, 200))), by=MEMBER)
    assert node.entries["taken"] == 2


async def test_of_a_flood_of_invented_guests_no_more_signatures_are_verified_than_may_be() -> None:
    node = await victim(is_open=True)
    numbers = range(1000, 1000 + VERIFIED_AT_ONCE + 100)
    made = [entry_of(attested(number, direct_addresses=(AT,), address=AT)) for number in numbers]
    for member, at in enumerate(range(0, len(made), 256)):
        await node.hears(handing_on(*made[at : at + 256]), by=key(50 + member).public())
    passed = VERIFIED_AT_ONCE + int(128 * node.clock.time)
    assert node.entries["taken"] <= passed
    assert node.entries["too_many"] > 0


async def test_a_guest_of_long_ago_is_not_taken() -> None:
    node = await victim(is_open=True)
    await node.hears(handing_on(entry_of(attested(9), age=86_400)), by=MEMBER)
    assert node.entries == {"taken": 0, "too_old": 1}


async def test_a_peer_that_comes_again_and_again_is_answered_once_a_second() -> None:
    node = await victim()
    for _ in range(10):
        await node.hears([encode(Digest(None, b"x" * 16))], by=MEMBER)
    assert node.failed == {"closed": 4, "too_often": 6}


async def test_an_older_signed_file_that_is_announced_as_a_newer_one_replaces_nothing(tmp_path: Path) -> None:
    present, older = signed(1, 2, number=5), signed(1, 2, 3, number=4)
    put(tmp_path, present)
    file = file_in(tmp_path)
    file.look()
    node = await Talker(1, attested(2), file=file).learn()
    frames = [
        encode(Digest(mark(9), bytes(16))),
        encode(Request(False)),
        encode(Offer(len(older[0]), older[1])),
        older[0],
    ]
    await node.hears(frames, by=MEMBER)
    assert node.failed == {"forged_file": 1}
    assert file.read() == present


async def test_a_file_larger_than_it_says_or_than_any_may_be_ends_the_exchange(tmp_path: Path) -> None:
    for offer, parts in ((Offer(10, b""), [b"x" * 11]), (Offer(17 * 1024 * 1024, b""), []), (Offer(10, b""), [b""])):
        node = await Talker(1, attested(2), file=file_in(tmp_path)).learn()
        await node.hears([encode(Digest(mark(9), bytes(16))), encode(Request(False)), encode(offer), *parts], by=MEMBER)
        assert node.failed == {"malformed": 1}


async def test_two_that_are_well_still_exchange_after_an_attack() -> None:
    node = await victim()
    await node.hears([b"\xff" * 100], by=MEMBER)
    three = await Talker(3, attested(1), moved(2, 7)).learn()
    await talk(node, three)
    assert node.seq_of(2) == moved(2, 7).seq
