# SPDX-License-Identifier: MIT
"""A party: a real Iroh endpoint on loopback that dials, answers hellos and keeps who came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

import iroh

from blixard.clock import SystemClock
from blixard.dialling.protocols import StreamHandler
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.transport.acceptor import Acceptor
from blixard.transport.connection import IrohConnection
from blixard.transport.connector import Connector, bind_endpoint, bound_port
from blixard.transport.hello import Hello, Purpose, Welcome
from blixard.transport.streams import NO_HANDLERS
from blixard.trust.keys import SecretKey

Judge = Callable[[Hello, EndpointId], Welcome]
Handlers = Mapping[str, StreamHandler]


def welcome_all(_: Hello, __: EndpointId) -> Welcome:
    """Let everyone in."""
    return Welcome(admitted=True, cluster="test")


@dataclass
class Party:
    """An endpoint that dials, answers hellos, and keeps the connections of those who came."""

    key: SecretKey
    endpoint: iroh.Endpoint
    connector: Connector
    arrived: asyncio.Queue[IrohConnection] = field(default_factory=asyncio.Queue)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{bound_port(self.endpoint, ipv6=False)}"

    def as_peer(self, *addresses: str, node_id: int = 1) -> DiscoveredPeer:
        """Return it as others know it, at its own address or at others."""
        when = datetime(2026, 1, 1, tzinfo=timezone.utc)
        at = addresses or (self.address,)
        return DiscoveredPeer(node_id, self.key.public().base64, at, None, "static", when)


class StartParty(Protocol):
    """Starts a party that is closed after the test."""

    async def __call__(
        self, judge: Judge = welcome_all, *, key: SecretKey | None = None, handlers: Handlers = NO_HANDLERS
    ) -> Party: ...


@contextlib.asynccontextmanager
async def party(judge: Judge, key: SecretKey, handlers: Handlers = NO_HANDLERS) -> AsyncIterator[Party]:
    endpoint = await bind_endpoint(key, "127.0.0.1:0")

    def hello(purpose: Purpose) -> Hello:
        return Hello(cluster="test", node_id=None, entry=None, purpose=purpose)

    clock = SystemClock()
    party = Party(key, endpoint, Connector(endpoint, hello, clock=clock, handlers=handlers))
    acceptor = Acceptor(endpoint, judge, lambda came, _: party.arrived.put_nowait(came), clock=clock, handlers=handlers)
    serving = asyncio.create_task(acceptor.serve())
    try:
        yield party
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await endpoint.close()
