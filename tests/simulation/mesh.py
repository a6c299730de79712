# SPDX-License-Identifier: MIT
"""Many managers that dial each other: crashes, restarts, joins, moves, cuts that heal."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from tests.simulation.bounds import longest_wait
from tests.simulation.hub import HOUR, INTERVAL, LEARNED, LOOK_EVERY, Findings
from tests.simulation.network import Host, Network, SimConnection, SimDialler, SimProber
from tests.simulation.sources import SetSource

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager


class Member:
    """A host with its manager and its peers file."""

    def __init__(self, mesh: Mesh, host: Host) -> None:
        self.mesh = mesh
        self.host = host
        self.source = SetSource()
        self.lives = 0
        self.manager: DiscoveryManager | None = None
        self.tracing: list[asyncio.Future[None]] = []
        host.lets_in = lambda caller: self.manager is not None and self.manager.find(caller) is not None

    async def start(self) -> None:
        """Begin a new life: nothing is remembered but the peers file."""
        self.lives += 1
        network = self.mesh.network
        self.manager = DiscoveryManager(
            DiscoveryConfig([self.source], INTERVAL),
            dialler=SimDialler(network, self.host),
            prober=SimProber(network, self.host),
            own=self.host.endpoint_id,
            own_node_id=self.host.node_id,
            clock=network.clock,
            rng=Random(f"{self.mesh.seed}/{self.host.node_id}/{self.lives}"),
        )
        self.host.arrived = self.manager.adopt
        self.tracing.append(asyncio.ensure_future(self._trace(self.manager)))
        await self.manager.start()

    async def stop(self) -> None:
        """End this life in order."""
        manager, self.manager = self.manager, None
        if manager is not None:
            await manager.stop()

    def connection(self, other: Member) -> SimConnection | None:
        """This side's end of the connection with another member."""
        end = self.manager.connection(other.host.endpoint_id) if self.manager is not None else None
        assert end is None or isinstance(end, SimConnection)
        return end

    async def _trace(self, manager: DiscoveryManager) -> None:
        findings = self.mesh.findings
        async for event in manager.subscribe(10**7):
            findings.events[event.kind] += 1
            moment = self.mesh.network.clock.now()
            findings.trace.append((moment, f"{self.host.node_id} {event.kind}", event.node_id))


