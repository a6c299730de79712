# SPDX-License-Identifier: MIT
"""What claims of addresses bring a victim in two days of virtual time: next to nothing, however often."""

from __future__ import annotations

import asyncio
from random import Random

from tests.simulation.network import Host, Network, SimConnection, SimDialler, SimProber
from tests.simulation.sources import SetSource
from tests.simulation.virtual_time import run
from tests.unit.peers.people import CLUSTER, endpoint_id, peer

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.model.entry import DiscoveredPeer

VICTIM = "203.0.113.9"
MAX_TRIES = 4


class Recorder(SimDialler):
    """Dials, and writes down where."""

    def __init__(self, network: Network, host: Host) -> None:
        super().__init__(network, host)
        self.dialled: list[str] = []

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
        self.dialled += peer.direct_addresses
        return await super().dial(peer, timeout=timeout)


class Neighbourhood:
    """One manager, what it dials, and who comes to it."""

    def __init__(self, *members: DiscoveredPeer) -> None:
        self.network = Network(1)
        me = self.network.add(1)
        self.me = me
        self.dialler, self.prober = Recorder(self.network, me), SimProber(self.network, me)
        source = SetSource()
        source.set(members)
        self.manager = DiscoveryManager(
            DiscoveryConfig([source], 60.0),
            dialler=self.dialler,
            prober=self.prober,
            own=me.endpoint_id,
            own_node_id=1,
            cluster=CLUSTER,
            clock=self.network.clock,
            rng=Random(1),
        )

    def sent_to_the_victim(self) -> tuple[int, int]:
        """Return how many dials and how many tries went there."""
        dials, tries = self.dialler.dialled, self.prober.probes
        return sum(each.startswith(VICTIM) for each in dials), sum(each.startswith(VICTIM) for each in tries)

    def call_from(self, number: int, address: str, *claimed: str, seq: int) -> None:
        """A peer calls from `address`, says where it is, and is gone again."""
        self.manager.add_peer(peer(number, *claimed, seq=seq), "hello")
        caller = Host(number, endpoint_id(number), address)
        theirs, ours = SimConnection(self.network, caller, self.me), SimConnection(self.network, self.me, caller)
        ours.other, theirs.other = theirs, ours
        self.manager.adopt(ours)
        ours.end("gone")


def claims(round_: int) -> list[str]:
    """Sixty-four addresses of the victim, others each time."""
    return [f"{VICTIM}:{1024 + (64 * round_ + number) % 60000}" for number in range(64)]


def test_two_days_of_guests_that_name_a_victim_costs_it_nothing() -> None:
    async def main() -> None:
        neighbourhood = Neighbourhood()
        await neighbourhood.manager.start()
        for round_ in range(2 * 24):
            neighbourhood.call_from(2 + round_ % 20, "198.51.100.1:7001", *claims(round_), seq=5 + round_)
            await asyncio.sleep(3600)
        assert neighbourhood.sent_to_the_victim() == (0, 0)
        await neighbourhood.manager.stop()

    run(main())


def test_two_days_of_guests_behind_the_victims_own_router_costs_it_a_few_tries() -> None:
    async def main() -> None:
        neighbourhood = Neighbourhood()
        await neighbourhood.manager.start()
        for round_ in range(2 * 24):
            neighbourhood.call_from(2 + round_ % 20, f"{VICTIM}:7", *claims(round_), seq=5 + round_)
            await asyncio.sleep(3600)
        dials, tries = neighbourhood.sent_to_the_victim()
        assert dials == 0
        assert 0 < tries <= MAX_TRIES
        await neighbourhood.manager.stop()

    run(main())


def test_two_days_of_members_that_name_a_victim_costs_it_a_few_tries() -> None:
    async def main() -> None:
        neighbourhood = Neighbourhood(*(peer(number, f"198.51.100.{number}:7001", seq=1) for number in range(2, 12)))
        await neighbourhood.manager.start()
        for round_ in range(2 * 24):
            number = 2 + round_ % 10
            neighbourhood.call_from(number, f"198.51.100.{number}:7001", *claims(round_), seq=5 + round_)
            await asyncio.sleep(3600)
        dials, tries = neighbourhood.sent_to_the_victim()
        assert dials == 0
        assert 0 < tries <= MAX_TRIES
        await neighbourhood.manager.stop()

    run(main())
