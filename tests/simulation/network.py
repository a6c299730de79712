# SPDX-License-Identifier: MIT
"""A seeded network of hosts that the real manager dials: latency, dead hosts, cuts, impostors, moves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.simulation.virtual_time import START_WALL, VirtualClock

from blixard.clock import TimeLimit
from blixard.dialling.protocols import DialError, StreamHandler
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.peers.status import PathKind
from blixard.trust.keys import SecretKey

BEATS_GIVE_UP = 15.0
"""Seconds after which a connection without beats is given up, as the agent's are."""

POISONED = 60.0
"""Seconds for which iroh fails for a peer after another node answered at one of its addresses (measured)."""


def endpoint(seed: int, number: int) -> EndpointId:
    """Return the endpoint id of host `number`, the same in every run."""
    return SecretKey.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()).public()


class SimStream:
    """One end of a stream whose frames take their time, and are lost with the way between the hosts."""

    def __init__(self, connection: SimConnection) -> None:
        self._connection = connection
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: SimStream | None = None

    async def send(self, frame: bytes) -> None:
        self._deliver(frame)

    async def receive(self, *, most: int) -> bytes | None:
        frame = asyncio.ensure_future(self._frames.get())
        ended = asyncio.ensure_future(self._connection.closed())
        try:
            await asyncio.wait({frame, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not frame.done():
                raise DialError("closed", ended.result())
            content = frame.result()
        finally:
            frame.cancel()
            ended.cancel()
        if content is not None and len(content) > most:
            raise InputError(f"a frame of {len(content)} bytes, more than {most}")
        return content

    async def finish(self) -> None:
        self._deliver(None)

    async def abort(self) -> None:
        self._deliver(None)

    def _deliver(self, frame: bytes | None) -> None:
        assert self.other is not None
        self._connection.carry(self.other._frames.put_nowait, frame)


class SimConnection:
    """One end of a connection."""

    def __init__(self, network: Network, here: Host, there: Host) -> None:
        self.endpoint_id = there.endpoint_id
        self.node_id: int | None = there.node_id
        self.admitted = True
        self.path: PathKind | None = "direct"
        self.rtt_ms: float | None = 1.0
        self.remote: str | None = there.address
        self.other: SimConnection | None = None
        self.protocols = frozenset(here.handlers) & frozenset(there.handlers)
        self.here = here
        self.there = there
        self.made_at = network.clock.now()
        self._network = network
        self._free_at = 0.0
        self._serving: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        here.ends[self] = None

    @property
    def is_live(self) -> bool:
        return not self._ended.done()

    async def closed(self) -> str:
        return await asyncio.shield(self._ended)

    def close(self, reason: str) -> None:
        if not self.is_live:
            return
        self.end(reason)
        if self.other is not None and self.other.is_live and self._network.can_reach(self.here, self.there):
            self._network.later(self._network.latency(), self.other.end, f"closed by peer: {reason}")

    def end(self, reason: str) -> None:
        """This end is over; the other one misses its beats, if it does not hear of it sooner."""
        if self.is_live:
            self._ended.set_result(reason)
            self.here.ends.pop(self, None)
            if self.other is not None and self.other.is_live:
                self._network.later(self._network.patience(), self.other.end, "no beats")

    async def ping(self, timeout: float) -> float:
        if not self._network.can_reach(self.here, self.there):
            await asyncio.sleep(timeout)
            raise DialError("timeout", "no answer to a ping")
        return 1.0

    def beat_every(self, seconds: float) -> None:
        """Beats are the network's `patience`."""

    async def open_stream(self, protocol: str) -> SimStream:
        if not self.is_live or self.other is None:
            raise DialError("closed", "it has ended")
        ours, theirs = SimStream(self), SimStream(self.other)
        ours.other, theirs.other = theirs, ours
        self.carry(self.other.serve, protocol, theirs)
        return ours

    def carry(self, call: Callable[..., object], *args: object) -> None:
        """Do something at the other end, if the packets get there; in the order in which it was sent."""
        if self._network.can_reach(self.here, self.there):
            now = self._network.clock.now()
            self._free_at = max(self._free_at, now + self._network.latency())
            self._network.later(self._free_at - now, call, *args)

    def serve(self, protocol: str, stream: SimStream) -> None:
        """Hand a stream that the other end has opened to its handler here."""
        if self.is_live:
            self._serving.add(task := asyncio.ensure_future(self._serve(self.here.handlers[protocol], stream)))
            task.add_done_callback(self._serving.discard)

    async def _serve(self, handler: StreamHandler, stream: SimStream) -> None:
        try:
            await handler(self, stream)
        except (DialError, InputError, TimeLimit):
            await stream.abort()


@dataclass(eq=False)
class Host:
    """One machine with one node."""

    node_id: int
    endpoint_id: EndpointId
    address: str
    is_up: bool = True
    fails_fast: bool = False
    """Whether dials of it fail at once while it is down, instead of running into their time limit."""
    side: int = 0
    """Hosts reach each other only on the same side of a cut."""
    arrived: Callable[[SimConnection], bool] = lambda _: True
    """Takes the inbound end; False when it closed it."""
    lets_in: Callable[[EndpointId], bool] = lambda _: True
    handlers: dict[str, StreamHandler] = field(default_factory=dict)
    """Serve the streams that peers open, by protocol."""
    ends: dict[SimConnection, None] = field(default_factory=dict)
    up_since: float = 0.0


class Network:
    """All hosts, who answers where, and what has happened."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = VirtualClock()
        self.hosts: dict[EndpointId, Host] = {}
        self.at: dict[str, Host] = {}
        self.poisoned: dict[tuple[EndpointId, EndpointId], float] = {}
        self.in_flight: dict[EndpointId, int] = {}
        self.most_in_flight = 0
        self.dials: list[tuple[float, EndpointId, EndpointId]] = []
        self.seed = seed

    def add(self, node_id: int) -> Host:
        """Add a host that answers at an address of its own."""
        host = Host(node_id, endpoint(self.seed, node_id), f"10.{node_id >> 8 & 255}.{node_id & 255}.1:7001")
        host.up_since = self.clock.now()
        self.hosts[host.endpoint_id] = self.at[host.address] = host
        return host

    def peer(self, host: Host, *more: str) -> DiscoveredPeer:
        """Return what a source that knows the host's address says of it."""
        return DiscoveredPeer(host.node_id, host.endpoint_id.base64, (host.address, *more), None, "static", START_WALL)

    def latency(self) -> float:
        """Return the seconds of one way through the network."""
        return self.rng.uniform(0.0005, 0.05)

    def patience(self) -> float:
        """Return the seconds until missing beats end a connection."""
        return BEATS_GIVE_UP * self.rng.uniform(0.7, 1.0)

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        """Do something in a while."""
        asyncio.get_running_loop().call_later(seconds, call, *args)

    def can_reach(self, one: Host, other: Host) -> bool:
        """Tell whether packets pass between two hosts."""
        return one.is_up and other.is_up and one.side == other.side

    def crash(self, host: Host) -> None:
        """The host is gone at once; its peers notice by the missing beats."""
        host.is_up = False
        for end in tuple(host.ends):
            end.end("crashed")

    def restore(self, host: Host) -> None:
        """The host is back, without its old connections."""
        host.is_up = True
        host.up_since = self.clock.now()

    def cut(self, sides: dict[Host, int]) -> None:
        """Divide the network; connections across the cut die when their beats are missed, unless it heals before."""
        for host, side in sides.items():
            host.side = side
        for host in sides:
            for end in tuple(host.ends):
                if not self.can_reach(end.here, end.there):
                    self.later(self.patience(), self._give_up, end)

    def heal(self) -> None:
        """All hosts are on one side again."""
        for host in self.hosts.values():
            host.side = 0

    def move(self, host: Host, address: str) -> None:
        """The host answers at another address from now on; its connections break."""
        if self.at.get(host.address) is host:
            del self.at[host.address]
        host.address = address
        self.at[address] = host
        for end in tuple(host.ends):
            end.close("moved")

    def _give_up(self, end: SimConnection) -> None:
        if not self.can_reach(end.here, end.there):
            end.end("no beats")


class SimDialler:
    """Dials for one host, as iroh would."""

    def __init__(self, network: Network, host: Host) -> None:
        self._network = network
        self._host = host
        self.has_socket = True

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
        network, here = self._network, self._host
        key = here.endpoint_id
        network.dials.append((network.clock.now(), key, peer.endpoint_id))
        network.in_flight[key] = network.in_flight.get(key, 0) + 1
        network.most_in_flight = max(network.most_in_flight, network.in_flight[key])
        try:
            return await self._reach(peer, timeout)
        finally:
            network.in_flight[key] -= 1

    async def _reach(self, peer: DiscoveredPeer, timeout: float) -> SimConnection:
        network, here = self._network, self._host
        if not self.has_socket:
            raise DialError("local", "no descriptor left")
        answering = [network.at[a] for a in peer.direct_addresses if a in network.at]
        reachable = [host for host in answering if network.can_reach(here, host)]
        await asyncio.sleep(2 * network.latency())
        poisoned_until = network.poisoned.get((here.endpoint_id, peer.endpoint_id), 0.0)
        if any(h.endpoint_id != peer.endpoint_id for h in reachable):
            network.poisoned[here.endpoint_id, peer.endpoint_id] = network.clock.now() + POISONED
            raise DialError("wrong_id", "another node answers at one of its addresses")
        if reachable and network.clock.now() < poisoned_until:
            raise DialError("wrong_id", "another node answered at one of its addresses a while ago")
        if not reachable or not network.can_reach(here, reachable[0]):
            await asyncio.sleep(0.0 if any(h.fails_fast for h in answering) else timeout)
            raise DialError("unreachable" if any(h.fails_fast for h in answering) else "timeout", "no answer")
        return self._shake_hands(reachable[0])

    def _shake_hands(self, there: Host) -> SimConnection:
        if not there.lets_in(self._host.endpoint_id):
            raise DialError("refused", "unknown: not known here")
        ours = SimConnection(self._network, self._host, there)
        theirs = SimConnection(self._network, there, self._host)
        ours.other, theirs.other = theirs, ours
        # The acceptor has its end first, the dialler hears of it one way later.
        there.arrived(theirs)
        return ours


class SimProber:
    """Probes single addresses for one host."""

    def __init__(self, network: Network, host: Host) -> None:
        self._network = network
        self._host = host
        self.probes: list[str] = []
        self.found_at: list[float] = []

    async def probe(self, address: SocketAddress, endpoint_id: EndpointId, *, timeout: float) -> bool:
        self.probes.append(str(address))
        await asyncio.sleep(2 * self._network.latency())
        answering = self._network.at.get(str(address))
        if answering is None or not self._network.can_reach(self._host, answering):
            await asyncio.sleep(timeout)
            raise DialError("timeout", "no answer")
        if answering.endpoint_id != endpoint_id:
            return False
        self.found_at.append(self._network.clock.now())
        return True
