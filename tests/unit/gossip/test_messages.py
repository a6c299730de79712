# SPDX-License-Identifier: MIT
"""The frames of gossip: what was written is read again, and what nobody would write is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.documents.samples import NOW, attested, entry

from blixard.errors import InputError
from blixard.gossip import messages
from blixard.gossip.messages import Digest, Entries, Entry, FileMark, Offer, Reply, Request, encode
from blixard.model.entry import DiscoveredPeer

PEER = DiscoveredPeer.from_entry(attested(1), "gossip", NOW)
MARK = FileMark(bytes(range(32)), 7)
NAME = b"12345678"
Decode = Callable[[bytes], object]
Message = Digest | Request | Reply | Entries | Offer
GOOD: dict[Decode, tuple[Message, ...]] = {
    messages.decode_digest: (Digest(MARK, bytes(16), (NAME, b"abcdefgh")), Digest(None, b"x" * 16)),
    messages.decode_request: (Request(True), Request(False, bytes(2048))),
    messages.decode_reply: (Reply(False, [], []), Reply(True, [0x31, 0xFF], [(NAME, 5)])),
    messages.decode_entries: (Entries([], ()), Entries([Entry(9, b"{}"), Entry(0, b"")], (NAME,))),
    messages.decode_offer: (Offer(0, b""), Offer(5, b"signature")),
}


@pytest.mark.parametrize("decode", GOOD)
def test_what_was_written_is_read_again(decode: Decode) -> None:
    assert tuple(decode(encode(message)) for message in GOOD[decode]) == GOOD[decode]


@pytest.mark.parametrize("decode", GOOD)
def test_a_frame_that_is_cut_too_long_or_another_is_refused(decode: Decode) -> None:
    frame = encode(GOOD[decode][-1])
    for bad in (b"", frame[:1], frame[:2], frame[:-1] + b"", b"X" + frame[1:], frame + bytes(1 << 19)):
        if bad != frame and not (decode is messages.decode_request and len(bad) == 2):
            with pytest.raises(InputError):
                decode(bad)


@pytest.mark.parametrize(
    "frame",
    [
        encode(Reply(False, [1], [(NAME, 5)])),
        encode(Reply(False, [0x31], [(NAME, 5), (NAME, 6)])),
        encode(Reply(False, [0x31], [(NAME, 0)])),
        encode(Reply(False, [0x31], [(NAME, 2**53)])),
        b"R\2" + bytes(32),
    ],
)
def test_pairs_that_cannot_be_are_refused(frame: bytes) -> None:
    with pytest.raises(InputError):
        messages.decode_reply(frame)


def test_more_or_larger_entries_than_may_be_are_refused() -> None:
    for entries in (Entries([Entry(0, b"x" * 65_536)]), Entries([Entry(0, b"x")] * 257), Entries([], [NAME] * 257)):
        with pytest.raises(InputError):
            messages.decode_entries(encode(entries))


def test_an_entry_travels_as_it_was_signed_and_nothing_else_does() -> None:
    data = messages.encode_entry(PEER)
    assert messages.decode_entry(data, NOW) == PEER
    body = json.loads(data)
    wrong: list[Any] = [{**body, "extra": 1}, {**body, "attestation": None}, {**body, "node_id": "1"}, [], 5]
    for bad in wrong:
        with pytest.raises(InputError):
            messages.decode_entry(json.dumps(bad).encode(), NOW)
    with pytest.raises(InputError):
        messages.decode_entry(messages.encode_entry(DiscoveredPeer.from_entry(entry(1), "x", NOW)), NOW)
