# SPDX-License-Identifier: MIT
"""A real node that is started on a peers file that is no good comes up with its peers, and says so."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from tests.integration.nodes import MakeNode, Node, are_meshed, blixard, eventually, give_peers

from blixard.agent.control_client import ask
from blixard.documents.files import write_atomic
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.keys import SecretKey
from blixard.trust.peers_signature import sign_peers

Pair = tuple[list[Node], list[NodeRegistryEntry]]


@pytest.fixture
def pair(node: MakeNode) -> Pair:
    """Two nodes with identities, not started yet."""
    nodes = [node(number) for number in (1, 2)]
    return nodes, [each.make_identity() for each in nodes]


@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("damage", ["truncated", "tampered", "missing"])
def test_a_node_that_is_restarted_on_a_bad_peers_file_comes_up_with_its_peers(
    pair: Pair, is_signed: bool, damage: str
) -> None:
    nodes, entries = pair
    fleet_key = SecretKey.generate()
    give_peers(nodes, entries)
    words = ["--admission", "known"]
    if is_signed:
        words += ["--trusted-signers", fleet_key.public().hex]
        for node in nodes:
            data, now = node.peers_file.read_bytes(), datetime.now(timezone.utc)
            sig = sign_peers(data, fleet_key, cluster="blixard", previous_seq=None, now=now)
            write_atomic(node.peers_file.with_name(f"{node.peers_file.name}.sig"), sig)
    for node in nodes:
        node.start(*words)
    eventually(lambda: are_meshed(nodes))
    first = nodes[0]
    assert first.stop() == 0
    good = first.peers_file.read_bytes()
    if damage == "missing":
        first.peers_file.unlink()
    elif damage == "truncated":
        first.peers_file.write_bytes(good[:-30])
    else:
        first.peers_file.write_bytes(good.replace(b'"node_id": 2', b'"node_id": 0'))

    first.start(*words)

    eventually(lambda: are_meshed(nodes))
    (source,) = first.status()["sources"]
    assert source["state"] == "failed"
    assert source["memory_of"]
    assert f"is from memory, of {source['memory_of']}: 2 peers" in blixard("status", "--data-dir", first.data_dir).out
    assert any("does not take its peers file" in line for line in ask(first.data_dir, "refresh")["problems"])

    first.peers_file.write_bytes(good)

    eventually(lambda: first.status()["sources"][0]["state"] == "found")
    assert first.status()["sources"][0]["memory_of"] is None
    assert are_meshed(nodes)
