# SPDX-License-Identifier: MIT
"""What dialling is made of, as protocols: the manager sees these and never iroh."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from blixard.model.addresses import SocketAddress
    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId
    from blixard.model.tickets import Ticket
    from blixard.peers.status import PathKind

# Why the manager closes a connection: what it hands to `Connection.close`.
DUPLICATE = "duplicate"
"""Another connection of the same pair stays."""
REMOVED = "removed"
"""The peer is no longer one."""
STOPPED = "stopped"
"""This node is stopping."""

NOWHERE = "there is no address to dial, or none but the peer itself names one and it was met at none"
"""The message of a dial that was not made."""

DIAL_ERRORS = (
    *("timeout", "unreachable", "wrong_id", "wrong_alpn", "wrong_cluster", "wrong_node_id", "refused", "closed"),
    *("bad_address", "too_slow", "local"),
)
"""Every kind of DialError."""

REFUSALS = frozenset({"refused", "wrong_cluster", "wrong_node_id"})
"""Kinds of DialError with which a peer that is alive says no. They slow dialling down, but open no breaker."""


class DialError(Exception):
    """A dial that came to nothing.

    Args:
        kind: `timeout`, `unreachable`, `wrong_id` (another iroh node answered), `wrong_alpn`, `wrong_cluster`,
            `wrong_node_id` (the right iroh node, under another node id than its entry says), `refused`,
            `closed`, `bad_address`, `too_slow` or `local`.
        message: one line for people.
        local: the cause is on this machine (no socket, no descriptor, no network), so that it says nothing
            about the peer.
    """

    def __init__(self, kind: str, message: str, *, local: bool | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.local = kind == "local" if local is None else local

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Stream(Protocol):
    """A bidirectional stream of frames within a connection. Either end may have opened it."""

    async def send(self, frame: bytes) -> None:
        """Send one frame; returns when the transport has taken it.

        Raises:
            DialError: `closed`, the stream or its connection has ended.
        """
        ...

    async def receive(self, *, most: int) -> bytes | None:
        """Return the next frame; None when the other end has sent its last one.

        Raises:
            InputError: a frame is longer than `most` bytes, or is cut.
            DialError: `closed`, the stream or its connection has ended.
        """
        ...

    async def finish(self) -> None:
        """Say that no more frames come from this end; what was sent still arrives."""
        ...

    async def abort(self) -> None:
        """End the stream in both directions at once."""
        ...


class Connection(Protocol):
    """A live connection to a peer whose endpoint id the handshake has proved."""

    @property
    def endpoint_id(self) -> EndpointId:
        """The peer, as the handshake proved it."""
        ...

    @property
    def node_id(self) -> int | None:
        """What the peer says its node id is; None from a stranger."""
        ...

    @property
    def admitted(self) -> bool:
        """Whether the peer lets this node in."""
        ...

    @property
    def path(self) -> PathKind | None:
        """The way in use now, None while that is not known."""
        ...

    @property
    def rtt_ms(self) -> float | None:
        """Round-trip time of the last answered ping, in milliseconds; None before the first."""
        ...

    @property
    def remote(self) -> str | None:
        """The peer's `ip:port`, which the handshake has proved; None over a relay."""
        ...

    @property
    def protocols(self) -> Set[str]:
        """The protocols for which both ends open streams, beside the hello."""
        ...

    async def open_stream(self, protocol: str) -> Stream:
        """Open a stream to the peer's handler of one of `protocols`; at most four at once are taken there.

        Raises:
            DialError: `closed`, the connection has ended.
        """
        ...

    def beat_every(self, seconds: float) -> None:
        """Notice the peer's silence after 2.6 times so long; the default is 5 s."""
        ...

    async def closed(self) -> str:
        """Wait until it is closed by either side or lost; return why. May be awaited by several, also late."""
        ...

    def close(self, reason: str) -> None:
        """Close it; a second call does nothing. `reason` reaches the peer."""
        ...

    async def ping(self, timeout: float) -> float:
        """Return the round trip in milliseconds; raises DialError after `timeout` seconds without an answer."""
        ...


StreamHandler = Callable[[Connection, Stream], Awaitable[None]]
"""Serves one stream that a peer has opened; what it raises of InputError, TimeLimit and DialError ends the stream."""


class Dialler(Protocol):
    """Makes connections."""

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> Connection:
        """Connect to `peer` at the addresses in it, within `timeout` seconds. May be cancelled.

        Raises:
            DialError: of one of its kinds.
        """
        ...


class AddressProber(Protocol):
    """Finds out who answers at one address, apart from all others."""

    async def probe(self, address: SocketAddress, endpoint_id: EndpointId, *, timeout: float) -> bool:
        """Tell whether `endpoint_id` answers at `address`: True it does, False another iroh node does.

        Each call must use an endpoint of its own: iroh remembers a wrong answer for the whole endpoint.

        Raises:
            DialError: nobody answered within `timeout` seconds, or the probe could not be made.
        """
        ...


class Introducer(Protocol):
    """Asks an endpoint known from a ticket who it is, since a ticket has no node id."""

    async def introduce(self, ticket: Ticket, *, timeout: float) -> DiscoveredPeer:
        """Dial the ticket's endpoint, exchange hellos, and return it as a peer.

        Raises:
            DialError: it cannot be reached, refuses, or does not say its node id.
        """
        ...
