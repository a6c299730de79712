# SPDX-License-Identifier: MIT
"""What iroh's endpoints announce of themselves, as it comes in packets."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.peers.people import endpoint_id
from zeroconf import DNSAddress, DNSOutgoing, DNSService, DNSText  # type: ignore[attr-defined]

from blixard.model.ids import EndpointId
from blixard.sources.dns_records import base32
from blixard.sources.mdns_iroh import MAX_HEARD, MAX_PACKETS, Heard, IrohListener, parse_packet

ID = endpoint_id(1)
A, AAAA, SRV, TXT, IN = 1, 28, 33, 16, 1
RESPONSE = 0x8400


def announcement(who: EndpointId, *ways: tuple[str, int], relay: str | None = None, ttl: int = 0) -> bytes:
    """The packet of an endpoint, in the form of the library that iroh uses: TTL 0, a target for each port."""
    label = base32(who)
    name = f"{label}._irohv1._udp.local."
    message = DNSOutgoing(RESPONSE)
    for port in {port for _, port in ways}:
        message.add_answer_at_time(DNSService(name, SRV, IN, ttl, 0, 0, port, f"{label}-{port}.local."), 0)
    for address, port in ways:
        ip = ipaddress.ip_address(address)
        kind = A if ip.version == 4 else AAAA
        message.add_additional_answer(DNSAddress(f"{label}-{port}.local.", kind, IN, ttl, ip.packed))
    if relay is not None:
        text = f"relay={relay}".encode()
        message.add_answer_at_time(DNSText(name, TXT, IN, ttl, bytes([len(text)]) + text), 0)
    (packet,) = message.packets()
    return packet


def test_an_announcement_says_where_its_endpoint_is() -> None:
    packet = announcement(ID, ("10.0.0.7", 4711), ("2001:db8::7", 4711), ("10.0.0.7", 4712), relay="https://r.example/")
    ((found, heard),) = parse_packet(packet).items()
    assert found == ID
    assert sorted(heard.addresses) == ["10.0.0.7:4711", "10.0.0.7:4712", "[2001:db8::7]:4711"]
    assert heard.relay_url == "https://r.example/"


def test_what_is_no_address_to_dial_is_left_out() -> None:
    packet = announcement(
        ID, ("0.0.0.0", 1), ("10.0.0.7", 0), ("224.0.0.1", 1), ("10.0.0.7", 7001), relay="gopher://x/"
    )
    assert parse_packet(packet) == {ID: Heard(("10.0.0.7:7001",), None)}


@given(st.binary(max_size=600))
def test_any_bytes_are_a_packet_that_says_nothing(data: bytes) -> None:
    assert parse_packet(data) == {}


@given(st.data())
def test_a_packet_with_wrong_bytes_is_read_to_its_end(data: st.DataObject) -> None:
    packet = bytearray(announcement(ID, ("10.0.0.7", 7001), relay="https://r.example/"))
    for _ in range(data.draw(st.integers(1, 8))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    parse_packet(bytes(packet))


@pytest.fixture
def listener() -> IrohListener:
    return IrohListener(lambda: None)


async def test_of_too_many_endpoints_the_one_heard_longest_ago_makes_room(
    listener: IrohListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.sources.mdns_iroh.MAX_PACKETS", 10_000)
    first, second, *others = map(endpoint_id, range(513))
    assert len(others) + 1 == MAX_HEARD == 512
    for each in (first, second, first, *others):
        listener.datagram_received(announcement(each, ("10.0.0.7", 7001)), ("10.0.0.7", 5353))
    assert set(listener.heard()) == {first, *others}


async def test_of_a_flood_only_so_many_packets_a_second_are_looked_at(listener: IrohListener) -> None:
    for number in range(350):
        listener.datagram_received(announcement(endpoint_id(number), ("10.0.0.7", 7001)), ("10.0.0.7", 5353))
    assert MAX_PACKETS == 100
    # The flood may have been in two seconds of the clock, or on a slow machine in three.
    assert 100 <= len(listener.heard()) <= 300


async def test_only_what_is_new_counts_as_a_change() -> None:
    changes: list[None] = []
    listener = IrohListener(lambda: changes.append(None))
    for port in (7001, 7001, 7002):
        listener.datagram_received(announcement(ID, ("10.0.0.7", port)), ("10.0.0.7", 5353))
    assert len(changes) == 2
