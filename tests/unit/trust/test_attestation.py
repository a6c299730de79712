# SPDX-License-Identifier: MIT
"""Attestations: made by the node's key over the documented bytes, refused after any change."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import iroh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import CLUSTER, NOW, attested, entry, key
from tests.unit.model.strategies import entries, secret_keys

from blixard.documents.peers_file import format_peers, parse_peers
from blixard.documents.registry_file import format_registry, parse_registry
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.trust.attestation import AttestationCheck, attest, verify_attestation
from blixard.trust.keys import SecretKey

LATER = NOW + timedelta(days=1)
FLIPS = (0x01, 0x10, 0x20, 0x80, 0xFF)


def sign(one: NodeRegistryEntry, number: int = 1, **options: Any) -> NodeRegistryEntry:
    return attest(one, key(number), **{"cluster": CLUSTER, "now": NOW, **options})


def seq(one: NodeRegistryEntry) -> int:
    assert one.attestation is not None
    return one.attestation.seq


@given(entries, secret_keys)
def test_what_is_attested_holds_also_after_writing_and_reading(one: NodeRegistryEntry, secret: SecretKey) -> None:
    small = dataclasses.replace(
        one, iroh_node_id=secret.public().base64, cluster_node_id=one.cluster_node_id % (2**53 - 1) + 1
    )
    signed = attest(small, secret, cluster=CLUSTER, now=NOW)
    verify_attestation(parse_registry(format_registry(signed)), cluster=CLUSTER, now=NOW)
    peer = DiscoveredPeer.from_entry(signed, "static", NOW)
    (again,) = parse_peers(format_peers([peer]))
    assert verify_attestation(again, cluster=CLUSTER, now=NOW) == signed.attestation


def test_the_signature_is_over_the_documented_bytes() -> None:
    one = attested(1)
    assert one.attestation is not None
    message = {
        "domain": "blixard/registry/v1",
        "cluster": "blixard",
        "seq": 1768469400,
        "issued_at": "2026-01-15T09:30:00Z",
        "expires_at": None,
        "node_id": 1,
        "iroh_node_id": key(1).public().base64,
        "direct_addresses": ["192.168.1.1:7001", "[2001:db8::1]:7001"],
        "relay_url": "https://relay.example.org",
    }
    data = json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    signature = iroh.Signature.from_bytes(base64.b64decode(one.attestation.signature))
    iroh.EndpointId.from_bytes(key(1).public().raw).verify(data, signature)


def test_the_sequence_number_grows_with_the_content_and_only_then() -> None:
    first = sign(entry(1))
    assert seq(first) == int(NOW.timestamp())
    assert sign(entry(1), now=LATER, previous=first) == first
    second = sign(entry(1, relay_url=None), previous=first)
    assert seq(second) == seq(first) + 1
    third = sign(entry(1), now=LATER, previous=second)
    assert seq(third) == int(LATER.timestamp())


def test_what_is_not_signed_may_change_under_the_same_attestation() -> None:
    first = sign(entry(1))
    moved = sign(entry(1, address="0.0.0.0:9999", extra={"zone": "b"}), now=LATER, previous=first)
    assert moved.attestation == first.attestation
    assert moved.address == "0.0.0.0:9999"


def test_a_clock_that_was_set_back_does_not_lower_the_sequence_number() -> None:
    first = sign(entry(1), now=LATER)
    assert seq(sign(entry(1, relay_url=None), now=NOW, previous=first)) == seq(first) + 1
    before_the_epoch = datetime(1960, 1, 1, tzinfo=timezone.utc)
    with pytest.raises(InputError, match="before 1970"):
        sign(entry(1), now=before_the_epoch)


def test_a_previous_attestation_that_does_not_hold_counts_for_nothing() -> None:
    first = sign(entry(1), now=LATER)
    assert first.attestation is not None
    forged = dataclasses.replace(first, attestation=dataclasses.replace(first.attestation, seq=2**53 - 1))
    for previous in (forged, attested(2), entry(1), sign(entry(1), cluster="other", now=LATER)):
        assert seq(sign(entry(1), previous=previous)) == int(NOW.timestamp())


def test_an_expired_attestation_or_another_end_is_signed_anew() -> None:
    end = NOW + timedelta(hours=1)
    first = sign(entry(1), expires_at=end)
    assert first.attestation is not None
    assert first.attestation.expires_at == "2026-01-15T10:30:00Z"
    assert sign(entry(1), previous=first, expires_at=end) == first
    assert seq(sign(entry(1), previous=first)) == seq(first) + 1
    assert sign(entry(1), previous=first, expires_at=end + timedelta(hours=1), now=end) != first


def test_an_attestation_is_refused_from_the_moment_of_its_end() -> None:
    one = sign(entry(1), expires_at=LATER)
    verify_attestation(one, now=LATER - timedelta(seconds=1))
    verify_attestation(one)
    with pytest.raises(TrustError, match="expired at 2026-01-16T09:30:00Z"):
        verify_attestation(one, now=LATER)


def test_an_attestation_that_would_end_when_it_begins_is_not_signed() -> None:
    with pytest.raises(InputError, match=r"/expires_at: .* is not after now"):
        sign(entry(1), expires_at=NOW)


def test_the_largest_node_id_that_canonical_json_can_write_is_signed_and_holds() -> None:
    assert verify_attestation(sign(entry(1, cluster_node_id=9_007_199_254_740_991)))


def test_no_more_attestations_are_remembered_as_good_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blixard.trust.attestation.MAX_REMEMBERED", 2)
    check = AttestationCheck(cluster=None, wall=lambda: NOW)
    for number in range(1, 4):
        one = DiscoveredPeer.from_entry(sign(entry(number), number), "hello", NOW)
        assert check.problem(one) is None
        assert len(check._good) <= 2


def test_an_attestation_for_another_cluster_is_refused() -> None:
    with pytest.raises(TrustError, match='attested for cluster "blixard", not "other"'):
        verify_attestation(attested(1), cluster="other")


def test_an_entry_without_attestation_is_refused_by_its_node() -> None:
    with pytest.raises(TrustError, match=rf"node 1 \({key(1).public().short}\): has no attestation"):
        verify_attestation(entry(1))


def test_a_key_signs_its_own_entry_only() -> None:
    with pytest.raises(InputError, match="not the id of the key"):
        sign(entry(1), number=2)


def test_a_node_id_that_canonical_json_cannot_write_is_not_signed() -> None:
    with pytest.raises(InputError, match="at most 9007199254740991") as caught:
        sign(entry(1, cluster_node_id=2**53))
    assert caught.value.place == "/cluster_node_id"
    moved = dataclasses.replace(attested(1), cluster_node_id=2**60)
    with pytest.raises(TrustError, match="does not fit"):
        verify_attestation(moved)


@pytest.mark.parametrize(
    "change",
    [
        {"cluster_node_id": 2},
        {"iroh_node_id": key(2).public().base64},
        {"direct_addresses": ()},
        {"direct_addresses": ("[2001:db8::1]:7001", "192.168.1.1:7001")},
        {"direct_addresses": ("192.168.1.1:7001", "[2001:DB8::1]:7001")},
        {"relay_url": None},
        {"relay_url": "https://relay.example.org/"},
    ],
)
def test_an_entry_whose_content_was_changed_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TrustError, match="does not fit"):
        verify_attestation(dataclasses.replace(attested(1), **change))


@pytest.mark.parametrize(
    "change",
    [{"cluster": "other"}, {"seq": 1}, {"issued_at": "2026-01-15T09:30:01Z"}, {"expires_at": "2099-01-01T00:00:00Z"}],
)
def test_an_attestation_that_was_changed_is_refused(change: dict[str, Any]) -> None:
    one = attested(1)
    assert one.attestation is not None
    with pytest.raises(TrustError, match="does not fit"):
        verify_attestation(dataclasses.replace(one, attestation=dataclasses.replace(one.attestation, **change)))


def test_every_byte_of_a_signed_entry_flipped_in_turn_is_refused_but_for_the_value_of_address() -> None:
    # By contract `address` is not signed. It is for people: no node dials it, and no peers file has it.
    data = format_registry(sign(entry(1), expires_at=LATER))
    start = data.index(b'"address": "') + len(b'"address": "')
    unsigned = range(start, data.index(b'"', start))
    taken = set()
    for at in range(len(data)):
        for mask in FLIPS:
            flipped = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            try:
                verify_attestation(parse_registry(flipped), cluster=CLUSTER, now=NOW)
            except BlixardError:
                continue
            taken.add(at)
            assert parse_registry(flipped).content() == parse_registry(data).content()
    assert taken
    assert taken <= set(unsigned)


def test_an_attestation_that_must_last_an_hour_ends_no_sooner() -> None:
    signed = sign(entry(1), expires_at=NOW + timedelta(hours=1, seconds=1))
    verify_attestation(signed, cluster=CLUSTER, now=NOW, lasting=timedelta(hours=1))
    with pytest.raises(TrustError, match="ends too soon"):
        verify_attestation(signed, cluster=CLUSTER, now=NOW + timedelta(seconds=2), lasting=timedelta(hours=1))


MOMENTS = [
    datetime(1970, 1, 1, tzinfo=timezone.utc),
    NOW - timedelta(days=1, seconds=1),
    NOW - timedelta(days=1),
    NOW,
    LATER - timedelta(seconds=1),
    LATER,
]
AGAIN = [
    sign(entry(1), expires_at=LATER),
    sign(entry(1)),
    attested(2),
    dataclasses.replace(sign(entry(1)), direct_addresses=("192.0.2.1:1",)),
    entry(1),
]


@given(st.lists(st.tuples(st.sampled_from(AGAIN), st.sampled_from(MOMENTS))))
def test_what_is_remembered_as_good_is_judged_as_at_first_sight(
    looks: list[tuple[NodeRegistryEntry, datetime]],
) -> None:
    clock = [NOW]
    check = AttestationCheck(cluster=CLUSTER, wall=lambda: clock[0])
    for one, clock[0] in looks:
        peer = DiscoveredPeer.from_entry(one, "static", NOW)
        assert check.problem(peer) == AttestationCheck(cluster=CLUSTER, wall=lambda: clock[0]).problem(peer)
