# SPDX-License-Identifier: MIT
"""One manager and a thousand peers: days of crashes, cuts, moves, impostors, flapping sources and wrong clocks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from tests.simulation.bounds import longest_wait
from tests.simulation.network import POISONED, Host, Network, SimDialler, SimProber
from tests.simulation.sources import SetSource

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.manager.polling import REFRESH_JITTER, SOURCE_TIMEOUT
from blixard.peers.table import ABSENT_INTERVALS

HOUR = 3600.0
INTERVAL = 60.0
LOOK_EVERY = 60.0
LEARNED = INTERVAL * (1 + REFRESH_JITTER) + SOURCE_TIMEOUT
"""Seconds after which the manager knows what a working source says."""

STRANGERS = 5
"""Hosts that no source names, and that answer where they should not."""


@dataclass
class Findings:
    """What a run has shown."""

    events: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    trace: list[tuple[float, str, int]] = field(default_factory=list)
    dials: int = 0
    most_in_flight: int = 0
    longest_apart: float = 0.0
    """Seconds that a healthy peer was seen without a connection, at most."""


class Hub:
    """A manager on host 1 that dials everyone, and what happens to it."""

    def __init__(self, *, seed: int, peers: int) -> None:
        self.network = Network(seed)
        self.rng = Random(f"hub/{seed}")
        self.clock = self.network.clock
        self.me = self.network.add(1)
        self.hosts = [self.network.add(number) for number in range(2, 2 + peers)]
        self.strangers = [self.network.add(60_000 + number) for number in range(STRANGERS)]
        self.dialler = SimDialler(self.network, self.me)
        self.sources = [SetSource("static:all"), SetSource("registry:half", "registry")]
        self.listed: dict[Host, tuple[str, ...]] = {host: (host.address,) for host in self.hosts}
        self.in_doubt: Counter[Host] = Counter()
        self.healthy_since: dict[Host, float | None] = dict.fromkeys(self.hosts, self.clock.now())
        self.dead: deque[tuple[float, int]] = deque(maxlen=int(HOUR / LOOK_EVERY))
        self.findings = Findings()
        self.manager = DiscoveryManager(
            DiscoveryConfig(self.sources, INTERVAL, full_mesh=peers),
            dialler=self.dialler,
            prober=SimProber(self.network, self.me),
            own=self.me.endpoint_id,
            own_node_id=self.me.node_id,
            clock=self.clock,
            rng=Random(f"manager/{seed}"),
        )

    async def live(self, seconds: float) -> Findings:
        """Run for so long, with trouble all the time, then let it heal and look whether all is well."""
        self._tell_sources()
        started = self.clock.now()
        tracing = asyncio.ensure_future(self._trace(started))
        await self.manager.start()
        troubles = [asyncio.ensure_future(self._keep_making(kind, mean)) for kind, mean in self._kinds()]
        while self.clock.now() - started < seconds:
            await asyncio.sleep(LOOK_EVERY)
            self._look()
        for trouble in troubles:
            trouble.cancel()
        await asyncio.gather(*troubles, return_exceptions=True)
        self._heal()
        await asyncio.sleep(LEARNED + POISONED + longest_wait())
        self._look()
        states = Counter(status.state for status in self.manager.status())
        assert states == {"connected": len(self.hosts)}, states
        await self.manager.stop()
        await tracing
        self.findings.dials = len(self.network.dials)
        self.findings.most_in_flight = self.network.most_in_flight
        return self.findings

    async def _trace(self, started: float) -> None:
        async for event in self.manager.subscribe(10**7):
            self.findings.events[event.kind] += 1
            self.findings.trace.append((self.clock.now() - started, event.kind, event.node_id))

    def _look(self) -> None:
        """Compare what is with what must be."""
        now = self.clock.now()
        self.dead.append((now, sum(since is None for since in self.healthy_since.values())))
        for host, since in self.healthy_since.items():
            if since is None or self.manager.connection(host.endpoint_id) is not None:
                continue
            apart = now - since
            self.findings.longest_apart = max(self.findings.longest_apart, apart)
            # Those that were dead at any time meanwhile may have stood before it.
            dead = max(number for at, number in self.dead if at >= min(since, now))
            bound = longest_wait(dead, impostor=len(self.listed[host]) > 1)
            assert apart <= bound, f"node {host.node_id}: {apart:.0f} s apart, {dead} dead"
        dropped = [host.node_id for host in self.hosts if self.manager.find(host.endpoint_id) is None]
        assert not dropped, f"its sources name them: {dropped}"

    def _judge(self, *hosts: Host) -> None:
        """Note since when these hosts could be connected."""
        for host in hosts:
            well = (
                host.is_up
                and host.side == self.me.side
                and self.dialler.has_socket
                and not self.in_doubt[host]
                and host.address in self.listed[host]
            )
            since = self.healthy_since[host]
            self.healthy_since[host] = None if not well else self.clock.now() if since is None else since

    def _tell_sources(self) -> None:
        """Let the sources name every host, at the addresses that they believe."""
        for index, source in enumerate(self.sources):
            hosts = self.hosts[:: index + 1]
            source.set(dataclasses.replace(self.network.peer(h), direct_addresses=self.listed[h]) for h in hosts)

    def _heal(self) -> None:
        """Make everything well again."""
        self.network.heal()
        self.dialler.has_socket = True
        self.in_doubt.clear()
        for source in self.sources:
            source.recover()
        for host in self.hosts:
            if not host.is_up:
                self.network.restore(host)
            self.listed[host] = (host.address,)
            # What the manager must learn first, it cannot be blamed for.
            self.healthy_since[host] = self.clock.now() + LEARNED + POISONED
        self._tell_sources()

    def _kinds(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        """Return the kinds of trouble and the mean seconds between two of a kind."""
        return [
            (self._crash, HOUR / 20),
            (self._restart, HOUR / 20),
            (self._move, HOUR / 5),
            (self._impostor, HOUR / 2),
            (self._flap, HOUR / 2),
            (self._set_clock, HOUR),
            (self._lose_sockets, 3 * HOUR),
            (self._cut, 3 * HOUR),
        ]

    async def _keep_making(self, trouble: Callable[[], Awaitable[None]], mean: float) -> None:
        under_way: list[asyncio.Future[None]] = []
        try:
            while True:
                await asyncio.sleep(self.rng.expovariate(1 / mean))
                self.findings.troubles[trouble.__name__.strip("_")] += 1
                under_way = [each for each in under_way if not each.done()]
                under_way.append(asyncio.ensure_future(trouble()))
        finally:
            for each in under_way:
                each.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _crash(self) -> None:
        host = self.rng.choice(self.hosts)
        if host.is_up:
            host.fails_fast = self.rng.random() < 0.5
            self.network.crash(host)
            self._judge(host)
            await asyncio.sleep(self.rng.expovariate(1 / (HOUR / 3)))
            self.network.restore(host)
            self._judge(host)

    async def _restart(self) -> None:
        host = self.rng.choice(self.hosts)
        self.network.move(host, host.address)
        if self.healthy_since[host] is not None:
            self.healthy_since[host] = self.clock.now()

    async def _move(self) -> None:
        """A host gets another address, and the sources hear of it later."""
        host = self.rng.choice(self.hosts)
        address = f"10.{self.rng.randrange(64, 250)}.{self.rng.randrange(250)}.{self.rng.randrange(2, 250)}:7001"
        if address in self.network.at:
            return
        self.network.move(host, address)
        self._judge(host)
        await asyncio.sleep(self.rng.uniform(0, 300))
        self.listed[host] = (address,)
        await self._published(host)

    async def _impostor(self) -> None:
        """A host is listed with an address at which another one answers, and is dialled anew."""
        host = self.rng.choice(self.hosts)
        if len(self.listed[host]) > 1:
            return
        self.listed[host] = (self.rng.choice(self.strangers).address, *self.listed[host])
        await self._published(host)
        self.network.move(host, host.address)
        self.in_doubt[host] += 1
        self._judge(host)
        await asyncio.sleep(2 * POISONED)
        self.in_doubt[host] -= 1
        self._judge(host)
        await asyncio.sleep(HOUR)
        self.listed[host] = self.listed[host][-1:]
        await self._published(host)

    async def _published(self, host: Host) -> None:
        """Tell the sources, and wait until the manager must have heard."""
        self._tell_sources()
        self.in_doubt[host] += 1
        self._judge(host)
        await asyncio.sleep(LEARNED + ABSENT_INTERVALS * INTERVAL)
        self.in_doubt[host] -= 1
        self._judge(host)

    async def _flap(self) -> None:
        """A source fails, or says for a while that there is nobody."""
        source = self.rng.choice(self.sources)
        seconds = self.rng.uniform(0, (ABSENT_INTERVALS - 1) * INTERVAL)
        if self.rng.random() < 0.5:
            source.fail()
            await asyncio.sleep(seconds)
            source.recover()
        else:
            source.set([])
            await asyncio.sleep(seconds)
            self._tell_sources()

    async def _set_clock(self) -> None:
        self.clock.wall_offset = timedelta(days=self.rng.uniform(-1000, 1000))

    async def _lose_sockets(self) -> None:
        self.dialler.has_socket = False
        self._judge(*self.hosts)
        await asyncio.sleep(self.rng.uniform(10, 600))
        self.dialler.has_socket = True
        self._judge(*self.hosts)

    async def _cut(self) -> None:
        """Part of the hosts, or all, cannot be reached for a while."""
        share = self.rng.choice([0.1, 0.5, 1.0])
        away = [host for host in self.hosts if self.rng.random() < share]
        self.network.cut(dict.fromkeys(away, 1))
        self._judge(*self.hosts)
        await asyncio.sleep(self.rng.uniform(5, HOUR))
        self.network.heal()
        self._judge(*self.hosts)


async def simulate_hub(*, seed: int, peers: int, seconds: float) -> Findings:
    """Make a hub and let it live; asserts what must hold."""
    return await Hub(seed=seed, peers=peers).live(seconds)
