# SPDX-License-Identifier: MIT
"""Entries: values that are always good, in the seed's order, with unknown fields kept."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from tests.unit.documents.samples import NOW, attested, entry, key, peer

from blixard.errors import InputError
from blixard.model.entry import Attestation, DiscoveredPeer, NodeRegistryEntry


def test_an_id_in_any_form_is_kept_as_base64() -> None:
    assert entry(1, iroh_node_id=key(1).public().hex) == entry(1)
    assert peer(1, iroh_node_id=key(1).public().hex).iroh_node_id == key(1).public().base64
    assert entry(1).endpoint_id == peer(1).endpoint_id == key(1).public()


def test_fields_are_written_in_the_seeds_order_and_unknown_ones_last_by_name() -> None:
    names = list(attested(1, extra={"zone": "b", "area": 1}).to_json())
    assert names[:5] == ["cluster_node_id", "iroh_node_id", "direct_addresses", "relay_url", "address"]
    assert names[5:] == ["attestation", "area", "zone"]
    assert list(peer(1, extra={"zone": "b"}).to_json()) == [
        "node_id",
        "iroh_node_id",
        "direct_addresses",
        "relay_url",
        "source",
        "discovered_at",
        "zone",
    ]


def test_entries_cannot_be_changed_and_can_be_put_in_sets() -> None:
    one = entry(1)
    with pytest.raises(FrozenInstanceError):
        one.cluster_node_id = 2  # type: ignore[misc]
    assert len({one, entry(1), entry(2)}) == 2
    assert len({peer(1), peer(1)}) == 1


def test_addresses_keep_their_order_and_spelling_but_are_values_once() -> None:
    texts = ["[2001:DB8::1]:7001", "10.0.0.1:7001", "[2001:db8::1]:7001"]
    one = entry(1, direct_addresses=texts)
    assert one.direct_addresses == tuple(texts)
    assert [str(address) for address in one.socket_addresses] == ["[2001:db8::1]:7001", "10.0.0.1:7001"]


def test_a_peer_of_an_entry_has_its_content_and_attestation_and_none_of_its_extra_fields() -> None:
    one = attested(1, extra={"state": "draining"})
    made = DiscoveredPeer.from_entry(one, "registry", NOW)
    assert made.content() == one.content()
    assert made.attestation == one.attestation
    assert (made.source, made.discovered_at, made.extra) == ("registry", NOW, {})


def test_the_time_of_a_peer_is_kept_in_utc() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    assert peer(1, discovered_at=local).discovered_at.tzinfo is timezone.utc
    assert peer(1, discovered_at=local) == peer(1)


@pytest.mark.parametrize(
    ("changes", "place", "reason"),
    [
        ({"cluster_node_id": 0}, "/cluster_node_id", "at least 1"),
        ({"cluster_node_id": 2**64}, "/cluster_node_id", "at most 18446744073709551615"),
        ({"cluster_node_id": True}, "/cluster_node_id", "an integer, not true or false"),
        ({"cluster_node_id": 1.0}, "/cluster_node_id", "an integer, not a number with a fraction"),
        ({"cluster_node_id": "1"}, "/cluster_node_id", "an integer, not a string"),
        ({"iroh_node_id": None}, "/iroh_node_id", "a string, not null"),
        ({"direct_addresses": "1.2.3.4:5"}, "/direct_addresses", "a list, not a string"),
        ({"direct_addresses": None}, "/direct_addresses", "a list, not null"),
        ({"direct_addresses": ["1.2.3.4:5", 5]}, "/direct_addresses/1", "a string, not an integer"),
        ({"direct_addresses": ["1.2.3.4:5"] * 65}, "/direct_addresses", "at most 64 items, has 65"),
        ({"relay_url": False}, "/relay_url", "a string or null, not true or false"),
        ({"relay_url": "x"}, "/relay_url", "not a relay URL"),
        ({"address": None}, "/address", "a string, not null"),
        ({"address": "nowhere"}, "/address", "not an address with a port"),
        ({"extra": {"attestation": {}}}, "/attestation", "known field"),
        ({"extra": {"address": 1}}, "/address", "known field"),
    ],
)
def test_a_bad_field_of_a_registry_entry_is_refused_with_its_place(
    changes: dict[str, Any], place: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        entry(1, **changes)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"node_id": -1}, "/node_id"),
        ({"source": ""}, "/source"),
        ({"source": 1}, "/source"),
        ({"source": "x" * 257}, "/source"),
        ({"source": "peers\udcff.json"}, "/source"),
        ({"discovered_at": datetime(2024, 1, 1)}, "/discovered_at"),
        ({"discovered_at": "2024-01-01T00:00:00Z"}, "/discovered_at"),
        ({"discovered_at": datetime(1969, 1, 1, tzinfo=timezone.utc)}, "/discovered_at"),
    ],
)
def test_a_bad_field_of_a_peer_is_refused_with_its_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        peer(1, **changes)
    assert caught.value.place == place


GOOD = attested(1).to_json()["attestation"]


@pytest.mark.parametrize(
    ("changes", "place", "reason"),
    [
        ({"cluster": ""}, "/cluster", "empty"),
        ({"cluster": "-x"}, "/cluster", "not a cluster name"),
        ({"cluster": "a b"}, "/cluster", "not a cluster name"),
        ({"cluster": "x" * 65}, "/cluster", "at most 64"),
        ({"seq": 0}, "/seq", "at least 1"),
        ({"seq": 2**53}, "/seq", "at most 9007199254740991"),
        ({"seq": "1"}, "/seq", "an integer"),
        ({"issued_at": None}, "/issued_at", "a string"),
        ({"issued_at": "2026-01-15T09:30:00.5Z"}, "/issued_at", "whole seconds"),
        ({"expires_at": "never"}, "/expires_at", "RFC 3339"),
        ({"signature": "AAAA"}, "/signature", "64 bytes"),
        ({"signature": None}, "/signature", "a string"),
        ({"note": 1}, "/note", "not a known field"),
    ],
)
def test_a_bad_field_of_an_attestation_is_refused_with_its_place(
    changes: dict[str, Any], place: str, reason: str
) -> None:
    assert isinstance(GOOD, dict)
    with pytest.raises(InputError, match=reason) as caught:
        Attestation.from_json({**GOOD, **changes})
    assert caught.value.place == place


@pytest.mark.parametrize("name", ["cluster", "seq", "issued_at", "expires_at", "signature"])
def test_an_attestation_without_one_of_its_fields_is_refused(name: str) -> None:
    assert isinstance(GOOD, dict)
    cut = {field: value for field, value in GOOD.items() if field != name}
    with pytest.raises(InputError, match="is missing") as caught:
        NodeRegistryEntry.from_json({**entry(1).to_json(), "attestation": cut})
    assert caught.value.place == f"/attestation/{name}"
