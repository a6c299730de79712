# SPDX-License-Identifier: MIT
"""The signed peers file that a node has, and the newer one of a peer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, attested, key
from tests.unit.gossip.talk import Talker, talk

from blixard.documents.peers_file import build_peers, format_peers
from blixard.errors import BlixardError, TrustError
from blixard.gossip.messages import FileMark
from blixard.gossip.signed_file import SignedFile
from blixard.trust.highest_seq import HighestSeq
from blixard.trust.peers_signature import sign_peers

FLEET_KEY = key(100)
EPOCH = datetime.fromtimestamp(1, NOW.tzinfo)


def wall() -> datetime:
    return NOW


def sign(data: bytes, *, number: int, by: int = 100, cluster: str = CLUSTER) -> bytes:
    """The signature of whatever it is, under this number."""
    return sign_peers(data, key(by), cluster=cluster, previous_seq=number - 1, now=EPOCH)


def signed(*numbers: int, number: int, by: int = 100, cluster: str = CLUSTER) -> tuple[bytes, bytes]:
    """A peers file with these members, and its signature."""
    data = format_peers(build_peers([attested(each) for each in numbers]))
    return data, sign_peers(
        data, key(by), cluster=cluster, previous_seq=number - 1, now=datetime.fromtimestamp(1, NOW.tzinfo)
    )


def file_in(folder: Path, seen: HighestSeq | None = None) -> SignedFile:
    return SignedFile(
        folder / "discovery-peers.json",
        cluster=CLUSTER,
        signers=lambda: [FLEET_KEY.public()],
        seen=seen or HighestSeq(None, wall),
        wall=wall,
    )


def put(folder: Path, content: tuple[bytes, bytes]) -> None:
    (folder / "discovery-peers.json").write_bytes(content[0])
    (folder / "discovery-peers.json.sig").write_bytes(content[1])


def mark(number: int, by: int = 100) -> FileMark:
    return FileMark(key(by).public().raw, number)


def test_the_newest_file_of_a_trusted_signer_is_wanted_and_no_other(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    assert file.wants(mark(1))
    put(tmp_path, signed(1, 2, number=5))
    assert file.look()
    assert file.mark == mark(5)
    assert not file.look()
    wanted = [file.wants(each) for each in (None, mark(5), mark(6), mark(9, by=101), mark(2**50))]
    assert wanted == [False, False, True, False, False]


def test_a_file_that_was_lost_or_damaged_is_wanted_again_but_none_below_what_was_seen(tmp_path: Path) -> None:
    seen = HighestSeq(None, wall)
    seen.raise_to(str(tmp_path / "discovery-peers.json"), CLUSTER, FLEET_KEY.public(), 5)
    file = file_in(tmp_path, seen)
    put(tmp_path, (b"[]", signed(1, number=5)[1]))
    file.look()
    assert file.mark is None
    assert [file.wants(mark(number)) for number in (4, 5)] == [False, True]


def test_a_newer_file_takes_the_place_of_the_older_one_whole(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    put(tmp_path, signed(1, 2, number=5))
    file.look()
    newer = signed(1, number=6)
    file.take(*newer, mark(6))
    assert file.read() == newer
    assert (tmp_path / "discovery-peers.json").read_bytes() == newer[0]
    file.look()
    assert file.mark == mark(6)


@pytest.mark.parametrize(
    ("content", "announced"),
    [
        (signed(1, number=4), 9),  # a replay under the number of a newer one
        (signed(1, number=9, by=101), 9),
        (signed(1, number=9, cluster="other"), 9),
        ((b"[]", signed(1, number=9)[1]), 9),
        (
            (
                b"[",
                sign(b"[", number=9),
            ),
            9,
        ),
        ((b"[]", b"{}"), 9),
    ],
)
def test_what_is_not_good_replaces_nothing(tmp_path: Path, content: tuple[bytes, bytes], announced: int) -> None:
    file = file_in(tmp_path)
    present = signed(1, 2, number=5)
    put(tmp_path, present)
    file.look()
    with pytest.raises(BlixardError):
        file.take(*content, mark(announced))
    assert (file.mark, file.read()) == (mark(5), present)


def test_what_cannot_be_written_is_told_and_kept_until_it_can_be(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    file = file_in(folder)
    file.take(*signed(1, number=6), mark(6))
    assert str(folder) in (file.problem or "")
    assert not file.wants(mark(6))
    folder.mkdir()
    file.write_again()
    assert not file.problem
    assert (folder / "discovery-peers.json").exists()


async def test_the_file_comes_in_an_exchange_from_either_end(tmp_path: Path) -> None:
    newer = signed(1, 2, 3, number=7)
    for begins in (True, False):
        here, there = tmp_path / f"here{begins}", tmp_path / f"there{begins}"
        here.mkdir()
        there.mkdir()
        put(there, newer)
        files = [file_in(here), file_in(there)]
        files[1].look()
        one = await Talker(1, attested(2), file=files[0]).learn()
        two = await Talker(2, attested(1), file=files[1]).learn()
        await (talk(one, two) if begins else talk(two, one))
        assert (one.failed, two.failed) == ({}, {})
        assert (here / "discovery-peers.json").read_bytes() == newer[0]
        assert one.gossip.status()["peers_file"] == {"seq": 7, "signer": FLEET_KEY.public().base64}


def test_a_replayed_file_is_named_as_that(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="has number 4, 9 was announced"):
        file_in(tmp_path).take(*signed(1, number=4), mark(9))
