# SPDX-License-Identifier: MIT
"""A peer that leaves the peers file is dropped at once where that is meant, and refused from then on."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from tests.integration.nodes import MakeNode, Node, are_meshed, eventually, give_peers

from blixard.agent.control_client import ask
from blixard.documents.files import write_atomic
from blixard.documents.peers_file import build_peers, format_peers
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.keys import SecretKey
from blixard.trust.peers_signature import sign_peers

Trio = tuple[list[Node], list[NodeRegistryEntry]]


@pytest.fixture
def trio(node: MakeNode) -> Trio:
    """Three nodes with identities, not started yet."""
    nodes = [node(number) for number in (1, 2, 3)]
    return nodes, [each.make_identity() for each in nodes]


def _is_refused(node: Node, by: Node) -> bool:
    edges = ask(node.data_dir, "check", {"timeout_s": 1.0, "sample": None}, timeout=30)["edges"]
    return [edge["admitted"] for edge in edges if edge["to"] == by.number] == [False]


def test_an_unsigned_file_takes_effect_at_once_when_the_operator_says_that_it_is_whole(trio: Trio) -> None:
    nodes, entries = trio
    give_peers(nodes, entries)
    for node in nodes:
        node.start("--admission", "known", "--refresh-interval", "600")
    eventually(lambda: are_meshed(nodes))
    give_peers(nodes[:2], entries[:2])

    ask(nodes[0].data_dir, "refresh")
    assert nodes[0].peers().keys() == {2, 3}, "by itself an absence counts only after a while"
    said = [ask(node.data_dir, "refresh", {"prune": True}) for node in nodes[:2]]

    assert said == [{"peers": [2], "problems": []}, {"peers": [1], "problems": []}]
    eventually(lambda: all(peer["state"] != "connected" for peer in nodes[2].peers().values()))
    assert _is_refused(nodes[2], by=nodes[0])


def test_a_signed_file_takes_effect_by_itself(trio: Trio) -> None:
    nodes, entries = trio
    fleet_key = SecretKey.generate()

    def give(receivers: list[Node], members: list[NodeRegistryEntry], seq: int) -> None:
        data = format_peers(build_peers(members))
        now = datetime.fromtimestamp(seq, timezone.utc)
        sig = sign_peers(data, fleet_key, cluster="blixard", previous_seq=None, now=now)
        for node in receivers:
            write_atomic(node.peers_file.with_name(node.peers_file.name + ".sig"), sig)
            write_atomic(node.peers_file, data)

    give(nodes, entries, 100)
    for node in nodes:
        node.start("--trusted-signers", fleet_key.public().hex, "--refresh-interval", "600")
    eventually(lambda: are_meshed(nodes))

    give(nodes[:2], entries[:2], 101)

    eventually(lambda: nodes[0].peers().keys() == {2} and nodes[1].peers().keys() == {1})
    eventually(lambda: all(peer["state"] != "connected" for peer in nodes[2].peers().values()))
    assert _is_refused(nodes[2], by=nodes[1])
