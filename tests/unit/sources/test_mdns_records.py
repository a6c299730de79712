# SPDX-License-Identifier: MIT
"""What is announced on a link, written and read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.peers.people import key

from blixard.errors import BlixardError, TrustError
from blixard.model.addresses import SocketAddress
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.sources.base import Sighting
from blixard.sources.mdns_records import AnnouncementReader, Networks, properties_of
from blixard.trust.attestation import AttestationCheck, attest

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
LINK: Networks = frozenset({IPv4Network("10.0.0.0/24"), IPv6Network("2001:db8::/64")})
OWN = key(7).public()


def peer(*addresses: str, relay: str | None = None, signed: bool = True) -> DiscoveredPeer:
    entry = NodeRegistryEntry(7, OWN.base64, list(addresses), relay, "10.0.0.7:7001")
    if signed:
        entry = attest(entry, key(7), cluster="prod", now=NOW)
    return DiscoveredPeer.from_entry(entry, "mdns", NOW)


def read(
    properties: Mapping[str, str],
    *more: str,
    cluster: str | None = "prod",
    known: Mapping[EndpointId, int] | None = None,
) -> Sighting | None:
    check = AttestationCheck(cluster=cluster, wall=lambda: NOW)
    reader = AnnouncementReader(check, lambda: NOW, cluster=cluster, node_ids=lambda: known or {})
    return reader.read(properties, list(map(SocketAddress.parse, more)), LINK, "mdns:here")


def found(properties: Mapping[str, str], *more: str, **words: object) -> Sighting:
    sighting = read(properties, *more, **words)  # type: ignore[arg-type]
    assert sighting is not None
    return sighting


def test_what_a_node_announces_is_what_it_signed() -> None:
    announced = peer("10.0.0.7:7001", "192.0.2.7:7001", relay="https://relay.example/")
    sighting = found(properties_of(announced, "prod"))
    assert sighting.peer.content() == announced.content()
    assert sighting.peer.attestation == announced.attestation
    assert not sighting.is_hint


def test_upstreams_names_are_among_what_is_announced() -> None:
    properties = properties_of(peer("10.0.0.7:7001", "10.0.0.8:7001", signed=False), "prod")
    assert EndpointId.parse(properties["node_id"]) == OWN
    assert (properties["addr0"], properties["addr1"]) == ("10.0.0.7:7001", "10.0.0.8:7001")


def test_of_the_ways_only_those_within_the_links_networks_count() -> None:
    told = peer("192.0.2.7:7001", "10.0.0.7:7001", "[2001:db8::7]:7001", "10.0.1.7:7001")
    sighting = found(properties_of(told, "prod"))
    assert sighting.vouched_ways() == ("10.0.0.7:7001", "[2001:db8::7]:7001")


def test_a_relay_that_is_announced_does_not_count() -> None:
    sighting = found(properties_of(peer("10.0.0.7:7001", relay="https://elsewhere.example/"), "prod"))
    assert "https://elsewhere.example/" not in sighting.vouched_ways()


def test_what_is_announced_fits_into_one_packet_and_an_announcement_without_all_addresses_is_not_signed() -> None:
    many = peer(*(f"10.0.0.7:{port}" for port in range(7001, 7065)))
    properties = properties_of(many, "prod")
    assert sum(len(name) + len(value) + 2 for name, value in properties.items()) <= 1100
    sighting = found(properties)
    assert sighting.peer.attestation is None
    assert 20 < len(sighting.peer.direct_addresses) < 64
    assert tuple(many.direct_addresses)[: len(sighting.peer.direct_addresses)] == tuple(sighting.peer.direct_addresses)


def test_an_announcement_of_another_cluster_is_nobody() -> None:
    properties = properties_of(peer("10.0.0.7:7001", signed=False), "other")
    assert read(properties) is None
    assert found(properties, cluster=None).peer.node_id == 7


def test_what_another_key_signed_is_refused() -> None:
    announced = peer("10.0.0.7:7001")
    forged = replace(announced, direct_addresses=["10.0.0.66:7001"])
    with pytest.raises(TrustError):
        read(properties_of(forged, "prod"))


def test_upstreams_announcement_hints_of_a_peer_that_others_name_and_is_nobody_otherwise() -> None:
    properties = {"node_id": OWN.hex, "addr0": "10.0.0.7:7001"}
    assert read(properties) is None
    hint = found(properties, "10.0.0.7:7001", "10.0.0.9:7001", known={OWN: 3})
    assert hint.is_hint
    assert hint.peer.node_id == 3
    assert list(hint.peer.direct_addresses) == ["10.0.0.7:7001", "10.0.0.9:7001"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"node_id": None},
        {"node_id": "00" * 32},
        {"node": "x"},
        {"node": "0"},
        {"node": "9" * 21},
        {"addr0": "fe80::1%eth0"},
        {"addr0": "10.0.0.7:7001 node=9"},
        {"relay": "file:///etc/passwd"},
        {"sig": "x"},
        {"seq": "x"},
        {"cluster": ""},
    ],
)
def test_a_property_that_breaks_its_rule_refuses_the_announcement(wrong: dict[str, str | None]) -> None:
    properties: dict[str, str | None] = {**properties_of(peer("10.0.0.7:7001"), "prod"), **wrong}
    with pytest.raises(BlixardError):
        read({name: value for name, value in properties.items() if value is not None}, cluster=None)


@given(st.dictionaries(st.sampled_from(["node_id", "node", "addr0", "relay", "cluster", "seq", "sig", "x"]), st.text()))
def test_any_properties_end_with_a_sighting_nobody_or_one_line(properties: dict[str, str]) -> None:
    with contextlib.suppress(BlixardError):
        read(properties)
