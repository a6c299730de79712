# SPDX-License-Identifier: MIT
"""Tickets: an endpoint id with its addresses in one word, in iroh's present and older form."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from blixard.errors import InputError
from blixard.model.addresses import IPAddress, SocketAddress, parse_relay_url
from blixard.model.encodings import decode_base32
from blixard.model.ids import ID_BYTES, EndpointId
from blixard.model.limits import MAX_ADDRESSES, MAX_TICKET
from blixard.model.words import quoted, too_long, too_many, wrong_kind

_PRESENT = "endpoint"
_OLDER = "node"
_OLDER_SCHEME = "nodeticket:"
_SHORTEST = 52
"""Base32 characters of an id alone: what is shorter is a word of its own, such as a file name."""

_BASE32 = frozenset("abcdefghijklmnopqrstuvwxyz234567")


@dataclass(frozen=True)
class Ticket:
    """What a ticket says: who, and where to dial.

    Attributes:
        endpoint_id: the public key of the endpoint.
        relay_url: its home relay, or None.
        direct_addresses: where to dial it directly, at most 64; may be empty.
    """

    endpoint_id: EndpointId
    relay_url: str | None = None
    direct_addresses: tuple[SocketAddress, ...] = ()

    def __post_init__(self) -> None:
        if len(self.direct_addresses) > MAX_ADDRESSES:
            raise InputError(too_many(MAX_ADDRESSES, len(self.direct_addresses)))
        if self.relay_url is not None:
            parse_relay_url(self.relay_url)


def looks_like_ticket(text: str) -> bool:
    """Tell whether `text` is meant as a ticket, by its first word, its length and its letters."""
    body = _body(text)
    return body is not None and len(body) >= _SHORTEST and set(body) <= _BASE32


def parse_ticket(text: object) -> Ticket:
    """Read an `endpoint…` ticket, or an older `node…` or `nodeticket:node…` one.

    Raises:
        InputError: `text` is no ticket, or carries an id, address or URL that cannot be used.
    """
    if not isinstance(text, str):
        raise InputError(wrong_kind("a string", text))
    if len(text) > MAX_TICKET:
        raise InputError(too_long(MAX_TICKET, len(text)))
    body = _body(text)
    if body is None:
        raise InputError(f'{quoted(text)} is not a ticket: that begins with "endpoint" or "node"')
    raw = decode_base32(body)
    if raw is None:
        raise InputError(f"{quoted(text)} is not a ticket: the text after its first word is not base32")
    return _parse_present(text) if text.startswith(_PRESENT) else _parse_older(raw)


def format_ticket(ticket: Ticket) -> str:
    """Write a ticket in iroh's present form (`endpoint…`).

    iroh sorts the addresses and ends a URL without a path with "/".
    """
    import iroh

    addresses = [str(address) for address in ticket.direct_addresses]
    endpoint_id = iroh.EndpointId.from_bytes(ticket.endpoint_id.raw)
    return str(iroh.EndpointTicket.from_addr(iroh.EndpointAddr(endpoint_id, ticket.relay_url, addresses)))


def _body(text: str) -> str | None:
    for word in (_PRESENT, _OLDER_SCHEME + _OLDER, _OLDER):
        if text.startswith(word):
            return text[len(word) :]
    return None


def _parse_present(text: str) -> Ticket:
    import iroh

    try:
        address = iroh.EndpointTicket.from_string(text).endpoint_addr()
        raw, relay, listed = address.id().to_bytes(), address.relay_url(), address.direct_addresses()
    except iroh.IrohError:
        raise InputError(f"{quoted(text)} is not a ticket: it is damaged or cut off") from None
    return Ticket(EndpointId(raw), relay, tuple(SocketAddress.parse(item) for item in listed))


def _parse_older(raw: bytes) -> Ticket:
    """Read `00 | id[32] | 00 or 01 [len url] | n | {00 ip4[4] port | 01 ip6[16] port}`."""
    reader = _Reader(raw)
    if reader.varint() != 0:
        raise InputError("is a ticket of a kind that is not known here")
    endpoint_id = EndpointId(reader.take(ID_BYTES))
    relay = parse_relay_url(_utf8(reader.take(reader.varint()))) if reader.choice() else None
    number = reader.varint()
    if number > MAX_ADDRESSES:
        raise InputError(too_many(MAX_ADDRESSES, number))
    addresses = tuple(SocketAddress(reader.ip(), reader.varint()) for _ in range(number))
    reader.end()
    return Ticket(endpoint_id, relay, addresses)


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("is a ticket whose relay URL is not UTF-8") from None


class _Reader:
    """Reads postcard values from the front of some bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, number: int) -> bytes:
        end = self._at + number
        if end > len(self._raw):
            raise InputError("is a ticket that is cut off")
        part = self._raw[self._at : end]
        self._at = end
        return part

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):  # no number in a ticket needs more than five bytes
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise InputError("is a damaged ticket: a number in it does not end")

    def choice(self) -> bool:
        byte = self.take(1)[0]
        if byte > 1:
            raise InputError("is a damaged ticket: a choice in it is neither 0 nor 1")
        return byte == 1

    def ip(self) -> IPAddress:
        if self.choice():
            return ipaddress.IPv6Address(self.take(16))
        return ipaddress.IPv4Address(self.take(4))

    def end(self) -> None:
        if self._at != len(self._raw):
            raise InputError("is a damaged ticket: there is more after its end")
