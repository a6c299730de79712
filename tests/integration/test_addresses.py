# SPDX-License-Identifier: MIT
"""Real nodes on hosts of their own: network namespaces that are joined by a cable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.hosts import Host
from tests.integration.nodes import Node, are_meshed, blixard, eventually, give_peers, killed_afterwards

from blixard.documents.registry_file import read_registry

pytestmark = pytest.mark.root

EVERYWHERE = ("--bind", "0.0.0.0:7001", "--admission", "known")


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two hosts that are joined by a cable and have no address but those of loopback and the link."""
    hosts = [Host(1), Host(2)]
    try:
        hosts[0].ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", hosts[1].name)
        for host in hosts:
            host.ip("link", "set", "eth0", "up")
        yield hosts
    finally:
        for host in hosts:
            host.remove()


@pytest.fixture
def nodes(hosts: list[Host], tmp_path: Path) -> Iterator[list[Node]]:
    """A node on each of the hosts, not started yet."""
    nodes = [host.node(number, tmp_path) for number, host in enumerate(hosts, start=1)]
    with killed_afterwards(nodes):
        yield nodes


def introduce(nodes: list[Node]) -> None:
    """Give each node the entries that the nodes write of themselves."""
    give_peers(nodes, [read_registry(node.registry) for node in nodes])


def test_hosts_with_ipv6_alone_mesh_under_the_default_bind(hosts: list[Host], nodes: list[Node]) -> None:
    for number, (host, node) in enumerate(zip(hosts, nodes, strict=True), start=1):
        host.ip("address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
        node.start(*EVERYWHERE)
        entry = read_registry(node.registry)
        assert entry.direct_addresses == (f"[2001:db8::{number}]:7001",)
        assert entry.address == f"[2001:db8::{number}]:7001"
    introduce(nodes)
    eventually(lambda: are_meshed(nodes))


def test_a_host_without_an_address_says_so_and_its_check_fails_where_a_peer_is_elsewhere(
    hosts: list[Host], nodes: list[Node]
) -> None:
    alone, other = nodes
    hosts[1].ip("address", "add", "10.0.0.2/24", "dev", "eth0")
    for node in nodes:
        node.start(*EVERYWHERE)
    status = alone.status()
    assert status["entry"]["direct_addresses"] == ["127.0.0.1:7001", "[::1]:7001"]
    assert status["not_reachable"].startswith("nothing but 127.0.0.1:7001, [::1]:7001 is left to tell the peers")
    assert "this node cannot be reached from other hosts" in alone.log
    assert other.status()["not_reachable"] is None
    assert blixard("check", "--data-dir", alone.data_dir).code == 0, "nobody is elsewhere yet"

    introduce(nodes)
    eventually(lambda: alone.peers())
    checked = blixard("check", "--data-dir", alone.data_dir, "--timeout", 1)
    assert checked.code == 1
    assert "cannot be reached from other hosts: nothing but 127.0.0.1:7001" in checked.err

    hosts[0].ip("address", "add", "10.0.0.1/24", "dev", "eth0")
    eventually(lambda: alone.status()["not_reachable"] is None)
    introduce(nodes)
    eventually(lambda: are_meshed(nodes))
    assert blixard("check", "--data-dir", alone.data_dir).code == 0


def test_a_default_route_that_moves_moves_the_address_of_the_entry(hosts: list[Host], nodes: list[Node]) -> None:
    host, node = hosts[0], nodes[0]
    host.ip("link", "add", "eth1", "type", "veth", "peer", "name", "out1")
    for name in ("eth1", "out1"):
        host.ip("link", "set", name, "up")
    host.ip("address", "add", "10.0.0.1/24", "dev", "eth0")
    host.ip("address", "add", "10.1.0.1/24", "dev", "eth1")
    host.ip("route", "add", "default", "via", "10.1.0.9")
    node.start(*EVERYWHERE)
    assert read_registry(node.registry).direct_addresses == ("10.1.0.1:7001", "10.0.0.1:7001")
    host.ip("route", "replace", "default", "via", "10.0.0.9")
    eventually(lambda: read_registry(node.registry).address == "10.0.0.1:7001")


def test_where_the_port_is_taken_in_one_family_the_other_one_is_used_and_told(
    hosts: list[Host], nodes: list[Node]
) -> None:
    first, second = nodes
    second.within = first.within
    hosts[0].ip("address", "add", "10.0.0.1/24", "dev", "eth0")
    hosts[0].ip("address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    first.start("--bind", "[2001:db8::1]:7001")
    second.start(*EVERYWHERE)
    assert read_registry(second.registry).direct_addresses == ("10.0.0.1:7001",)
    assert "cannot bind the other IP family" in second.log
