# SPDX-License-Identifier: MIT
"""Floods of callers: endpoints on one host that take a node's places, and an honest caller in the midst of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

import iroh
from tests.attacks.callers import CLUSTER, Caller, Victim, callers, target_of, victims
from tests.integration.nodes import Node

from blixard.clock import SystemClock
from blixard.dialling.protocols import DialError
from blixard.documents.registry_file import read_registry
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.transport.connector import Connector, bind_endpoint
from blixard.transport.hello import DISCOVERY_ALPN, Hello, encode
from blixard.trust.keys import SecretKey

ENDPOINTS = 50
HELD = 8
"""Connections that one endpoint holds open: 400 in all, more than a node has places."""
PAUSE = 0.1
"""Seconds between two calls of one endpoint: 500 calls a second in all."""
LONGEST = 60.0
"""Seconds after which a flood ends by itself."""

Misdeed = Callable[[Caller, int], Awaitable[iroh.Connection]]


async def say_nothing(caller: Caller, _: int) -> iroh.Connection:
    """Finish the handshake, and that is all."""
    return await caller.connect()


async def say_half_a_hello(caller: Caller, _: int) -> iroh.Connection:
    """Begin a hello."""
    connection = await caller.connect()
    stream = await connection.open_bi()
    await stream.send().write_all(encode(Hello(cluster=CLUSTER, node_id=1, entry=None))[:20])
    caller.streams.append(stream)
    return connection


async def hold_a_check(caller: Caller, number: int) -> iroh.Connection:
    """Open a check with a good entry, and never end it."""
    connection, _ = await caller.say(caller.entry(number, [caller.address]), "check")
    return connection


async def come_as_a_guest(caller: Caller, number: int) -> iroh.Connection:
    """Say a valid hello."""
    connection, _ = await caller.say(caller.entry(number, [caller.address]))
    return connection


async def open_many_streams(caller: Caller, _: int) -> iroh.Connection:
    """Fill streams that nobody reads."""
    connection = await caller.connect()
    for _ in range(8):
        stream = await connection.open_uni()
        await stream.write(b"x" * 65536)
        caller.streams.append(stream)
    return connection


MISDEEDS: dict[str, Misdeed] = {
    "silent": say_nothing,
    "half a hello": say_half_a_hello,
    "held checks": hold_a_check,
    "guests": come_as_a_guest,
    "streams": open_many_streams,
}


@dataclass
class Flood:
    """What the flooders have done so far."""

    calls: int = 0
    held: set[iroh.Connection] = field(default_factory=set)
    is_on: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def flood(node: Node, host: str, misdeed: Misdeed, *, enough: int = 300) -> AsyncIterator[Flood]:
    """Flood a node from one host while the context lasts; it begins when `enough` calls were made."""
    state = Flood()
    async with callers(node, host, ENDPOINTS) as flooders:
        tasks = [
            asyncio.create_task(_keep_calling(each, 1000 + n, misdeed, state, enough))
            for n, each in enumerate(flooders)
        ]
        try:
            await asyncio.wait_for(state.is_on.wait(), LONGEST)
            yield state
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for connection in state.held:
                connection.close(0, b"over")


async def _keep_calling(caller: Caller, number: int, misdeed: Misdeed, state: Flood, enough: int) -> None:
    held: deque[iroh.Connection] = deque()
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        state.calls += 1
        if state.calls >= enough:
            state.is_on.set()
        with contextlib.suppress(iroh.IrohError, asyncio.TimeoutError, ValueError):
            held.append(await asyncio.wait_for(misdeed(caller, number), 5.0))
            state.held.add(held[-1])
        if len(held) > HELD:
            oldest = held.popleft()
            oldest.close(0, b"next")
            state.held.discard(oldest)
        await asyncio.sleep(PAUSE)


async def first_packets(node: Node, host: str, count: int) -> list[bytes]:
    """Return the first packets of so many handshakes with a node, caught on the way."""
    target = target_of(node)
    async with victims(host, count) as traps:

        async def catch(trap: Victim) -> bytes:
            endpoint = await bind_endpoint(SecretKey.generate(), f"{host}:0")
            diverted = iroh.EndpointAddr(target.id(), None, [trap.address])
            with contextlib.suppress(iroh.IrohError, asyncio.TimeoutError):
                await asyncio.wait_for(endpoint.connect(diverted, DISCOVERY_ALPN), 0.5)
            await endpoint.close()
            return trap.kept[0]

        caught: list[bytes] = []
        for start in range(0, count, 20):
            caught += await asyncio.gather(*(catch(trap) for trap in traps[start : start + 20]))
        return caught


async def admission_of(
    node: Node, key: SecretKey, entry: Callable[[str], NodeRegistryEntry], *, host: str, within: float
) -> float:
    """Call a node as an honest one does, again and again until it is let in; return the seconds that this took.

    Raises:
        TimeoutError: it was not, `within` so many seconds.
    """
    endpoint = await bind_endpoint(key, f"{host}:0")
    try:
        mine = entry(host)
        connector = Connector(
            endpoint,
            lambda purpose: Hello(cluster=CLUSTER, node_id=mine.cluster_node_id, entry=mine, purpose=purpose),
            clock=SystemClock(),
        )
        peer = DiscoveredPeer.from_entry(
            read_registry(node.registry), "static", datetime(2026, 1, 1, tzinfo=timezone.utc)
        )
        started = time.monotonic()
        while True:
            try:
                link = await connector.dial(peer, timeout=10.0)
            except DialError:
                if time.monotonic() - started > within:
                    raise TimeoutError(f"not let in within {within:g} s") from None
                await asyncio.sleep(0.25)
                continue
            seconds = time.monotonic() - started
            link.close("done")
            return seconds
    finally:
        await endpoint.close()
