# SPDX-License-Identifier: MIT
"""Gossip in virtual time: the real exchange among a hundred managers, and the reduced model at a thousand nodes."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from random import Random

import pytest
from tests.simulation.gossip import Spread, overlay, spread
from tests.simulation.network import Host, Network, SimDialler, SimProber
from tests.simulation.sources import SetSource
from tests.simulation.virtual_time import START_WALL, run

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.gossip.gossip import Gossip
from blixard.gossip.messages import PROTOCOL
from blixard.gossip.schedule import rounds_for
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

SEED = 3
CLUSTER = "sim"
INTERVAL = 86_400.0
PATIENCE = 600.0


class Member:
    """A host with manager and gossip; it signs its own entry."""

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.host: Host = network.add(number)
        self.key = SecretKey.from_bytes(hashlib.sha256(f"{SEED}/{number}".encode()).digest())
        self.source = SetSource()
        self.entry = self.signed(self.host.address)

    def signed(self, address: str) -> NodeRegistryEntry:
        plain = NodeRegistryEntry(self.host.node_id, self.host.endpoint_id.base64, (address,), None, address)
        seconds = self.network.clock.now() % 100_000 if asyncio._get_running_loop() else 0
        return attest(plain, self.key, cluster=CLUSTER, now=START_WALL + timedelta(seconds=seconds + 1))

    async def start(self, sparse_above: int) -> None:
        self.manager = DiscoveryManager(
            DiscoveryConfig([self.source], INTERVAL, full_mesh=sparse_above),
            dialler=SimDialler(self.network, self.host),
            prober=SimProber(self.network, self.host),
            own=self.host.endpoint_id,
            own_node_id=self.host.node_id,
            cluster=CLUSTER,
            clock=self.network.clock,
            rng=Random(f"{SEED}/{self.host.node_id}"),
        )
        self.gossip = Gossip(
            self.manager,
            own=self.host.endpoint_id,
            own_entry=lambda: self.entry,
            cluster=CLUSTER,
            is_open=lambda: False,
            file=None,
            clock=self.network.clock,
            rng=Random(f"gossip/{SEED}/{self.host.node_id}"),
        )
        self.host.arrived = self.manager.adopt
        self.host.lets_in = lambda caller: self.manager.find(caller) is not None
        self.host.handlers[PROTOCOL] = self.gossip.serve
        await self.manager.start()
        self.life = asyncio.ensure_future(self.gossip.run())

    async def stop(self) -> None:
        self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)
        await self.manager.stop()


async def learn_of_a_move(members: int, *, failing: int, cut: bool) -> float:
    """Return the seconds until every member that is up knows another's new address; after a cut, from its heal on."""
    network = Network(SEED)
    fleet = [Member(network, number) for number in range(1, members + 1)]
    peers = [DiscoveredPeer.from_entry(each.entry, "static", START_WALL) for each in fleet]
    for each in fleet:
        each.source.set(peers)
    await asyncio.gather(*(each.start(members // 2) for each in fleet))
    await asyncio.sleep(120)
    for each in fleet[len(fleet) - failing :]:
        network.crash(each.host)
    if cut:
        network.cut({each.host: each.host.node_id % 2 for each in fleet})
        await asyncio.sleep(30)
    moved = fleet[0]
    moved.entry = moved.signed("10.250.0.1:7001")
    started = network.clock.now()

    def unaware() -> list[int]:
        up = fleet[1 : len(fleet) - failing]
        seqs = [(each, each.manager.attested(moved.host.endpoint_id)) for each in up]
        return [each.host.node_id for each, peer in seqs if peer is None or peer.seq < moved.entry.seq]

    if cut:
        await asyncio.sleep(60)
        other_side = [number for number in range(2, members + 1) if number % 2 != moved.host.node_id % 2]
        assert unaware() == other_side
        network.heal()
        started = network.clock.now()
    while unaware():
        assert network.clock.now() - started < PATIENCE, unaware()
        await asyncio.sleep(0.5)
    took = network.clock.now() - started
    for each in fleet:
        assert each.gossip.counts()["failed"].keys() <= {"closed"}
    await asyncio.gather(*(each.stop() for each in fleet))
    return took


@pytest.mark.parametrize(("failing", "cut"), [(0, False), (4, False), (0, True)], ids=["all up", "a tenth down", "cut"])
def test_a_new_address_reaches_all_over_the_overlay(failing: int, cut: bool) -> None:
    took = run(learn_of_a_move(40, failing=failing, cut=cut))
    assert took < PATIENCE


@pytest.mark.parametrize("failing", [0.0, 0.1])
def test_news_reach_a_thousand_nodes_in_the_rounds_that_they_are_told_for_or_by_a_few_idle_ones(failing: float) -> None:
    found: list[Spread] = [spread(overlay(1000, seed), Random(seed), failing=failing) for seed in range(3)]
    assert max(each.rounds for each in found) <= 3 * rounds_for(1000) + 60
    assert max(each.exchanges for each in found) <= 2 * rounds_for(1000) * 1000


def test_a_cut_that_heals_costs_no_more_than_one_exchange_an_edge() -> None:
    beside = overlay(1000, 1)
    found = spread(beside, Random(1), cut=True)
    assert found.rounds <= rounds_for(1000)
    assert found.exchanges <= sum(map(len, beside))
