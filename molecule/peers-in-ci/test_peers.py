# SPDX-License-Identifier: MIT
"""Regenerating the peers file needs the record and nothing else, and a drift is a failure."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from blixard.documents.peers_file import PeersDiff, diff_peers, read_peers
from blixard.documents.registry_file import read_registry, write_registry
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

if TYPE_CHECKING:
    from molecule.conftest import Fleet

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module", autouse=True)
def record(fleet: Fleet) -> None:
    """Ten entries, each signed by its node, as ten hosts would have given them."""
    fleet.registry.mkdir(parents=True)
    for number, name in enumerate(fleet.nodes, start=1):
        key = SecretKey.generate()
        address = f"192.0.2.{number}:7001"
        entry = NodeRegistryEntry(
            cluster_node_id=number,
            iroh_node_id=key.public().base64,
            direct_addresses=[address],
            relay_url=None,
            address=address,
        )
        write_registry(fleet.registry / f"{name}.json", attest(entry, key, cluster="blixard", now=NOW))


def test_a_missing_peers_file_is_a_drift(fleet: Fleet) -> None:
    gate = fleet.playbook("peers.yml", "--check", "--diff")
    assert gate.returncode != 0
    assert "+10 −0 ~0 peers" in gate.output
    assert not fleet.peers_file.exists()


def test_it_is_written_without_a_host_and_the_same_again(fleet: Fleet) -> None:
    assert fleet.playbook("peers.yml").returncode == 0
    first = fleet.peers_file.read_bytes()

    again = fleet.playbook("peers.yml")

    assert again.returncode == 0
    assert not again.hosts("changed")
    assert fleet.peers_file.read_bytes() == first
    assert [peer["node_id"] for peer in json.loads(first)] == list(range(1, 11))


def test_no_drift_passes_the_gate(fleet: Fleet) -> None:
    gate = fleet.playbook("peers.yml", "--check", "--diff")
    assert gate.returncode == 0


def test_an_entry_that_is_gone_is_named(fleet: Fleet) -> None:
    kept = read_registry(fleet.registry / "node7.json")
    before = read_peers(fleet.peers_file)
    (fleet.registry / "node7.json").unlink()

    gate = fleet.playbook("peers.yml", "--check", "--diff")

    assert gate.returncode != 0
    assert "would leave (node 7), and at most 0 may leave at once" in gate.output
    assert diff_peers(before, read_peers(fleet.peers_file)) == PeersDiff()
    write_registry(fleet.registry / "node7.json", kept)
