# SPDX-License-Identifier: MIT
"""The frames of `gossip/1`: how they are written, and read as from an enemy. docs/protocol.md describes them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.gossip.digest import BUCKET_BYTES, BUCKETS, DIGEST_BYTES, PAIR, PREFIX_BYTES, Pair
from blixard.model.entry import DiscoveredPeer
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SAFE_INTEGER, MAX_SIGNATURE_BYTES

if TYPE_CHECKING:
    from datetime import datetime

PROTOCOL = "gossip/1"

MAX_CONNECTED = 256
"""Names of connected peers in a digest; a node of a large fleet is connected with some thirty."""
MAX_ENTRIES = 256
MAX_ENTRY_BYTES = 8 * 1024
"""An entry with 64 addresses, the longest URL and its attestation is below that."""
MAX_ENTRIES_BYTES = 256 * 1024
MAX_PAIRS = 8192
FILE_PART = 64 * 1024

_DIGEST = struct.Struct(f">?32sQ{DIGEST_BYTES}s")
_ENTRY = struct.Struct(">II")
_COUNT = struct.Struct(">I")
_OFFER = struct.Struct(">II")
_MASK_BYTES = BUCKETS // 8

MAX_DIGEST_FRAME = 1 + _DIGEST.size + MAX_CONNECTED * PREFIX_BYTES
MAX_REQUEST_FRAME = 2 + BUCKETS * BUCKET_BYTES
MAX_REPLY_FRAME = 2 + _MASK_BYTES + MAX_PAIRS * PAIR.size
MAX_ENTRIES_FRAME = 1 + _COUNT.size + MAX_ENTRIES * (PREFIX_BYTES + _ENTRY.size) + MAX_ENTRIES_BYTES
MAX_OFFER_FRAME = 1 + _OFFER.size + MAX_SIGNATURE_BYTES


@dataclass(frozen=True)
class FileMark:
    """A signed peers file, by the raw id of its signer and its number."""

    signer: bytes
    number: int


@dataclass(frozen=True)
class Digest:
    """What a node holds: its signed peers file, a hash over its entries, and the names of whom it is connected with."""

    file: FileMark | None
    entries: bytes
    connected: Sequence[bytes] = ()

    def is_like(self, other: Digest) -> bool:
        """Tell whether there is nothing to exchange."""
        return (self.file, self.entries) == (other.file, other.entries)


@dataclass(frozen=True)
class Request:
    """Whether the sender wants the peers file, and the hashes of its buckets; empty when its entries are the same."""

    wants_file: bool
    buckets: bytes = b""


@dataclass(frozen=True)
class Reply:
    """Whether the sender wants the peers file, and what it holds in the buckets `covered`, of those that differ."""

    wants_file: bool
    covered: Sequence[int] = ()
    pairs: Sequence[Pair] = ()


@dataclass(frozen=True)
class Entry:
    """An entry as it travels: its JSON, and how long ago (seconds) somebody was connected with its node."""

    age: int
    data: bytes


@dataclass(frozen=True)
class Entries:
    """Entries that the other side lacks, and the names of those that the sender wants."""

    entries: Sequence[Entry] = ()
    wanted: Sequence[bytes] = ()


@dataclass(frozen=True)
class Offer:
    """The peers file's size and its signature; size 0: not now. The file follows in frames of `FILE_PART` bytes."""

    size: int
    signature: bytes


def encode(message: Digest | Request | Reply | Entries | Offer) -> bytes:
    """Return the frame of a message."""
    if isinstance(message, Digest):
        file = message.file or FileMark(bytes(32), 0)
        head = _DIGEST.pack(message.file is not None, file.signer, file.number, message.entries)
        return b"D" + head + b"".join(message.connected)
    if isinstance(message, Request):
        return b"Q" + bytes([message.wants_file]) + message.buckets
    if isinstance(message, Reply):
        mask = sum(1 << bucket for bucket in message.covered).to_bytes(_MASK_BYTES, "little")
        return b"R" + bytes([message.wants_file]) + mask + b"".join(PAIR.pack(*pair) for pair in message.pairs)
    if isinstance(message, Entries):
        parts = (_ENTRY.pack(each.age, len(each.data)) + each.data for each in message.entries)
        return b"E" + _COUNT.pack(len(message.wanted)) + b"".join(message.wanted) + b"".join(parts)
    return b"F" + _OFFER.pack(message.size, len(message.signature)) + message.signature


def decode_digest(frame: bytes) -> Digest:
    """Read a digest; raises InputError for anything else, as all of these do."""
    body = _body(frame, b"D", MAX_DIGEST_FRAME)
    if len(body) < _DIGEST.size:
        raise InputError("a digest is cut")
    has_file, signer, number, entries = _DIGEST.unpack_from(body)
    return Digest(FileMark(signer, _number(number)) if has_file else None, entries, _names(body[_DIGEST.size :]))


