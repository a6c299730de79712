# SPDX-License-Identifier: MIT
"""Nodes on hosts between which no packet goes, and a relay that both of them reach."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.hosts import Host
from tests.integration.nodes import Node, are_meshed, blixard, eventually, give_peers, killed_afterwards

from blixard.documents.registry_file import read_registry

pytestmark = pytest.mark.root

RELAY = "10.77.0.1:3340"
URL = f"http://{RELAY}/"
NOT_CONNECTED = f"relay {URL}: not connected; is it up, and does it admit this node?"
EVERYWHERE = ("--bind", "0.0.0.0:7001", "--admission", "known")
RELAYED = (*EVERYWHERE, "--relay-url", URL)
# iroh looks for a relay that was away at growing intervals, and so does the node for a peer.
PATIENCE = 150.0


class Middle(Host):
    """The host of the relay, with a cable to each of the others. It forwards nothing until it is told to."""

    relay: subprocess.Popen[bytes] | None = None

    def join(self, number: int, other: Host) -> None:
        cable, near, far = f"eth{number}", f"10.77.{number}.1", f"10.77.{number}.2"
        self.ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", other.name)
        self.ip("address", "add", f"{near}/24", "dev", cable)
        self.ip("link", "set", cable, "up")
        other.ip("address", "add", f"{far}/24", "dev", "eth0")
        other.ip("link", "set", "eth0", "up")
        other.ip("route", "add", "default", "via", near)

    def forward(self, *, on: bool) -> None:
        self.run("sysctl", "--quiet", "--write", f"net.ipv4.ip_forward={int(on)}")

    def start_relay(self, *words: str) -> None:
        command = [*self.within, sys.executable, "-m", "tests.integration.relay", RELAY, *words]
        self.relay = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.relay.stdout is not None
        assert self.relay.stdout.readline() == b"ready\n"

    def stop_relay(self) -> None:
        if self.relay is not None:
            self.relay.kill()
            self.relay.wait()
            assert self.relay.stdout is not None
            self.relay.stdout.close()
            self.relay = None

    def remove(self) -> None:
        self.stop_relay()
        super().remove()


@pytest.fixture
def middle() -> Iterator[Middle]:
    """The host between the two others, without a relay yet."""
    middle = Middle(0)
    with contextlib.closing(_Removed(middle)):
        middle.ip("address", "add", "10.77.0.1/32", "dev", "lo")
        middle.forward(on=False)
        yield middle


@pytest.fixture
def nodes(middle: Middle, tmp_path: Path) -> Iterator[list[Node]]:
    """Two nodes, not started yet, each on a host that reaches the middle alone."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for number in (1, 2):
            host = Host(number)
            stack.enter_context(contextlib.closing(_Removed(host)))
            middle.join(number, host)
            nodes.append(host.node(number, tmp_path))
        with killed_afterwards(nodes):
            yield nodes


class _Removed:
    """Removes a host at its end."""

    def __init__(self, host: Host) -> None:
        self.close = host.remove


def introduce(nodes: list[Node]) -> None:
    """Give each node the entries that the nodes write of themselves."""
    give_peers(nodes, [read_registry(node.registry) for node in nodes])


def path_between(nodes: list[Node]) -> set[str | None]:
    """The paths in use, as both ends see them."""
    one, two = nodes
    return {one.peers()[two.number]["path"], two.peers()[one.number]["path"]}


def relay_error(node: Node) -> str | None:
    error: str | None = node.status()["relay"]["error"]
    return error


@pytest.fixture
def meshed(middle: Middle, nodes: list[Node]) -> list[Node]:
    """Both nodes, connected over the relay."""
    middle.start_relay()
    for node in nodes:
        node.start(*RELAYED)
    introduce(nodes)
    eventually(lambda: are_meshed(nodes))
    return nodes


def test_nodes_between_which_no_packet_goes_mesh_over_the_relay_and_say_so(meshed: list[Node]) -> None:
    assert path_between(meshed) == {"relay"}
    assert [relay_error(node) for node in meshed] == [None, None]
    checked = blixard("check", "--data-dir", meshed[0].data_dir, "--json")
    (edge,) = checked.document["edges"]
    assert (checked.code, edge["to"], edge["reached"], edge["path"]) == (0, 2, True, "relay")


def test_the_way_goes_direct_when_it_opens_and_the_connection_stays(middle: Middle, meshed: list[Node]) -> None:
    since = meshed[0].peers()[2]["since"]

    middle.forward(on=True)

    eventually(lambda: path_between(meshed) == {"direct"}, within=PATIENCE)
    assert meshed[0].peers()[2]["since"] == since
    (edge,) = blixard("check", "--data-dir", meshed[0].data_dir, "--json").document["edges"]
    assert (edge["reached"], edge["path"]) == (True, "direct")


def test_a_relay_that_dies_is_named_by_status_and_check_and_one_that_comes_back_meshes(
    middle: Middle, meshed: list[Node]
) -> None:
    middle.stop_relay()

    eventually(lambda: not any(node.state_of(other) == "connected" for node in meshed for other in meshed))
    checked = blixard("check", "--data-dir", meshed[0].data_dir, "--timeout", "1", "--json")
    assert (checked.code, checked.document["edges"][0]["reached"]) == (1, False)
    assert checked.document["nodes"][0]["problems"] == [
        f"relay {URL}: not connected; is it up, and does it admit this node?"
    ]
    assert NOT_CONNECTED in blixard("status", "--data-dir", meshed[0].data_dir).out

    middle.start_relay()
    eventually(lambda: are_meshed(meshed) and not any(map(relay_error, meshed)), within=PATIENCE)
    assert path_between(meshed) == {"relay"}


def test_a_node_without_a_relay_of_its_own_reaches_a_peer_over_the_relay_of_that_peer(
    middle: Middle, nodes: list[Node]
) -> None:
    middle.start_relay()
    nodes[0].start(*EVERYWHERE)
    nodes[1].start(*RELAYED)
    introduce(nodes)

    eventually(lambda: are_meshed(nodes))

    assert path_between(nodes) == {"relay"}
    assert nodes[0].status()["relay"] is None
    # Nor has a stranger one.
    stranger = subprocess.run(
        [*nodes[0].within, sys.executable, "-m", "blixard", "check", "--registry", nodes[1].registry],
        capture_output=True,
        text=True,
        check=False,
    )
    assert stranger.returncode == 0, stranger.stdout


def test_a_node_that_the_relay_denies_says_that_it_is_not_connected(middle: Middle, nodes: list[Node]) -> None:
    denied = nodes[1].make_identity()
    middle.start_relay("--deny", denied.endpoint_id.hex)
    for node in nodes:
        node.start(*RELAYED)
    introduce(nodes)

    checks = [blixard("check", "--data-dir", node.data_dir, "--timeout", "2", "--json") for node in nodes]

    assert [check.code for check in checks] == [1, 1]
    assert [check.document["nodes"][0]["problems"] for check in checks] == [
        [],
        [NOT_CONNECTED],
    ]


def test_a_relay_that_is_slow_carries_the_mesh_all_the_same(middle: Middle, nodes: list[Node]) -> None:
    middle.start_relay("--bytes-per-second", "20000")
    for node in nodes:
        node.start(*RELAYED)
    introduce(nodes)

    eventually(lambda: are_meshed(nodes), within=PATIENCE)

    assert path_between(nodes) == {"relay"}
