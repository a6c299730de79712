# SPDX-License-Identifier: MIT
"""Addresses: what can be dialled is read, everything else refused before iroh sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.unit.model.strategies import direct_addresses, listening, relay_urls

from blixard.errors import InputError
from blixard.model.addresses import HostPort, SocketAddress, parse_relay_url


@given(direct_addresses)
def test_an_address_reads_back_as_it_is_written(text: str) -> None:
    address = SocketAddress.parse(text)
    assert SocketAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.168.1.10:7001", "192.168.1.10:7001"),
        ("[::1]:1", "[::1]:1"),
        ("[2001:DB8:0:0::1]:65535", "[2001:db8::1]:65535"),
        ("[::ffff:192.0.2.1]:7", "[::ffff:192.0.2.1]:7"),
        ("[::ffff:c000:201]:7", "[::ffff:192.0.2.1]:7"),
    ],
)
def test_an_address_has_one_canonical_text(text: str, canonical: str) -> None:
    assert str(SocketAddress.parse(text)) == canonical


def test_addresses_are_ordered_by_family_then_address_then_port() -> None:
    texts = ["9.0.0.1:2", "9.0.0.1:10", "10.0.0.1:1", "[::1]:1", "[::2]:1"]
    assert [str(address) for address in sorted(map(SocketAddress.parse, reversed(texts)))] == texts
    assert SocketAddress.parse("1.2.3.4:1") <= SocketAddress.parse("1.2.3.4:1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must not be empty"),
        ("notanaddr", "not an address with a port"),
        (":7001", "not an address with a port"),
        ("1.2.3.4", "not an address with a port"),
        ("1.2.3.4:", "no usable port"),
        ("1.2.3.4:0", "port 0"),
        ("1.2.3.4:000", "port 0"),
        ("1.2.3.4:65536", "no usable port"),
        ("1.2.3.4:07001", "no usable port"),
        ("1.2.3.4:+1", "no usable port"),
        ("1.2.3.4: 1", "no usable port"),
        ("1.2.3.4:1_0", "no usable port"),
        ("1.2.3.4:٣", "no usable port"),
        ("1.2.3.4:7001\n", "no usable port"),
        ("01.2.3.4:1", "no IP address"),
        ("1.2.3:1", "no IP address"),
        ("1.2.3.4.5:1", "no IP address"),
        ("999.2.3.4:1", "no IP address"),
        ("relay.example.org:1", "has a host name"),
        ("localhost:1", "has a host name"),
        ("::1:7001", "without brackets"),
        ("[1.2.3.4]:1", "no IPv6 address in its brackets"),
        ("[::g]:1", "no IPv6 address in its brackets"),
        ("[]:1", "no IPv6 address in its brackets"),
        ("[::1]", "not an address with a port|without brackets"),
        ("[fe80::1%eth0]:1", "zone"),
        ("0.0.0.0:1", "unspecified"),
        ("[::]:1", "unspecified"),
        ("[::ffff:0.0.0.0]:1", "unspecified"),
        ("224.0.0.1:1", "multicast"),
        ("[ff02::1]:1", "multicast"),
        ("[::ffff:224.0.0.1]:1", "multicast"),
        ("255.255.255.255:1", "broadcast"),
        ("1" * 300 + ":1", "at most 253 characters"),
        (7001, "must be a string, not an integer"),
        (None, "must be a string, not null"),
        ("\ud8001.2.3.4:1", "no IP address"),
    ],
)
def test_what_cannot_be_dialled_is_refused_with_its_reason(text: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        SocketAddress.parse(text)


@given(listening)
def test_a_host_and_port_read_back_as_they_are_written(text: str) -> None:
    pair = HostPort.parse(text)
    assert HostPort.parse(str(pair)) == pair


def test_a_node_may_listen_on_the_unspecified_address_or_under_a_name() -> None:
    assert HostPort.parse("0.0.0.0:7001").ip is not None
    assert HostPort.parse("[::]:7001") == HostPort("::", 7001)
    assert HostPort.parse("node-1.example.org:7001").ip is None
    assert str(HostPort.parse("[2001:DB8::1]:7001")) == "[2001:db8::1]:7001"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        "host:0",
        "ho st:1",
        "-x:1",
        "a..b:1",
        "[host]:1",
        "[fe80::1%1]:1",
        "1.2.3:1",
        "x" * 64 + ":1",
        3,
    ],
)
def test_what_is_no_host_and_port_is_refused(text: object) -> None:
    with pytest.raises(InputError):
        HostPort.parse(text)


@given(relay_urls.filter(bool))
def test_a_relay_url_is_kept_as_it_is_written(url: str) -> None:
    assert parse_relay_url(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must not be empty"),
        ("relay.example.org", "not a relay URL"),
        ("ftp://relay.example.org", "not a relay URL"),
        ("https:relay.example.org", "not a relay URL"),
        ("javascript:alert(1)", "not a relay URL"),
        ("https://", "host or port"),
        ("https:///path", "host or port"),
        ("https://relay.example.org:x", "host or port"),
        ("https://relay.example.org:0", "host or port"),
        ("https://relay.example.org:65536", "host or port"),
        ("https://a_b..c", "host or port"),
        ("https://[::1", "host or port"),
        ("https://[zz]/", "host or port"),
        ("https://[v1.x]/", "host or port"),
        ("https://[fe80::1%eth0]/", "host or port"),
        ("https://relay.0x1", "host or port"),
        ("https://xn--a.example.org", "host or port"),
        ("https://user:secret@relay.example.org", "user name or password"),
        ("https://relay example.org", "characters"),
        ("https://relay.example.org/\n", "characters"),
        ("https://rélay.example.org", "characters"),
        ("https://relay.example.org/" + "x" * 2048, "at most 2048 characters"),
        (7, "must be a string"),
    ],
)
def test_what_is_no_relay_url_is_refused_with_its_reason(url: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        parse_relay_url(url)
    assert "secret" not in str(caught.value)
