# SPDX-License-Identifier: MIT
"""A scheduler on a simulated network, with a record of what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from tests.simulation.network import Host, Network, SimConnection, SimDialler, SimProber
from tests.simulation.virtual_time import run

from blixard.dialling.address_vetting import Vetting
from blixard.dialling.protocols import Dialler
from blixard.dialling.scheduler import DialScheduler
from blixard.model.ids import EndpointId
from blixard.ordered_set import OrderedSet
from blixard.peers.events import EventKind


class Stand:
    """Host 1 with the scheduler, and as many other hosts as were asked for."""

    def __init__(self, others: int = 1, *, dialler: Dialler | None = None, seed: int = 0) -> None:
        self.network = Network(seed)
        self.clock = self.network.clock
        self.me = self.network.add(1)
        self.others = [self.network.add(number) for number in range(2, 2 + others)]
        self.dialler = SimDialler(self.network, self.me)
        self.prober = SimProber(self.network, self.me)
        self.vetting = Vetting()
        self.events: list[tuple[float, str, int, Mapping[str, object]]] = []
        self.started = self.clock.now()
        self.scheduler = DialScheduler(
            dialler or self.dialler,
            clock=self.clock,
            rng=Random(seed),
            report=self._report,
            vetting=self.vetting,
            own=self.me.endpoint_id,
            prober=self.prober,
        )

    def _report(self, kind: EventKind, node_id: int, endpoint_id: EndpointId, details: Mapping[str, object]) -> None:
        self.events.append((self.clock.now() - self.started, kind, node_id, details))

    def kinds(self, node_id: int = 2) -> list[str]:
        """The events of one peer."""
        return [kind for _, kind, node, _ in self.events if node == node_id]

    def details(self, kind: str) -> list[Mapping[str, object]]:
        """What came with the events of one kind."""
        return [details for _, each, _, details in self.events if each == kind]

    def dialled_at(self, host: Host) -> list[float]:
        """Seconds after the start at which a host was dialled."""
        return [at - self.started for at, _, whom in self.network.dials if whom == host.endpoint_id]

    def learn(self, host: Host, *more: str) -> None:
        """Enter a host as a peer, with its present address and more."""
        peer = self.network.peer(host, *more)
        self.vetting.learn(host.endpoint_id, peer.direct_addresses, has_relay=False)
        self.scheduler.learn(peer, host.endpoint_id)

    def begin(self) -> None:
        """Start, know all hosts, want them all."""
        self.scheduler.start()
        for host in self.others:
            self.learn(host)
        self.want(*self.others)

    def want(self, *hosts: Host) -> None:
        """Dial just these."""
        self.scheduler.want(OrderedSet(host.endpoint_id for host in hosts))

    def state(self, host: Host) -> str:
        """What the status would show."""
        dial_state = self.scheduler.dial_state(host.endpoint_id)
        assert dial_state is not None
        return dial_state.state

    async def reaches(self, host: Host, state: str, within: float = 300.0) -> None:
        """Wait until the status shows this."""
        end = self.clock.now() + within
        while self.state(host) != state:
            assert self.clock.now() < end, f"{self.state(host)}, not {state}"
            await asyncio.sleep(0.1)

    def failures(self, host: Host) -> int:
        """The failures in a row that count against a peer now."""
        dial_state = self.scheduler.dial_state(host.endpoint_id)
        assert dial_state is not None
        return dial_state.failures

    def call_in(self, host: Host) -> SimConnection:
        """The host dials this one; returns this end, not yet adopted."""
        theirs = SimConnection(self.network, host, self.me)
        ours = SimConnection(self.network, self.me, host)
        ours.other, theirs.other = theirs, ours
        return ours


def simulate(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test in virtual time."""

    def in_virtual_time() -> None:
        async def main() -> None:
            await test()

        run(main())

    in_virtual_time.__name__ = getattr(test, "__name__", "test")
    return in_virtual_time
