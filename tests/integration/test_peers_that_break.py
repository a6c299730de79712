# SPDX-License-Identifier: MIT
"""Peers that restart, change, freeze, hang or are taken for one another: real nodes on real endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import iroh
from tests.integration.nodes import Node, are_meshed, blixard, eventually, give_peers
from tests.integration.party import StartParty
from tests.ports import free_port, free_ports
from tests.unit.agent.settings import settings

from blixard.agent.node import Node as RunningNode
from blixard.agent.own_entry import REGISTRY_FILE_NAME, key_path
from blixard.model.entry import NodeRegistryEntry
from blixard.transport.hello import DISCOVERY_ALPN
from blixard.trust.attestation import attest
from blixard.trust.keys import read_secret_key

MakeNode = Callable[[int], Node]

MANY = 50
PATIENCE = 300.0


def addresses_at(node: Node, number: int) -> dict[str, str]:
    """The addresses by which a node knows the one with this number, and their states."""
    return {each["address"]: each["state"] for each in node.peers()[number]["addresses"]}


def make_pair(node: MakeNode) -> tuple[list[Node], list[NodeRegistryEntry]]:
    """Two nodes that know each other from the same peers file and let nobody else in."""
    pair = [node(1), node(2)]
    entries = [each.make_identity() for each in pair]
    give_peers(pair, entries)
    for each in pair:
        each.start("--admission", "known")
    eventually(lambda: are_meshed(pair))
    return pair, entries


def test_a_peer_that_comes_back_with_its_key_at_another_port_is_followed_there(node: MakeNode) -> None:
    (one, two), _ = make_pair(node)
    assert two.stop() == 0
    eventually(lambda: one.state_of(two) != "connected")
    two.port = free_port()
    two.start("--admission", "known")
    eventually(lambda: are_meshed([one, two]))
    eventually(lambda: f"127.0.0.1:{two.port}" in addresses_at(one, 2))


def test_another_key_under_a_known_node_id_stays_outside_until_the_peers_file_has_it(node: MakeNode) -> None:
    (one, two), (first, second) = make_pair(node)
    two.stop()
    key_path(two.data_dir).unlink()
    two.registry.unlink()
    third = two.make_identity()
    give_peers([two], [first, third])
    two.start("--admission", "known")
    eventually(lambda: two.state_of(one) == "refused")
    assert one.status()["refused_callers"]
    assert one.peers()[2]["iroh_node_id"] == second.iroh_node_id
    assert one.state_of(two) != "connected"
    give_peers([one], [first, third])
    eventually(lambda: are_meshed([one, two]))
    assert one.peers()[2]["iroh_node_id"] == third.iroh_node_id


def test_a_frozen_peer_is_noticed_and_taken_back_when_it_goes_on(node: MakeNode) -> None:
    pair, _ = make_pair(node)
    one, two = pair
    two.signal(signal.SIGSTOP)
    try:
        eventually(lambda: one.state_of(two) != "connected")
        ended = blixard("check", "--data-dir", one.data_dir, "--timeout", "2", "--json")
        (edge,) = ended.document["edges"]
        assert (ended.code, edge["reached"], edge["error"]["kind"]) == (1, False, "timeout")
    finally:
        two.signal(signal.SIGCONT)
    eventually(lambda: are_meshed(pair))


def test_a_key_that_is_known_under_another_node_id_is_reported_by_both_sides(node: MakeNode) -> None:
    one, two = node(1), node(2)
    first, second = one.make_identity(), two.make_identity()
    misfiled = NodeRegistryEntry(7, *second.content()[1:], second.address)
    give_peers([one], [first, misfiled])
    give_peers([two], [first, second])
    for each in (one, two):
        each.start("--admission", "known")
    eventually(lambda: one.peers()[7]["state"] == two.state_of(one) == "refused")
    error = eventually(lambda: one.peers()[7]["last_error"])
    assert error["kind"] == "wrong_node_id"
    assert "node 2" in error["message"]
    assert "node 7" in error["message"]
    assert one.status()["refused_callers"]["wrong_node_id"] >= 1
    give_peers([one], [first, second])
    eventually(lambda: are_meshed([one, two]))


async def test_callers_that_never_say_hello_are_closed_and_hold_nobody_up(
    node: MakeNode, start_party: StartParty
) -> None:
    one, two = node(1).start(), node(2)
    endpoint_id = iroh.EndpointId.from_bytes(read_secret_key(key_path(one.data_dir)).public().raw)
    where = iroh.EndpointAddr(endpoint_id, None, [f"127.0.0.1:{one.port}"])
    caller = await start_party()
    # As many as one key may have; what becomes of more of them is in tests/attacks.
    silent = [await caller.endpoint.connect(where, DISCOVERY_ALPN) for _ in range(4)]
    stream = await silent[0].open_bi()
    await stream.send().write_all(b'{"v":1,')
    two.start("--join", one.registry)
    eventually(lambda: are_meshed([one, two]))
    reasons = await asyncio.wait_for(asyncio.gather(*(each.closed() for each in silent)), PATIENCE)
    assert all("no hello" in reason for reason in reasons)
    assert are_meshed([one, two])


def test_an_address_that_two_peers_list_and_one_of_them_answers_keeps_nobody_from_the_mesh(node: MakeNode) -> None:
    three = [node(number) for number in (1, 2, 3)]
    one, two, watcher = three
    shared, own = f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"
    entries = [each.make_identity() for each in three]
    entries[1] = signed(two, shared, own)
    give_peers(three, entries)
    # Node 2 only waits, so that the others have to find the way to it.
    advertised = ("--advertise-include", "127.0.0.0/8", "--advertise-extra", shared)
    two.start("--admission", "known", "--auto-connect", "false", *advertised)
    for each in (one, watcher):
        each.start("--admission", "known")
    eventually(lambda: are_meshed(three))
    assert addresses_at(watcher, 1) == {shared: "usable"}
    assert addresses_at(watcher, 2) == {shared: "held_back", own: "usable"}


def signed(node: Node, *addresses: str) -> NodeRegistryEntry:
    """What a node with a key would sign about itself at these addresses."""
    key = read_secret_key(key_path(node.data_dir))
    entry = NodeRegistryEntry(node.number, key.public().base64, addresses, None, addresses[-1])
    return attest(entry, key, cluster="blixard", now=datetime.now(timezone.utc))


@contextlib.asynccontextmanager
async def running(room: Path, count: int) -> AsyncIterator[tuple[list[RunningNode], list[asyncio.Task[None]]]]:
    """So many nodes in this process, started at the same moment, which look for each other; and their lives."""
    made = []
    for number, port in enumerate(free_ports(count), start=1):
        data_dir = room / f"node{number}"
        config = settings(
            data_dir,
            node_id=number,
            bind=f"127.0.0.1:{port}",
            registries=(f"{room}/node*/{REGISTRY_FILE_NAME}",),
            log_level="warning",
        )
        made.append(RunningNode(config, functools.partial(dataclasses.replace, config)))
    lives = [asyncio.create_task(each.run()) for each in made]
    try:
        yield made, lives
    finally:
        for each in made:
            each.stop()
        await asyncio.wait_for(asyncio.gather(*lives), PATIENCE)


async def becomes_connected(node: RunningNode, others: int) -> None:
    """Wait until a node is connected with so many others."""
    await node._ready.wait()
    events, manager = node.manager.subscribe(), node.manager
    # Not `status()`: asked at each event of so many nodes in one process it would be most of the work.
    while sum(manager.connection(each.endpoint_id) is not None for each in manager.get_peers()) < others:
        await events.__anext__()


async def all_become_connected(nodes: Sequence[RunningNode]) -> None:
    await asyncio.gather(*(becomes_connected(each, len(nodes) - 1) for each in nodes))


async def test_fifty_nodes_that_start_at_once_are_all_connected_with_each_other(tmp_path: Path) -> None:
    async with running(tmp_path, MANY) as (nodes, lives):
        whole = asyncio.create_task(all_become_connected(nodes))
        await asyncio.wait({whole, *lives}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for life in lives:
            assert not life.done(), life.result()  # a node that ended by itself says why
        assert whole.done()
        for each in nodes:
            assert len(each.manager.status()) == MANY - 1
            assert {status.state for status in each.manager.status()} == {"connected"}
            # On a machine that starves a caller may run out of time, and comes again.
            assert not each.admission_control.refused.keys() - {"no_handshake", "no_hello"}
