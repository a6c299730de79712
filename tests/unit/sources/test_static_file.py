# SPDX-License-Identifier: MIT
"""The peers file as a source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.peers.people import CLUSTER, NOON, endpoint_id, key, peer
from tests.unit.sources.files import CHECK, in_an_hour, peers_file_of, remove, write

from blixard.clock import SystemClock
from blixard.documents.files import write_atomic
from blixard.sources.base import Failed, Found, Nothing
from blixard.sources.snapshots import SnapshotStore
from blixard.sources.static_file import StaticFile
from blixard.trust.highest_seq import HighestSeq
from blixard.trust.peers_signature import sign_peers

FLEET = key(1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "discovery-peers.json"


def source(path: Path, **more: Any) -> StaticFile:
    return StaticFile(path, check=CHECK, **{"wall": in_an_hour, **more})


async def test_it_says_who_is_in_the_file(path: Path) -> None:
    write(path, peers_file_of(peer(1), peer(2)))
    answer = await source(path).fetch()
    assert isinstance(answer, Found)
    assert [each.node_id for each in answer.peers] == [1, 2]
    assert {each.place for each in answer.sightings} == {str(path)}


async def test_a_file_that_was_never_there_says_nothing(path: Path) -> None:
    assert await source(path).fetch() == Nothing()


async def test_a_file_that_vanishes_is_a_failure_that_says_how_to_remove_peers(path: Path) -> None:
    write(path, peers_file_of(peer(1)))
    static = source(path)
    await static.fetch()
    remove(path)
    answer = await static.fetch()
    assert isinstance(answer, Failed)
    assert "write [] there" in answer.error


async def test_an_empty_list_takes_all_peers_away(path: Path) -> None:
    write(path, "[]")
    assert await source(path).fetch() == Found(())


async def test_an_unchanged_file_gives_the_very_same_answer(path: Path) -> None:
    write(path, peers_file_of(peer(1)))
    static = source(path)
    assert await static.fetch() is await static.fetch()


async def test_a_touched_file_with_the_same_bytes_gives_the_very_same_answer(path: Path) -> None:
    write(path, peers_file_of(peer(1)))
    static = source(path)
    answer = await static.fetch()
    write(path, peers_file_of(peer(1)), age=30.0)
    assert await static.changed()
    assert await static.fetch() is answer
    assert not await static.changed()


async def test_peers_that_did_not_change_stay_the_same_sightings(path: Path) -> None:
    write(path, peers_file_of(peer(1), peer(2)))
    static = source(path)
    before = await static.fetch()
    write(path, peers_file_of(peer(1), peer(2, "10.0.0.77:1")), age=30.0)
    after = await static.fetch()
    assert isinstance(before, Found)
    assert isinstance(after, Found)
    assert after.sightings[0] is before.sightings[0]
    assert after.sightings[1] is not before.sightings[1]


async def test_a_file_replaced_by_rename_has_changed(path: Path) -> None:
    write(path, peers_file_of(peer(1)))
    static = source(path)
    await static.fetch()
    assert not await static.changed()
    write_atomic(path, peers_file_of(peer(2)))
    assert await static.changed()


async def test_a_file_written_a_moment_ago_is_looked_at_again_since_its_times_may_not_show_a_second_write(
    path: Path,
) -> None:
    write(path, peers_file_of(peer(1)), age=0.0)
    just_now = source(path, wall=SystemClock().wall)
    answer = await just_now.fetch()
    assert await just_now.changed()
    assert await just_now.fetch() is answer
    later = source(path)
    await later.fetch()
    assert not await later.changed()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"[", "not JSON"),
        (b"{}", "must be a list"),
        (b"\xff\xfe[]", "UTF-8"),
        (b"[" * 10_000, "deep"),
        (b'[{"node_id": 1, "node_id": 2}]', "twice"),
        (peers_file_of(peer(1)).replace(b'"node_id": 1', b'"node_id": 0'), "/0/node_id"),
        (peers_file_of(peer(1)).replace(b"10.0.0.1:7001", b"10.0.0.1:0"), "port 0"),
    ],
)
async def test_a_bad_file_is_refused_with_a_reason_and_what_was_good_comes_back(
    path: Path, content: bytes, said: str
) -> None:
    write(path, peers_file_of(peer(1)))
    static = source(path)
    await static.fetch()
    write(path, content, age=50.0)
    answer = await static.fetch()
    assert isinstance(answer, Failed)
    assert str(path) in answer.error
    assert said in answer.error
    assert "\n" not in answer.error
    write(path, peers_file_of(peer(1), peer(2)), age=40.0)
    answer = await static.fetch()
    assert isinstance(answer, Found)
    assert len(answer.peers) == 2


async def test_a_directory_or_a_fifo_in_its_place_is_refused(tmp_path: Path) -> None:
    assert isinstance(await source(tmp_path).fetch(), Failed)
    os.mkfifo(tmp_path / "fifo")
    assert isinstance(await source(tmp_path / "fifo").fetch(), Failed)


async def test_one_entry_whose_attestation_does_not_hold_is_refused_alone(path: Path) -> None:
    good, bad = peer(1, seq=5), peer(2, seq=5)
    data = peers_file_of(good, bad).replace(b"10.0.0.2:7001", b"10.0.0.6:7001")
    write(path, data)
    answer = await source(path).fetch()
    assert isinstance(answer, Found)
    assert [each.node_id for each in answer.peers] == [1]
    assert "signature does not fit" in answer.problems[0]


async def test_what_was_good_of_a_refused_entry_is_kept(path: Path) -> None:
    write(path, peers_file_of(peer(1, seq=5)))
    static = source(path)
    before = await static.fetch()
    write(path, peers_file_of(peer(1, seq=6)).replace(b"10.0.0.1:7001", b"10.0.0.6:7001"), age=50.0)
    after = await static.fetch()
    assert isinstance(before, Found)
    assert isinstance(after, Found)
    assert after.sightings == before.sightings
    assert len(after.problems) == 1


def signed(*numbers: int, seq: int = 100, by: int = 1000, cluster: str = CLUSTER) -> tuple[bytes, bytes]:
    data = peers_file_of(*(peer(number) for number in numbers))
    return data, sign_peers(data, key(by), cluster=cluster, previous_seq=seq - 1 + int(NOON.timestamp()), now=NOON)


def put(path: Path, data: bytes, signature: bytes) -> None:
    write(path, data)
    write(path.with_name(path.name + ".sig"), signature)


def trusting(path: Path, **more: Any) -> StaticFile:
    return source(path, signers=[FLEET.public()], cluster=CLUSTER, **more)


async def test_with_trusted_signers_a_signed_file_counts(path: Path) -> None:
    put(path, *signed(1))
    assert isinstance(await trusting(path).fetch(), Found)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (None, "does not exist"),
        (signed(2)[1], "does not fit"),
        (signed(1, by=2000)[1], "not one of the trusted signers"),
        (signed(1, cluster="other")[1], "other"),
        (b"{}", "missing"),
    ],
)
async def test_with_trusted_signers_any_other_file_is_refused(path: Path, signature: bytes | None, said: str) -> None:
    write(path, signed(1)[0])
    if signature is not None:
        write(path.with_name(path.name + ".sig"), signature)
    answer = await trusting(path).fetch()
    assert isinstance(answer, Failed)
    assert said in answer.error


async def test_a_new_signature_alone_is_a_change(path: Path) -> None:
    put(path, signed(1)[0], signed(2)[1])
    static = trusting(path)
    assert isinstance(await static.fetch(), Failed)
    put(path, *signed(1))
    assert await static.changed()
    assert isinstance(await static.fetch(), Found)


async def test_an_older_signed_file_is_refused_also_after_a_restart(path: Path, tmp_path: Path) -> None:
    put(path, *signed(1, 2, seq=100))
    await trusting(path, seen=HighestSeq(tmp_path, in_an_hour)).fetch()
    put(path, *signed(1, seq=99))
    answer = await trusting(path, seen=HighestSeq(tmp_path, in_an_hour)).fetch()
    assert isinstance(answer, Failed)
    assert "older" in answer.error
    put(path, *signed(1, seq=101))
    assert isinstance(await trusting(path, seen=HighestSeq(tmp_path, in_an_hour)).fetch(), Found)


async def test_the_endpoint_ids_of_sightings_are_those_of_their_peers(path: Path) -> None:
    write(path, peers_file_of(peer(3)))
    answer = await source(path).fetch()
    assert isinstance(answer, Found)
    assert answer.sightings[0].endpoint_id == endpoint_id(3)


async def test_a_signed_answer_is_final_and_an_unsigned_one_is_not(path: Path) -> None:
    put(path, *signed(1, 2))
    answer = await trusting(path).fetch()
    assert isinstance(answer, Found)
    assert answer.final
    answer = await source(path).fetch()
    assert isinstance(answer, Found)
    assert not answer.final


async def test_a_signature_that_comes_after_its_peers_file_is_noticed_by_itself(path: Path) -> None:
    data = peers_file_of(peer(1))
    write(path, data)
    static = source(path, signers=[FLEET.public()], cluster=CLUSTER, seen=HighestSeq(None, in_an_hour))
    assert isinstance(await static.fetch(), Failed)
    assert not await static.changed()
    signature = sign_peers(data, FLEET, cluster=CLUSTER, previous_seq=None, now=NOON)
    write(path.with_name(f"{path.name}.sig"), signature)
    assert await static.changed()
    answer = await static.fetch()
    assert isinstance(answer, Found)
    assert [each.node_id for each in answer.peers] == [1]


def leave_out(folder: Path) -> None:
    """There is no data directory."""


def put_a_file_there(folder: Path) -> None:
    """Something stands in its place."""
    folder.write_bytes(b"")


@pytest.mark.parametrize("spoil", [leave_out, put_a_file_there])
async def test_a_good_signed_file_counts_also_where_nothing_can_be_remembered(
    path: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / "data"
    spoil(folder)
    put(path, *signed(1, 2))
    seen, memory = HighestSeq(folder, in_an_hour), SnapshotStore(folder)
    answer = await trusting(path, seen=seen, memory=memory).fetch()
    assert isinstance(answer, Found)
    assert [each.node_id for each in answer.peers] == [1, 2]
    assert "seen-signatures.json: " in str(seen.problem)
    assert "remembered-peers: cannot be made: " in str(memory.problem)


async def test_what_could_not_be_remembered_counts_until_it_can_be_and_is_written_then(
    path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    memory = SnapshotStore(folder)
    put(path, *signed(1))
    await trusting(path, memory=memory).fetch()
    write(path, "[{")
    answer = await trusting(path, memory=memory).fetch()
    assert isinstance(answer, Failed)
    assert isinstance(answer.remembered, Found)
    assert [each.node_id for each in answer.remembered.peers] == [1]
    folder.mkdir()
    memory.write_again()
    assert memory.problem is None
    answer = await trusting(path, memory=SnapshotStore(folder)).fetch()
    assert isinstance(answer, Failed)
    assert isinstance(answer.remembered, Found)


async def test_an_empty_list_takes_away_also_what_could_not_be_remembered(path: Path, tmp_path: Path) -> None:
    memory = SnapshotStore(tmp_path / "data")
    static = source(path, memory=memory)
    write(path, peers_file_of(peer(1)))
    await static.fetch()
    assert memory.recall(static.name) is not None
    write(path, "[]", age=30.0)
    await static.fetch()
    assert memory.recall(static.name) is None
