# SPDX-License-Identifier: MIT
"""Gossip among real nodes in one process: a signed peers file and a changed address that one node has reach all."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from pathlib import Path

from tests.ports import free_ports
from tests.unit.agent.settings import settings

from blixard.agent.advertise import AdvertisePolicy
from blixard.agent.node import Node
from blixard.agent.node_config import NodeConfig
from blixard.agent.own_entry import key_path
from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.registry_file import write_registry
from blixard.model.addresses import SocketAddress
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey, create_secret_key
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, parse_sig, sign_peers

MANY = 50
PATIENCE = 600.0
LOOK = 0.25
CLUSTER = "blixard"


class Fleet:
    """Nodes of which all but the first know the first one alone, and the key that says who is a member."""

    def __init__(self, room: Path, count: int, *, signed: bool = True) -> None:
        self.fleet_key = SecretKey.generate()
        self.entries: list[NodeRegistryEntry] = []
        self.nodes: list[Node] = []
        self.configs: list[NodeConfig] = []
        self._signed = 0
        self._lives: list[asyncio.Task[None]] = []
        for number, port in enumerate(free_ports(count), start=1):
            data_dir, address = room / f"node{number}", f"127.0.0.1:{port}"
            data_dir.mkdir(mode=0o700)
            key = create_secret_key(key_path(data_dir))
            plain = NodeRegistryEntry(number, key.public().base64, (address,), None, address)
            self.entries.append(attest(plain, key, cluster=CLUSTER, now=datetime.now(timezone.utc)))
            config = settings(
                data_dir,
                node_id=number,
                bind=address,
                registries=() if number == 1 else (str(room / "first.json"),),
                admission="known" if signed else "open",
                trusted_signers=(self.fleet_key.public(),) if signed else (),
                gossip=True,
                log_level="warning",
            )
            self.configs.append(config)
            self.nodes.append(Node(config, functools.partial(self.configs.__getitem__, number - 1)))
        write_registry(room / "first.json", self.entries[0])

    def sign(self, *members: NodeRegistryEntry) -> None:
        """Give the first node alone a new peers file with these members."""
        data = format_peers(build_peers(members))
        now = datetime.now(timezone.utc)
        signature = sign_peers(data, self.fleet_key, cluster=CLUSTER, previous_seq=self._signed, now=now)
        self._signed = parse_sig(signature)[1]
        path = self.configs[0].peers_file
        path.with_name(path.name + SIGNATURE_SUFFIX).write_bytes(signature)
        path.write_bytes(data)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._lives = [asyncio.create_task(each.run()) for each in self.nodes]
        try:
            await asyncio.gather(*(each._ready.wait() for each in self.nodes))
            yield
        finally:
            for each in self.nodes:
                each.stop()
            await asyncio.wait_for(asyncio.gather(*self._lives), PATIENCE)

    async def settles(self, look: Callable[[Node], bool], nodes: list[Node]) -> None:
        """Wait until it is true of each of these nodes."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while waiting := [each.config.node_id for each in nodes if not look(each)]:
            for life in self._lives:
                assert not life.done(), life.result()  # a node that ended by itself says why
            assert asyncio.get_running_loop().time() < deadline, f"still not so of {waiting}"
            await asyncio.sleep(LOOK)

    async def moves(self, node: Node) -> str:
        """Let a node advertise one more address; return that."""
        at = node.config.node_id - 1
        more = f"127.0.0.2:{node.config.bind.port}"
        policy = AdvertisePolicy(extra=(SocketAddress.parse(more),))
        self.configs[at] = dataclasses.replace(self.configs[at], advertise=policy)
        assert await node.reload() == ["advertise"]
        return more


def knows(*node_ids: int) -> Callable[[Node], bool]:
    """Tell whether a node's peers are these, itself aside."""
    return lambda node: {peer.node_id for peer in node.manager.get_peers()} == {*node_ids} - {node.config.node_id}


def has_address(of: int, address: str) -> Callable[[Node], bool]:
    """Tell whether a node knows this address of another."""

    def look(node: Node) -> bool:
        peer = node.manager.get_peer(of)
        return peer is not None and address in peer.direct_addresses

    return look


async def test_fifty_nodes_learn_members_removals_and_addresses_from_the_one_that_they_know(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, MANY)
    fleet.sign(*fleet.entries)
    async with fleet.running():
        await fleet.settles(knows(*range(1, MANY + 1)), fleet.nodes)
        files = {each.config.peers_file.read_bytes() for each in fleet.nodes}
        assert len(files) == 1

        mover = fleet.nodes[2]
        more = await fleet.moves(mover)
        await fleet.settles(has_address(3, more), [each for each in fleet.nodes if each is not mover])

        fleet.sign(*fleet.entries[:-1])
        await fleet.settles(knows(*range(1, MANY)), fleet.nodes[:-1])
        for each in fleet.nodes[:-1]:
            assert each.gossip is not None
            assert not {"forged", "forged_file", "malformed"} & each.gossip.counts()["failed"].keys()


async def test_without_a_fleet_key_the_guests_of_one_node_become_everyones(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 4, signed=False)
    async with fleet.running():
        await fleet.settles(knows(1, 2, 3, 4), fleet.nodes)


async def test_a_file_that_cannot_be_written_is_told_and_written_as_soon_as_it_can_be(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 2)
    blocked = fleet.configs[1].peers_file
    async with fleet.running():
        blocked.mkdir()
        (blocked / "in the way").touch()
        fleet.sign(*fleet.entries)
        await fleet.settles(lambda node: any(str(blocked) in line for line in node.unwritten.lines()), fleet.nodes[1:])
        (blocked / "in the way").unlink()
        blocked.rmdir()
        await fleet.settles(lambda node: not node.unwritten.lines(), fleet.nodes[1:])
        assert blocked.read_bytes() == fleet.configs[0].peers_file.read_bytes()
