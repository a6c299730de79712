# SPDX-License-Identifier: MIT
"""Callers who mean no good, and victims: real endpoints and sockets on loopback, bounded in number and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import iroh
from tests.integration.nodes import Node

from blixard.agent.own_entry import key_path
from blixard.model.entry import NodeRegistryEntry
from blixard.transport.connector import bind_endpoint, bound_port
from blixard.transport.hello import DISCOVERY_ALPN, MAX_HELLO_BYTES, Hello, Purpose, Welcome, decode_welcome, encode
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey, read_secret_key

CLUSTER = "blixard"


class Victim(asyncio.DatagramProtocol):
    """A UDP socket that never answers and counts what it gets."""

    def __init__(self) -> None:
        self.datagrams = 0
        self.received = 0
        self.address = ""
        self.kept: list[bytes] = []
        self.transport: asyncio.DatagramTransport | None = None

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send from here, as somebody else can who forges this address."""
        assert self.transport is not None
        self.transport.sendto(data, (host, port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.datagrams += 1
        self.received += len(data)
        self.kept = [*self.kept[-7:], data]


@contextlib.asynccontextmanager
async def victims(host: str, count: int) -> AsyncIterator[list[Victim]]:
    """So many sockets on one host."""
    loop = asyncio.get_running_loop()
    made: list[Victim] = []
    transports = []
    try:
        for _ in range(count):
            transport, victim = await loop.create_datagram_endpoint(Victim, local_addr=(host, 0))
            victim.address = "{}:{}".format(*transport.get_extra_info("sockname"))
            victim.transport = transport
            transports.append(transport)
            made.append(victim)
        yield made
    finally:
        for transport in transports:
            transport.close()


@dataclass
class Caller:
    """An endpoint with a key that says what it likes."""

    key: SecretKey
    endpoint: iroh.Endpoint
    target: iroh.EndpointAddr
    host: str
    sent: int = 0
    streams: deque[object] = field(default_factory=lambda: deque(maxlen=64))
    """Streams that are left open: one that is let go of ends."""

    @property
    def address(self) -> str:
        """Where it really is."""
        return f"{self.host}:{bound_port(self.endpoint, ipv6=False)}"

    def entry(
        self, node_id: int, addresses: Sequence[str], *, now: datetime | None = None, relay_url: str | None = None
    ) -> NodeRegistryEntry:
        """What it signs about itself: the later `now`, the higher the number."""
        entry = NodeRegistryEntry(node_id, self.key.public().base64, tuple(addresses), relay_url, addresses[0])
        return attest(entry, self.key, cluster=CLUSTER, now=now or datetime.now(timezone.utc))

    async def connect(self) -> iroh.Connection:
        """Finish a handshake and say nothing."""
        return await self.endpoint.connect(self.target, DISCOVERY_ALPN)

    async def say(self, entry: NodeRegistryEntry | None, purpose: Purpose = "mesh") -> tuple[iroh.Connection, Welcome]:
        """Say hello and hear the answer."""
        node_id = entry.cluster_node_id if entry is not None else None
        return await self.say_bytes(encode(Hello(cluster=CLUSTER, node_id=node_id, entry=entry, purpose=purpose)))

    async def say_bytes(self, hello: bytes) -> tuple[iroh.Connection, Welcome]:
        """Say these very bytes and hear the answer."""
        connection = await self.connect()
        stream = await connection.open_bi()
        await stream.send().write_all(hello)
        await stream.send().finish()
        return connection, decode_welcome(await stream.recv().read_to_end(MAX_HELLO_BYTES))

    async def leave(self, connection: iroh.Connection) -> None:
        """End a connection, and add up what was sent over it."""
        connection.close(0, b"bye")
        await connection.closed()
        self.sent += connection.stats().udp_tx_bytes


@contextlib.asynccontextmanager
async def callers(node: Node, host: str, count: int, *, key: SecretKey | None = None) -> AsyncIterator[list[Caller]]:
    """So many endpoints on one host, each with a key of its own (or the only one with `key`)."""
    target = target_of(node)
    made: list[Caller] = []
    try:
        for _ in range(count):
            own = key or SecretKey.generate()
            made.append(Caller(own, await bind_endpoint(own, f"{host}:0"), target, host))
        yield made
    finally:
        await asyncio.gather(*(each.endpoint.close() for each in made))


def target_of(node: Node) -> iroh.EndpointAddr:
    """How a node is dialled."""
    endpoint_id = read_secret_key(key_path(node.data_dir)).public()
    return iroh.EndpointAddr(iroh.EndpointId.from_bytes(endpoint_id.raw), None, [f"127.0.0.1:{node.port}"])
