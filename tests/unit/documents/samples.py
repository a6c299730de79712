# SPDX-License-Identifier: MIT
"""Entries, peers and keys that tests of documents start from; the same in every run."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=timezone.utc)
CLUSTER = "blixard"


def key(number: int) -> SecretKey:
    """The secret key of sample node `number`."""
    return SecretKey.from_bytes(hashlib.sha256(b"sample node %d" % number).digest())


def entry(number: int, **changes: Any) -> NodeRegistryEntry:
    """The registry entry of sample node `number`, not attested, with `changes`."""
    values: dict[str, Any] = {
        "cluster_node_id": number,
        "iroh_node_id": key(number).public().base64,
        "direct_addresses": (f"192.168.1.{number}:7001", f"[2001:db8::{number:x}]:7001"),
        "relay_url": "https://relay.example.org",
        "address": f"192.168.1.{number}:7001",
    }
    return NodeRegistryEntry(**{**values, **changes})


def attested(number: int, **changes: Any) -> NodeRegistryEntry:
    """The same, attested at NOW."""
    return attest(entry(number, **changes), key(number), cluster=CLUSTER, now=NOW)


def peer(number: int, **changes: Any) -> DiscoveredPeer:
    """The peer of sample node `number`, not attested, with `changes`."""
    values: dict[str, Any] = {
        "node_id": number,
        "iroh_node_id": key(number).public().base64,
        "direct_addresses": (f"192.168.1.{number}:7001",),
        "relay_url": None,
        "source": "static",
        "discovered_at": NOW,
    }
    return DiscoveredPeer(**{**values, **changes})


RUN: dict[str, Any] = {
    "cluster": CLUSTER,
    "now": NOW,
    "max_removals": 0,
    "states": {},
    "announced": {},
    "peers_file": None,
    "upstream_compat": False,
    "check": False,
}
"""What a run of the playbook tells `update_record` beside what it gathered."""


# The seed's own example documents, as printed there.

SEED_REGISTRY = """{
  "cluster_node_id": 1,
  "iroh_node_id": "base64-encoded-node-id",
  "direct_addresses": ["192.168.1.10:7001", "10.0.0.5:7001"],
  "relay_url": "https://relay.iroh.network",
  "address": "192.168.1.10:7001"
}
"""

SEED_PEERS = """[
  {
    "node_id": 1,
    "iroh_node_id": "base64-encoded-node-id",
    "direct_addresses": ["192.168.1.10:7001"],
    "relay_url": "https://relay.iroh.network",
    "source": "static",
    "discovered_at": "2024-01-01T00:00:00Z"
  },
  {
    "node_id": 2,
    "iroh_node_id": "another-base64-node-id",
    "direct_addresses": ["192.168.1.11:7002"],
    "relay_url": null,
    "source": "static",
    "discovered_at": "2024-01-01T00:00:00Z"
  }
]
"""


def with_real_ids(text: str) -> str:
    """Put real ids in the place of the seed's placeholders."""
    first, second = key(1).public().base64, key(2).public().base64
    return text.replace("base64-encoded-node-id", first).replace("another-base64-node-id", second)
