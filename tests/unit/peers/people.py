# SPDX-License-Identifier: MIT
"""Peers for tests: keys that are the same in every run, and entries signed with them."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime, timedelta, timezone

from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.peers.claims import Origin
from blixard.sources.base import Found, Sighting, SourceKind
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

CLUSTER = "test"
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@functools.cache
def key(number: int) -> SecretKey:
    """The secret key of somebody."""
    return SecretKey.from_bytes(hashlib.sha256(f"people/{number}".encode()).digest())


def endpoint_id(number: int) -> EndpointId:
    """The endpoint id of somebody."""
    return key(number).public()


def peer(
    number: int,
    *addresses: str,
    node_id: int | None = None,
    seq: int | None = None,
    expires_at: datetime | None = None,
    relay_url: str | None = None,
) -> DiscoveredPeer:
    """Somebody at these addresses, with an attestation of that number if there is one."""
    entry = NodeRegistryEntry(
        node_id or number, endpoint_id(number).base64, addresses or (f"10.0.0.{number}:7001",), relay_url, "h:1"
    )
    if seq is not None:
        # An attestation's number follows the clock.
        now = datetime.fromtimestamp(seq, timezone.utc)
        entry = attest(entry, key(number), cluster=CLUSTER, now=now, expires_at=expires_at)
        assert entry.attestation is not None
        assert entry.attestation.seq == seq
    return DiscoveredPeer.from_entry(entry, "static", NOON)


def origin(kind: SourceKind = "static", order: int = 0) -> Origin:
    """A source of a kind."""
    return Origin(f"{kind}:{order}", kind, order)


def found(*peers: DiscoveredPeer, place: str = "here") -> Found:
    """An answer with these peers."""
    return Found(tuple(Sighting(each, place) for each in peers))


HOUR = timedelta(hours=1)
