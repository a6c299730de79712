# SPDX-License-Identifier: MIT
"""Tickets: iroh's own are read and written, its older ones read, damaged ones refused."""

from __future__ import annotations

import base64

import iroh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import key
from tests.unit.model.strategies import direct_addresses, endpoint_ids

from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.ids import EndpointId
from blixard.model.tickets import Ticket, format_ticket, looks_like_ticket, parse_ticket

ID = key(1).public()
ADDRESSES = tuple(map(SocketAddress.parse, ["192.0.2.1:7001", "10.0.0.5:500", "[2001:db8::1]:7001"]))
FULL = Ticket(ID, "https://relay.example.org/", tuple(sorted(ADDRESSES)))
BARE = Ticket(ID)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def older(ticket: Ticket) -> bytes:
    """The documented layout of a node ticket, written down once more, apart from the code under test."""
    raw = b"\0" + ticket.endpoint_id.raw
    url = ticket.relay_url
    raw += b"\0" if url is None else b"\1" + varint(len(url)) + url.encode()
    raw += varint(len(ticket.direct_addresses))
    for address in ticket.direct_addresses:
        raw += bytes([address.ip.version == 6]) + address.ip.packed + varint(address.port)
    return raw


def words(raw: bytes, prefix: str = "node") -> str:
    return prefix + base64.b32encode(raw).decode().rstrip("=").lower()


@given(endpoint_ids, st.sets(direct_addresses, max_size=6), st.sampled_from([None, "https://relay.example.org/"]))
def test_what_is_written_reads_back(endpoint_id: EndpointId, texts: set[str], relay: str | None) -> None:
    ticket = Ticket(endpoint_id, relay, tuple(sorted(map(SocketAddress.parse, texts))))
    again = parse_ticket(format_ticket(ticket))
    assert (again.endpoint_id, again.relay_url) == (endpoint_id, relay)
    assert set(again.direct_addresses) == set(ticket.direct_addresses)


def test_iroh_reads_the_tickets_that_are_written_here() -> None:
    address = iroh.EndpointTicket.from_string(format_ticket(FULL)).endpoint_addr()
    assert address.id().to_bytes() == ID.raw
    assert address.relay_url() == FULL.relay_url
    assert sorted(address.direct_addresses()) == sorted(map(str, ADDRESSES))


@pytest.mark.parametrize("prefix", ["node", "nodeticket:node"])
@pytest.mark.parametrize("ticket", [FULL, BARE], ids=["full", "bare"])
def test_older_tickets_are_read_though_iroh_refuses_them(prefix: str, ticket: Ticket) -> None:
    text = words(older(ticket), prefix)
    assert parse_ticket(text) == ticket
    with pytest.raises(iroh.IrohError):
        iroh.EndpointTicket.from_string(text)


@pytest.mark.parametrize("length", range(len(older(FULL))))
def test_an_older_ticket_that_is_cut_off_anywhere_is_refused(length: int) -> None:
    with pytest.raises(InputError):
        parse_ticket(words(older(FULL)[:length]))


@pytest.mark.parametrize("cut", range(1, len(format_ticket(FULL))))
def test_a_present_ticket_that_is_cut_off_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(InputError):
        parse_ticket(format_ticket(FULL)[:-cut])


BASE = b"\0" + ID.raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\1" + ID.raw + b"\0\0", "kind that is not known"),
        (BASE + b"\2\0", "neither 0 nor 1"),
        (BASE + b"\0\0more", "more after its end"),
        (BASE + b"\0\x41", "at most 64 items, has 65"),
        (BASE + b"\0\xff\xff\xff\xff\xff\xff", "does not end"),
        (BASE + b"\0\xff\xff\xff\xff\x7f", "at most 64 items"),
        (BASE + b"\1\x02\xff\xff\0", "not UTF-8"),
        (BASE + b"\1\x03ftp\0", "not a relay URL"),
        (BASE + b"\0\1\0\0\0\0\0\1", "unspecified"),
        (BASE + b"\0\1\0\1\2\3\4\0", "port 0 is not"),
        (BASE + b"\0\1\0\1\2\3\4\x80\x80\x04", "port 65536 is not"),
        (b"\0" + bytes(32) + b"\0\0", "weak key"),
        (b"", "cut off"),
    ],
)
def test_a_damaged_older_ticket_is_refused_with_its_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_ticket(words(raw))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "hello",
        "endpoint",
        "node",
        "node1",
        "nodeticket:",
        "NODEABC",
        "node" + "!" * 60,
        "endpoint\udcff" + "a" * 60,
        "a" * 20_000,
        None,
        3,
    ],
)
def test_what_is_no_ticket_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        parse_ticket(value)


def test_an_unspecified_address_in_a_present_ticket_is_refused() -> None:
    address = iroh.EndpointAddr(iroh.EndpointId.from_bytes(ID.raw), None, ["0.0.0.0:1"])
    with pytest.raises(InputError, match="unspecified"):
        parse_ticket(str(iroh.EndpointTicket.from_addr(address)))


def test_tickets_are_told_from_other_locations() -> None:
    assert looks_like_ticket(format_ticket(BARE))
    assert looks_like_ticket(words(older(BARE)))
    assert looks_like_ticket("nodeticket:" + words(older(FULL)))
    for other in ["node1.json", "node1.example.org:7001", "nodes", "/srv/node", "endpoint.json", "https://node", ""]:
        assert not looks_like_ticket(other)


def test_a_ticket_refuses_more_addresses_than_an_entry_may_have() -> None:
    many = tuple(SocketAddress.parse(f"192.0.2.1:{port}") for port in range(1, 66))
    with pytest.raises(InputError, match="at most 64 items, has 65"):
        Ticket(ID, None, many)
