# SPDX-License-Identifier: MIT
"""The same address on every host leads nobody astray."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node


def test_every_host_has_the_address(node: Node) -> None:
    assert "172.17.0.1" in node.run("ip -brief address show dev docker0")


def test_a_bridges_address_is_told_only_where_that_was_asked_for(fleet: Fleet) -> None:
    told = {name: "172.17.0.1:7001" in entry["direct_addresses"] for name, entry in fleet.record().items()}
    assert told == {"node1": True, "node2": True, "node3": False}


def test_a_node_that_starts_again_meshes_again(fleet: Fleet) -> None:
    fleet.nodes["node2"].run("systemctl restart blixard")
    fleet.settles_connected()


def test_an_address_is_in_the_registry_file_while_the_host_has_it(fleet: Fleet) -> None:
    node = fleet.nodes["node3"]

    def is_told() -> bool:
        return f"10.99.0.3:{node.port}" in node.document("node-registry.json")["direct_addresses"]

    node.run("ip address add 10.99.0.3/24 dev eth0")
    fleet.settles(is_told)
    node.run("ip address delete 10.99.0.3/24 dev eth0")
    fleet.settles(is_told, wanted=False)