class Mesh:
    """All members, and what happens to them."""

    def __init__(self, *, seed: int, members: int) -> None:
        self.seed = seed
        self.network = Network(seed)
        self.rng = Random(f"mesh/{seed}")
        self.findings = Findings()
        self.members = [Member(self, self.network.add(number)) for number in range(1, members + 1)]
        now = self.network.clock.now()
        self.well_since: dict[Member, float | None] = dict.fromkeys(self.members, now)
        self.side_since: dict[Member, float] = dict.fromkeys(self.members, now)

    async def live(self, seconds: float) -> Findings:
        """Run for so long, with trouble all the time, then let it heal and look whether the mesh is whole and quiet."""
        self._publish()
        started = self.network.clock.now()
        await asyncio.gather(*(member.start() for member in self.members))
        troubles = [asyncio.ensure_future(self._keep_making(kind, mean)) for kind, mean in self._kinds()]
        while self.network.clock.now() - started < seconds:
            await asyncio.sleep(LOOK_EVERY)
            self._look()
        for trouble in troubles:
            trouble.cancel()
        await asyncio.gather(*troubles, return_exceptions=True)
        await self._heal()
        await asyncio.sleep(LEARNED + longest_wait())
        self._look()
        await self._must_be_quiet()
        await asyncio.gather(*(member.stop() for member in self.members))
        await asyncio.gather(*(each for member in self.members for each in member.tracing))
        self.findings.dials = len(self.network.dials)
        self.findings.most_in_flight = self.network.most_in_flight
        return self.findings

    def _look(self) -> None:
        """All pairs that could have been connected for long enough are, by one connection that both hold."""
        now = self.network.clock.now()
        for one, other in itertools.combinations(self.members, 2):
            since = self._together_since(one, other)
            ours, theirs = one.connection(other), other.connection(one)
            if since is None or (ours is not None and theirs is not None and ours.other is theirs):
                continue
            apart = now - since
            self.findings.longest_apart = max(self.findings.longest_apart, apart)
            pair = f"{one.host.node_id} and {other.host.node_id}"
            assert apart <= longest_wait(len(self.members)), f"{pair}: {apart:.0f} s apart: {ours}, {theirs}"

    def _together_since(self, one: Member, other: Member) -> float | None:
        since = (self.well_since[one], self.well_since[other])
        if one.host.side != other.host.side or since[0] is None or since[1] is None:
            return None
        return max(since[0], since[1], self.side_since[one], self.side_since[other])

    async def _must_be_quiet(self) -> None:
        """A mesh that is whole does nothing: no dial, no connection that comes or goes."""
        events, dials = self.findings.events.copy(), len(self.network.dials)
        await asyncio.sleep(HOUR)
        assert self.findings.events == events
        assert len(self.network.dials) == dials
        for one, other in itertools.permutations(self.members, 2):
            end = one.connection(other)
            assert end is not None
            assert end.other is other.connection(one)
        ends = Counter(len(member.host.ends) for member in self.members)
        assert ends == {len(self.members) - 1: len(self.members)}, "a connection that nobody holds"

    def _publish(self, *, to: Member | None = None) -> None:
        """Give everyone, or one member, the present peers file."""
        peers = [self.network.peer(member.host) for member in self.members]
        for member in [to] if to is not None else self.members:
            member.source.set(peers)

    def _changed(self, member: Member, *, well: bool) -> None:
        self.well_since[member] = self.network.clock.now() if well else None

    async def _heal(self) -> None:
        self.network.heal()
        self._publish()
        for member in self.members:
            if not member.host.is_up:
                self.network.restore(member.host)
            if member.manager is None:
                await member.start()
            if self.well_since[member] is None:
                self.well_since[member] = self.network.clock.now() + LEARNED
            self.side_since[member] = self.network.clock.now()

    def _kinds(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        return [
            (self._crash, HOUR / 6),
            (self._restart, HOUR / 6),
            (self._move, HOUR / 3),
            (self._cut, HOUR),
            (self._break, HOUR / 6),
            (self._join, HOUR / 2),
        ]

    async def _keep_making(self, trouble: Callable[[], Awaitable[None]], mean: float) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / mean))
            self.findings.troubles[trouble.__name__.strip("_")] += 1
            await trouble()

    def _anyone(self) -> Member | None:
        """Some member that is well, if the draw falls on one."""
        member = self.rng.choice(self.members)
        return member if self.well_since[member] is not None else None

    async def _crash(self) -> None:
        """A host is gone without a word, and back after a while."""
        member = self._anyone()
        if member is None:
            return
        self._changed(member, well=False)
        self.network.crash(member.host)
        await member.stop()
        await asyncio.sleep(self.rng.expovariate(1 / (HOUR / 6)))
        self.network.restore(member.host)
        await member.start()
        self._changed(member, well=True)

    async def _restart(self) -> None:
        """A node is stopped in order and started at once."""
        member = self._anyone()
        if member is None:
            return
        self._changed(member, well=False)
        await member.stop()
        await asyncio.sleep(self.rng.uniform(0, 5))
        await member.start()
        self._changed(member, well=True)

    async def _move(self) -> None:
        """A host gets another address; the others hear of it one after the other."""
        member = self._anyone()
        if member is None:
            return
        self._changed(member, well=False)
        self.network.move(member.host, f"10.200.{self.rng.randrange(250)}.{self.rng.randrange(2, 250)}:7001")
        order = self.rng.sample(self.members, len(self.members))
        for other in order:
            self._publish(to=other)
            await asyncio.sleep(self.rng.uniform(0, 4))
        await asyncio.sleep(LEARNED)
        self._changed(member, well=True)

    async def _cut(self) -> None:
        """The network falls into two parts for a while."""
        self.network.cut({member.host: self.rng.randrange(2) for member in self.members})
        await asyncio.sleep(self.rng.uniform(5, HOUR))
        self.network.heal()
        for member in self.members:
            self.side_since[member] = self.network.clock.now()

    async def _break(self) -> None:
        """All connections of one host end at once, and it is there at once."""
        member = self._anyone()
        if member is not None:
            self._changed(member, well=True)
            self.network.move(member.host, member.host.address)

    async def _join(self) -> None:
        """A host leaves everyone's peers file and comes back as if it were new."""
        member = self._anyone()
        if member is None:
            return
        self._changed(member, well=False)
        others = [self.network.peer(each.host) for each in self.members if each is not member]
        for each in self.members:
            each.source.set(others)
        await member.stop()
        await asyncio.sleep(600)
        await member.start()
        order = self.rng.sample(self.members, len(self.members))
        for each in order:
            self._publish(to=each)
            await asyncio.sleep(self.rng.uniform(0, 4))
        await asyncio.sleep(LEARNED)
        self._changed(member, well=True)


async def simulate_mesh(*, seed: int, members: int, seconds: float) -> Findings:
    """Make a mesh and let it live; asserts what must hold."""
    return await Mesh(seed=seed, members=members).live(seconds)