def decode_request(frame: bytes) -> Request:
    """Read a request."""
    body = _body(frame, b"Q", MAX_REQUEST_FRAME)
    if len(body) not in (1, 1 + BUCKETS * BUCKET_BYTES):
        raise InputError(f"a request of {len(body)} bytes")
    return Request(_flag(body[0]), body[1:])


def decode_reply(frame: bytes) -> Reply:
    """Read a reply. Its pairs lie in the buckets that it covers, and each name is there once."""
    body = _body(frame, b"R", MAX_REPLY_FRAME)
    rest = body[1 + _MASK_BYTES :]
    if len(body) < 1 + _MASK_BYTES or len(rest) % PAIR.size:
        raise InputError("a reply is cut")
    mask = int.from_bytes(body[1 : 1 + _MASK_BYTES], "little")
    covered = [bucket for bucket in range(BUCKETS) if mask >> bucket & 1]
    pairs = [(name, _number(number)) for name, number in PAIR.iter_unpack(rest)]
    if any(not mask >> name[0] & 1 for name, _ in pairs) or len({name for name, _ in pairs}) < len(pairs):
        raise InputError("a reply names an entry twice, or outside of what it covers")
    return Reply(_flag(body[0]), covered, pairs)


def decode_entries(frame: bytes) -> Entries:
    """Read entries, not what is in them."""
    body = _body(frame, b"E", MAX_ENTRIES_FRAME)
    if len(body) < _COUNT.size:
        raise InputError("a frame of entries is cut")
    (count,) = _COUNT.unpack_from(body)
    begin = _COUNT.size + count * PREFIX_BYTES
    if count > MAX_ENTRIES or begin > len(body):
        raise InputError(f"{count} entries are wanted")
    entries = list(_entries(body, begin))
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"more than {MAX_ENTRIES} entries")
    return Entries(entries, _names(body[_COUNT.size : begin]))


def decode_offer(frame: bytes) -> Offer:
    """Read what is said of the peers file before it comes."""
    body = _body(frame, b"F", MAX_OFFER_FRAME)
    if len(body) < _OFFER.size:
        raise InputError("an offer is cut")
    size, length = _OFFER.unpack_from(body)
    signature = body[_OFFER.size :]
    if len(signature) != length or size > MAX_PEERS_BYTES:
        raise InputError(f"a peers file of {size} bytes, or a signature of another length than it says")
    return Offer(size, signature)


def encode_entry(peer: DiscoveredPeer) -> bytes:
    """Return what a node has signed about itself, as it travels; nothing that it has not signed."""
    body = {
        "node_id": peer.node_id,
        "iroh_node_id": peer.iroh_node_id,
        "direct_addresses": list(peer.direct_addresses),
        "relay_url": peer.relay_url,
        "attestation": peer.attestation.to_json() if peer.attestation is not None else None,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def decode_entry(data: bytes, now: datetime) -> DiscoveredPeer:
    """Read what a node is said to have signed; the signature is not looked at.

    Raises:
        InputError: it is no entry, or has no attestation.
    """
    body = loads(data)
    if not isinstance(body, dict) or len(body) != 5:
        raise InputError("an entry is no object of five fields")
    peer = DiscoveredPeer.from_json({**body, "source": "gossip", "discovered_at": now})
    if peer.attestation is None or peer.extra:
        raise InputError("an entry has no attestation")
    return peer


def _body(frame: bytes, kind: bytes, most: int) -> bytes:
    if len(frame) > most or frame[:1] != kind or len(frame) < 2:
        raise InputError(f"a frame of {len(frame)} bytes that is none of kind {kind.decode()}")
    return frame[1:]


def _flag(byte: int) -> bool:
    if byte > 1:
        raise InputError("neither 0 nor 1")
    return byte == 1


def _number(number: int) -> int:
    if not 0 < number <= MAX_SAFE_INTEGER:
        raise InputError(f"the number {number}")
    return number


def _names(data: bytes) -> tuple[bytes, ...]:
    if len(data) % PREFIX_BYTES:
        raise InputError("names are cut")
    return tuple(data[at : at + PREFIX_BYTES] for at in range(0, len(data), PREFIX_BYTES))


def _entries(body: bytes, at: int) -> Iterator[Entry]:
    while at < len(body):
        if len(body) - at < _ENTRY.size:
            raise InputError("an entry is cut")
        age, length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        if length > MAX_ENTRY_BYTES or length > len(body) - at:
            raise InputError(f"an entry of {length} bytes, more than {MAX_ENTRY_BYTES} or than there are")
        yield Entry(age, body[at : at + length])
        at += length
