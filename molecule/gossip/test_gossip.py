# SPDX-License-Identifier: MIT
"""The peers file that only node 1 has, and an address that only node 3 knows, reach all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node

DATA_DIR = "/var/lib/blixard"
PEERS = f"{DATA_DIR}/discovery-peers.json"


def others(fleet: Fleet, name: str) -> list[Node]:
    return [node for node in fleet.up if node.name != name]


def has(node: Node, of: int, address: str) -> bool:
    """Tell whether a node knows this address of another."""
    peers = {peer["node_id"]: peer for peer in node.status()["peers"]}
    return of in peers and any(each["address"] == address for each in peers[of]["addresses"])


def test_the_role_turns_gossip_on_where_signers_are_trusted(node: Node) -> None:
    assert node.status()["gossip"]["peers_file"]["seq"] > 0


def test_nodes_that_know_node_1_alone_get_the_peers_file_from_it(fleet: Fleet) -> None:
    lost = others(fleet, "node1")
    for node in lost:
        node.run("systemctl stop blixard")
        node.run(f"rm -rf {PEERS} {PEERS}.sig {DATA_DIR}/remembered-peers {DATA_DIR}/seen-signatures.json")
    for node in lost:
        node.run("systemctl start blixard")
    fleet.settles_connected()
    for node in lost:
        assert node.host.file(PEERS).content == fleet.peers_file.read_bytes()


def test_an_address_that_node_3_gets_is_known_to_all_without_a_rollout(fleet: Fleet) -> None:
    node3 = fleet.nodes["node3"]
    node3.run("ip address add 10.97.0.33/24 dev eth0")
    for node in others(fleet, "node3"):
        fleet.settles(partial(has, node, 3, f"10.97.0.33:{node3.port}"), seconds=120)
