# SPDX-License-Identifier: MIT
"""Nodes on one link that find each other by multicast DNS, and what else is announced there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.hosts import Host
from tests.integration.nodes import Node, are_meshed, eventually, give_peers, killed_afterwards
from tests.unit.sources.test_mdns_iroh import announcement
from zeroconf import DNSOutgoing, DNSPointer, DNSText  # type: ignore[attr-defined]

from blixard.documents.registry_file import read_registry
from blixard.model.ids import EndpointId
from blixard.sources.dns_records import base32
from blixard.sources.mdns import SERVICE, TTL
from blixard.trust.keys import SecretKey

pytestmark = pytest.mark.root

EVERYWHERE = ("--bind", "0.0.0.0:7001", "--mdns", "true")
OPEN, KNOWN = (*EVERYWHERE, "--admission", "open"), (*EVERYWHERE, "--admission", "known")


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two hosts that are joined by a cable."""
    with contextlib.ExitStack() as stack:
        hosts = [Host(number) for number in (1, 2)]
        for host in hosts:
            stack.callback(host.remove)
        hosts[0].ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", hosts[1].name)
        for number, host in enumerate(hosts, start=1):
            host.ip("address", "add", f"10.78.0.{number}/24", "dev", "eth0")
            host.ip("link", "set", "eth0", "up")
            # As a host has it, by which multicast finds its way.
            host.ip("route", "add", "default", "via", "10.78.0.254")
        yield hosts


@pytest.fixture
def nodes(hosts: list[Host], tmp_path: Path) -> Iterator[list[Node]]:
    """A node on each of the hosts, not started yet."""
    nodes = [host.node(number, tmp_path) for number, host in enumerate(hosts, start=1)]
    with killed_afterwards(nodes):
        yield nodes


def mdns_of(node: Node) -> dict[str, Any]:
    (source,) = (source for source in node.status()["sources"] if source["name"] == "mdns")
    found: dict[str, Any] = source
    return found


def test_nodes_on_one_link_find_each_other_without_any_file(nodes: list[Node]) -> None:
    for node in nodes:
        node.start(*KNOWN)

    eventually(lambda: are_meshed(nodes))

    peer = nodes[0].peers()[2]
    assert peer["sources"] == ["mdns"]
    assert peer["attested"]
    assert [each["address"] for each in peer["addresses"]] == ["10.78.0.2:7001"]


def test_a_node_that_stops_says_goodbye_and_is_gone_from_the_next_answer(nodes: list[Node]) -> None:
    for node in nodes:
        node.start(*KNOWN)
    eventually(lambda: are_meshed(nodes))
    assert mdns_of(nodes[0])["peers"] == 1

    assert nodes[1].stop() == 0

    eventually(lambda: mdns_of(nodes[0])["peers"] == 0, within=20)


def test_a_stranger_on_the_link_is_no_peer_where_a_fleet_key_says_who_is(nodes: list[Node]) -> None:
    signer = SecretKey.generate().public().hex
    nodes[0].start(*KNOWN, "--trusted-signers", signer)
    nodes[1].start(*OPEN)

    eventually(lambda: mdns_of(nodes[0])["peers"] == 1)

    assert nodes[0].peers() == {}
    eventually(lambda: nodes[1].state_of(nodes[0]) == "refused")


def test_an_address_that_changed_is_announced_at_once(hosts: list[Host], nodes: list[Node]) -> None:
    for node in nodes:
        node.start(*KNOWN)
    eventually(lambda: are_meshed(nodes))

    hosts[1].ip("address", "add", "10.78.0.3/24", "dev", "eth0")

    eventually(lambda: "10.78.0.3:7001" in [each["address"] for each in nodes[0].peers()[2]["addresses"]], within=120)


def say_on_the_link(host: Host, *packets: bytes) -> None:
    """Multicast packets from a host, as a program of its own does."""
    script = (
        "import socket, sys\n"
        "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)\n"
        "for line in sys.stdin:\n"
        "    out.sendto(bytes.fromhex(line), ('224.0.0.251', 5353))\n"
    )
    subprocess.run(
        [*host.within, sys.executable, "-c", script],
        input="\n".join(packet.hex() for packet in packets),
        text=True,
        check=True,
        timeout=60,
    )


def test_what_irohs_own_endpoint_announces_leads_to_a_peer_whose_entry_is_old(
    hosts: list[Host], nodes: list[Node]
) -> None:
    one, two = nodes
    moved = two.make_identity()
    two.start("--bind", "0.0.0.0:7002", "--admission", "known", "--auto-connect", "false")
    one.start(*KNOWN)
    old = replace(moved, direct_addresses=["10.78.0.99:7001"], attestation=None)
    give_peers(nodes, [read_registry(one.registry), old])

    eventually(lambda: one.state_of(two) is not None)
    say_on_the_link(hosts[1], announcement(moved.endpoint_id, ("10.78.0.2", 7002), ("192.0.2.1", 7002)))

    eventually(lambda: one.state_of(two) == "connected")
    addresses = {each["address"]: each["sources"] for each in one.peers()[2]["addresses"]}
    assert addresses["10.78.0.2:7002"][0].startswith("mdns:")


def service(endpoint_id: EndpointId) -> bytes:
    """The announcement of a node, as a stranger can make it."""
    name = f"{base32(endpoint_id)}.{SERVICE}"
    words = [f"node_id={base32(endpoint_id)}".encode(), b"node=77", b"cluster=blixard", b"addr0=10.78.0.77:7001"]
    message = DNSOutgoing(0x8400)
    message.add_answer_at_time(DNSPointer(SERVICE, 12, 1, TTL, name), 0)
    message.add_answer_at_time(DNSText(name, 16, 1, TTL, b"".join(bytes([len(word)]) + word for word in words)), 0)
    (packet,) = message.packets()
    return packet


def test_a_flood_of_announcements_keeps_no_node_from_another_and_is_bounded(
    hosts: list[Host], nodes: list[Node]
) -> None:
    for node in nodes:
        node.start(*KNOWN)
    eventually(lambda: are_meshed(nodes))

    strangers = [SecretKey.generate().public() for _ in range(1500)]
    say_on_the_link(hosts[1], *(service(each) for each in strangers), b"\xff" * 8000, b"")

    eventually(lambda: any("left out" in line for line in mdns_of(nodes[0])["problems"]))
    assert mdns_of(nodes[0])["peers"] <= 512
    assert nodes[0].state_of(nodes[1]) == "connected"


def test_what_is_announced_is_discovered_without_a_node_by_location_and_by_environment(
    hosts: list[Host], nodes: list[Node]
) -> None:
    nodes[0].start(*KNOWN)
    discover = [*hosts[1].within, sys.executable, "-m", "blixard", "discover", "--json"]
    asked = [
        subprocess.run(words, env={**os.environ, **more}, capture_output=True, text=True, check=False, timeout=60)
        for words, more in (([*discover, "--registry", "mdns:"], {}), (discover, {"BLIXARD_MDNS": "yes"}))
    ]
    for each in asked:
        assert each.returncode == 0, each.stderr
        (peer,) = json.loads(each.stdout)["peers"]
        assert (peer["node_id"], peer["sources"]) == (1, ["mdns"])
