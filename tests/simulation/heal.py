# SPDX-License-Identifier: MIT
"""Cuts that heal: after how long all edges are back, and how many dials a second that costs.

Each node is the real scheduler with those peers that a node of such a mesh dials: everyone up to 64 nodes, its
neighbours in the overlay above. Sources, and the peers that a node only knows, are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from bench.overlay import mesh as overlay
from tests.simulation.bounds import peak
from tests.simulation.network import Host, Network, SimDialler

from blixard.dialling.address_vetting import Vetting
from blixard.dialling.scheduler import DialScheduler
from blixard.discovery_manager import DiscoveryConfig
from blixard.model.ids import EndpointId
from blixard.ordered_set import OrderedSet
from blixard.peers.events import EventKind

Shape = Literal["half", "one", "islands"]

SETTLED = 120.0
"""Seconds before the cut, after which all edges are there and proven."""

PATIENCE = 600.0
"""Seconds after the heal at which it is given up: beyond any time that the breakers alone would take."""

STEADY = 60.0
"""Seconds before the heal in which the dials are counted."""

SIDES: dict[Shape, Callable[[int, int], int]] = {
    "half": lambda number, members: 2 * number // members,
    "one": lambda number, _: int(number == 0),
    "islands": lambda number, members: 10 * number // members,
}
"""On which side of a cut the node with this number is, of so many: half and half, one apart, ten islands."""

Edge = tuple[EndpointId, EndpointId]


@dataclass(frozen=True)
class Healed:
    """What one cut has shown.

    Attributes:
        whole_after: seconds from the heal until all edges were back.
        half_after: seconds until half of them were.
        edges: how many there were to come back.
        node_peak: dials that one node made within one second of the heal's time, at most.
        mesh_peak: dials that all nodes together made within one second, at most, for each node.
        steady: dials a minute and node in the last minute of the cut.
        most_in_flight: dials in flight from one node.
    """

    whole_after: float
    half_after: float
    edges: int
    node_peak: int
    mesh_peak: float
    steady: float
    most_in_flight: int


class Healing:
    """A mesh of schedulers, and the edges that a cut takes."""

    def __init__(self, *, seed: int, members: int) -> None:
        self.network = Network(seed)
        self.clock = self.network.clock
        self.hosts = [self.network.add(number) for number in range(1, members + 1)]
        self.at = {host.endpoint_id: index for index, host in enumerate(self.hosts)}
        ids = [host.endpoint_id for host in self.hosts]
        is_full = members - 1 <= DiscoveryConfig().full_mesh
        self.graph = [[j for j in range(members) if j != i] for i in range(members)] if is_full else overlay(ids)
        self.missing: set[Edge] = set()
        self.back: list[float] = []
        self.healed = asyncio.Event()
        self.schedulers = [self._scheduler(host, Random(f"{seed}/{host.node_id}")) for host in self.hosts]

    def _scheduler(self, host: Host, rng: Random) -> DialScheduler:
        def report(kind: EventKind, _: int, endpoint_id: EndpointId, __: Mapping[str, object]) -> None:
            if kind == "connected" and (host.endpoint_id, endpoint_id) in self.missing:
                self.missing.discard((host.endpoint_id, endpoint_id))
                self.back.append(self.clock.now())
                if not self.missing:
                    self.healed.set()

        vetting = Vetting()
        scheduler = DialScheduler(
            SimDialler(self.network, host),
            clock=self.clock,
            rng=rng,
            report=report,
            vetting=vetting,
            own=host.endpoint_id,
        )
        host.arrived = scheduler.adopt
        for index in self.graph[self.at[host.endpoint_id]]:
            other = self.hosts[index]
            peer = self.network.peer(other)
            vetting.learn(other.endpoint_id, peer.direct_addresses, has_relay=False)
            scheduler.learn(peer, other.endpoint_id)
        return scheduler

    async def begin(self) -> None:
        """Start all nodes, and wait until the mesh is whole."""
        for scheduler, wanted in zip(self.schedulers, self.graph, strict=True):
            scheduler.start()
            scheduler.want(OrderedSet(self.hosts[index].endpoint_id for index in wanted))
        await asyncio.sleep(SETTLED)
        assert not self.apart(), "the mesh is not whole before the cut"

    def apart(self) -> set[Edge]:
        """Return the edges, from either end, that are not there."""
        return {
            (host.endpoint_id, self.hosts[index].endpoint_id)
            for host, scheduler, wanted in zip(self.hosts, self.schedulers, self.graph, strict=True)
            for index in wanted
            if self.hosts[index].endpoint_id not in scheduler.pool
        }

    async def cut(self, shape: Shape, seconds: float) -> Healed:
        """Cut the network so for a while, heal it, and look."""
        side = SIDES[shape]
        self.network.cut({host: side(number, len(self.hosts)) for number, host in enumerate(self.hosts)})
        await asyncio.sleep(max(0.0, seconds - STEADY))
        self.network.dials.clear()
        await asyncio.sleep(min(seconds, STEADY))
        steady = len(self.network.dials) * 60.0 / min(seconds, STEADY) / len(self.hosts)
        self.network.dials.clear()
        return await self.heal(steady)

    async def heal(self, steady: float = 0.0) -> Healed:
        """End the cut, and wait until all edges are back."""
        self.missing, self.back = self.apart(), []
        self.healed.clear()
        healed_at = self.clock.now()
        self.network.heal()
        edges = len(self.missing)
        if edges:
            await asyncio.wait_for(self.healed.wait(), PATIENCE)
        by_node: dict[EndpointId, list[float]] = {}
        for at, who, _ in self.network.dials:
            by_node.setdefault(who, []).append(at)
        return Healed(
            whole_after=self.back[-1] - healed_at,
            half_after=self.back[edges // 2] - healed_at,
            edges=edges // 2,
            node_peak=max(map(peak, by_node.values()), default=0),
            mesh_peak=peak([at for at, _, _ in self.network.dials]) / len(self.hosts),
            steady=steady,
            most_in_flight=self.network.most_in_flight,
        )

    async def stop(self) -> None:
        """End all nodes."""
        await asyncio.gather(*(scheduler.stop() for scheduler in self.schedulers))


async def simulate_cut(*, seed: int, members: int, shape: Shape, seconds: float) -> Healed:
    """Make a mesh, cut it for so long, and tell what its heal took."""
    healing = Healing(seed=seed, members=members)
    await healing.begin()
    healed = await healing.cut(shape, seconds)
    await healing.stop()
    return healed


async def simulate_flapping(*, seed: int, members: int, seconds: float, up: float, down: float) -> tuple[int, float]:
    """Cut one node off and heal it again and again; return the most dials it makes in a second, and the mean."""
    healing = Healing(seed=seed, members=members)
    await healing.begin()
    healing.network.dials.clear()
    first, *others = healing.hosts
    for _ in range(int(seconds / (up + down))):
        healing.network.cut({first: 1, **dict.fromkeys(others, 0)})
        await asyncio.sleep(down)
        healing.network.heal()
        await asyncio.sleep(up)
    dials = [at for at, who, _ in healing.network.dials if who == first.endpoint_id]
    await healing.stop()
    return peak(dials), len(dials) / seconds
