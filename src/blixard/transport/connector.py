# SPDX-License-Identifier: MIT
"""Reaching peers over Iroh: bind, dial, and the hello that follows."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import iroh
import iroh.iroh_ffi

from blixard.dialling.protocols import NOWHERE, DialError
from blixard.errors import InputError, one_line
from blixard.model.entry import DiscoveredPeer
from blixard.model.words import how_to_bind
from blixard.transport.connection import IrohConnection, path_of
from blixard.transport.hello import (
    DISCOVERY_ALPN,
    MAX_HELLO_BYTES,
    Hello,
    Purpose,
    Welcome,
    decode_welcome,
    encode,
    spoken,
    turned_away,
)
from blixard.transport.streams import NO_HANDLERS, StreamGate
from blixard.trust.keys import SecretKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from blixard.clock import Clock
    from blixard.dialling.protocols import StreamHandler
    from blixard.model.addresses import SocketAddress
    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId
    from blixard.model.tickets import Ticket
    from blixard.peers.status import PathKind

log = logging.getLogger("blixard.transport")

_ALL_IPV4, _ALL_IPV6 = "0.0.0.0:", "[::]:"


_SYSTEM_ERROR = re.compile(r"\(os error ([0-9]{1,4})\)")


async def bind_endpoint(key: SecretKey, bind: str, *, relays: Sequence[str] | None = ()) -> iroh.Endpoint:
    """Bind an Iroh endpoint that speaks `blixard/discovery/1`.

    An unspecified address of either family, with a port, is bound in both families where that can be had.
    No preset of the n0 network is used: it would publish this node's addresses to a public DNS.

    Args:
        key: of the endpoint. A relay knows one endpoint a key: a second one takes the place of the first.
        bind: `ip:port`.
        relays: URLs of those through which this endpoint can be reached. Peers are dialled over their own relays too,
            with none here as well; with None over none at all.

    Raises:
        InputError: the address or port cannot be bound.
    """
    iroh.iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())  # type: ignore[arg-type]
    other = _other_family(bind)
    if other is not None:
        # It may be taken, or there may be no IPv6: then the node does with the family that was asked for.
        with contextlib.suppress(iroh.IrohError):
            return await _bind(key, bind, relays, _AlsoAt(other))
    try:
        endpoint = await _bind(key, bind, relays, iroh.preset_minimal())
    except iroh.IrohError as error:
        reason = _last_line(error)
        code = _SYSTEM_ERROR.search(reason)
        mend = how_to_bind(int(code[1]) if code else None, "--bind", "ss -lunp")
        raise InputError(f"cannot bind {bind}: {reason}", place="/bind", mend=mend) from None
    if other is not None:
        log.warning("cannot bind the other IP family too, peers are not told of it", extra={"bind": other})
    return endpoint


class _AlsoAt(iroh.Preset):
    """The minimal preset, bound at a second address too: by itself iroh takes a random port in the other family."""

    def __init__(self, bind: str) -> None:
        self._bind = bind

    def apply(self, builder: iroh.EndpointBuilder) -> None:
        builder.apply_minimal()
        builder.bind_addr(self._bind)


def _other_family(bind: str) -> str | None:
    """Return where an endpoint that is to listen everywhere listens besides; None where a random port will do."""
    for one, other in ((_ALL_IPV4, _ALL_IPV6), (_ALL_IPV6, _ALL_IPV4)):
        if bind.startswith(one) and bind != f"{one}0":
            return other + bind.removeprefix(one)
    return None


async def _bind(key: SecretKey, bind: str, relays: Sequence[str] | None, preset: iroh.Preset) -> iroh.Endpoint:
    relay = iroh.RelayMode.disabled() if relays is None else iroh.RelayMode.custom_from_urls([*relays])
    options = iroh.EndpointOptions(
        preset=preset, relay_mode=relay, bind_addr=bind, secret_key=key.to_bytes(), alpns=[DISCOVERY_ALPN]
    )
    return await iroh.Endpoint.bind(options)


def bound_ports(endpoint: iroh.Endpoint, bind: str) -> dict[int, int]:
    """Return the UDP ports that the endpoint really has, by IP version, as far as `bind` asks for them.

    An unspecified address asks for both families; one whose port is not the one that was asked for is left out.
    """
    ports = {6 if each.startswith("[") else 4: int(each.rpartition(":")[2]) for each in endpoint.bound_sockets()}
    if not bind.startswith((_ALL_IPV4, _ALL_IPV6)):
        version = 6 if bind.startswith("[") else 4
        return {version: ports[version]}
    wanted = int(bind.rpartition(":")[2])
    return {version: port for version, port in ports.items() if wanted in (0, port)}


def bound_port(endpoint: iroh.Endpoint, ipv6: bool) -> int:
    """Return the UDP port that the endpoint really has, for the address family that was asked for."""
    socket = next(s for s in endpoint.bound_sockets() if s.startswith("[") == ipv6)
    return int(socket.rpartition(":")[2])


def _last_line(error: iroh.IrohError) -> str:
    return one_line((error.message().strip().splitlines() or ["no reason given"])[-1].strip())


# What iroh says, and what it means to the one who must act. The first that fits counts.
_KINDS = (
    ("UnknownIssuer", "wrong_id", "another node answers at one of its addresses"),
    ("error 120", "wrong_alpn", "it runs, but speaks another protocol"),
    ("timed out", "timeout", "no answer"),
    ("No addressing information", "bad_address", "there is no address to dial"),
    ("Connecting to ourself", "local", "this is the node itself"),
    ("invalid socket address", "bad_address", "one of its addresses is no address"),
)


def _dial_error(error: iroh.IrohError) -> DialError:
    """Translate what iroh says about a failed dial."""
    text = error.message()
    for sign, kind, meaning in _KINDS:
        if sign in text:
            return DialError(kind, meaning)
    if error.is_kind(iroh.IrohErrorKind.CLOSED):
        return DialError("local", "this node's own endpoint is closed")
    return DialError("unreachable", _last_line(error))


@dataclass(frozen=True)
class _Met:
    """A peer that has answered the hello, and how long that took."""

    quic: iroh.Connection
    gate: StreamGate
    protocols: Set[str]
    welcome: Welcome
    hello_ms: float

    def part(self, reason: str) -> None:
        """End the connection; the peer is told `reason`."""
        with contextlib.suppress(iroh.IrohError):
            self.quic.close(0, reason.encode())


@dataclass(frozen=True)
class Probed:
    """What a check learns of a peer that was reached. `refusal`: why the peer does not admit this node."""

    admitted: bool
    refusal: str | None
    path: PathKind | None
    rtt_ms: float


class Connector:
    """Dials peers from one endpoint. It implements the manager's `Dialler` and the check's `Prober`."""

    def __init__(
        self,
        endpoint: iroh.Endpoint,
        hello: Callable[[Purpose], Hello],
        *,
        clock: Clock,
        learned: Callable[[NodeRegistryEntry], None] = lambda _: None,
        handlers: Mapping[str, StreamHandler] = NO_HANDLERS,
    ) -> None:
        """Take what it says and who listens.

        Args:
            endpoint: dials.
            hello: gives this node's hello as it is now.
            clock: times the hello, pings and silence.
            learned: is told what a peer says about itself.
            handlers: serve the streams that peers open, by protocol.
        """
        self._endpoint = endpoint
        self._clock = clock
        self._learned = learned
        self._hello = hello
        self._handlers = handlers

    def relay_connections(self) -> int:
        """Return how many relays the endpoint is connected to: its own, and those over which it met peers.

        With none, nobody reaches it over its own relay, for certain: iroh does not tell which of them it is.
        """
        counts = self._endpoint.stats()
        return counts["socket:relay_conns_success"].value - counts["socket:relay_conns_closed"].value

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> IrohConnection:
        """Connect to `peer` for the mesh.

        Raises:
            DialError: it was not reached in `timeout` seconds, or does not let this node in.
        """
        met = await self._reach(peer, "mesh", timeout)
        welcome = met.welcome
        if not welcome.admitted:
            met.part("not admitted")
            raise turned_away(welcome.reason)
        connection = IrohConnection(
            met.quic,
            peer.endpoint_id,
            outgoing=True,
            node_id=welcome.node_id,
            admitted=True,
            clock=self._clock,
            hello_ms=met.hello_ms,
            protocols=met.protocols,
        )
        if welcome.entry is not None and welcome.entry.endpoint_id == peer.endpoint_id:
            self._learned(welcome.entry)
        connection.start(met.gate, self._handlers)
        return connection

    async def probe(self, peer: DiscoveredPeer, *, timeout: float) -> Probed:
        """Connect to `peer` for a check and part again; being turned away is an answer here, not an error.

        Raises:
            DialError: it was not reached in `timeout` seconds.
        """
        met = await self._reach(peer, "check", timeout)
        path = path_of(met.quic)
        met.part("check done")
        return Probed(met.welcome.admitted, met.welcome.reason, path, met.hello_ms)

    async def introduce(self, ticket: Ticket, *, timeout: float) -> DiscoveredPeer:
        """Ask the endpoint of `ticket` for its entry, which it signs itself; a ticket has no node id.

        Raises:
            DialError: it was not reached, or says no.
        """
        met = await self._connect(ticket.endpoint_id, ticket.relay_url, ticket.direct_addresses, "mesh", timeout)
        met.part("introduced")
        welcome = met.welcome
        if not welcome.admitted:
            raise turned_away(welcome.reason)
        if welcome.entry is None or welcome.entry.endpoint_id != ticket.endpoint_id:
            raise DialError("refused", "it does not say which node it is")
        return DiscoveredPeer.from_entry(welcome.entry, "join", datetime.now(timezone.utc))

    async def _reach(self, peer: DiscoveredPeer, purpose: Purpose, timeout: float) -> _Met:
        met = await self._connect(peer.endpoint_id, peer.relay_url, peer.socket_addresses, purpose, timeout)
        if met.welcome.node_id not in (None, peer.node_id):
            message = f"answers as node {met.welcome.node_id}, its entry says node {peer.node_id}"
            met.part("wrong node id")
            raise DialError("wrong_node_id", message)
        return met

    async def _connect(
        self,
        endpoint_id: EndpointId,
        relay_url: str | None,
        addresses: Sequence[SocketAddress],
        purpose: Purpose,
        timeout: float,
    ) -> _Met:
        direct = [str(address) for address in addresses]
        if not direct and relay_url is None:
            # iroh would dial where it has met the peer before.
            raise DialError("bad_address", NOWHERE)
        remote = iroh.EndpointAddr(iroh.EndpointId.from_bytes(endpoint_id.raw), relay_url, direct)
        try:
            return await asyncio.wait_for(self._shake_hands(remote, purpose), timeout)
        except asyncio.TimeoutError:
            where = ", ".join([*direct, *([relay_url] if relay_url else [])])
            raise DialError("timeout", f"no answer at {where} in {timeout:.1f} s") from None
        except iroh.IrohError as error:
            raise _dial_error(error) from None

    async def _shake_hands(self, remote: iroh.EndpointAddr, purpose: Purpose) -> _Met:
        quic = await self._endpoint.connect(remote, DISCOVERY_ALPN)
        gate = StreamGate(quic, is_dialler=True)
        try:
            started = self._clock.now()
            hello = dataclasses.replace(self._hello(purpose), protocols=frozenset(self._handlers))
            welcome = await _say_hello(quic, hello)
            hello_ms = (self._clock.now() - started) * 1000
            gate.admit(spoken(hello, welcome))
            return _Met(quic, gate, spoken(hello, welcome), welcome, hello_ms)
        except BaseException:
            quic.close(1, b"no hello")
            raise


async def _say_hello(quic: iroh.Connection, hello: Hello) -> Welcome:
    stream = await quic.open_bi()
    await stream.send().write_all(encode(hello))
    await stream.send().finish()
    answer = await stream.recv().read_to_end(MAX_HELLO_BYTES)
    try:
        return decode_welcome(answer)
    except InputError as error:
        raise DialError("refused", f"its answer to hello cannot be read: {error}") from None


@contextlib.asynccontextmanager
async def scratch_connector(
    key: SecretKey, hello: Callable[[Purpose], Hello], *, clock: Clock, relays: Sequence[str] | None
) -> AsyncIterator[Connector]:
    """Give a connector that has an endpoint of its own, on any free port, which knows nothing of earlier dials.

    `relays` as for `bind_endpoint`: None where an endpoint with this key runs already.
    """
    endpoint = await bind_endpoint(key, "0.0.0.0:0", relays=relays)
    try:
        yield Connector(endpoint, hello, clock=clock)
    finally:
        await endpoint.close()


class ScratchProber:
    """Finds out who answers at one address, each time from an endpoint of its own."""

    async def probe(self, address: SocketAddress, endpoint_id: EndpointId, *, timeout: float) -> bool:
        """Tell whether `endpoint_id` answers at `address`; False when another iroh node does.

        Raises:
            DialError: nobody answered in `timeout` seconds.
        """
        bind = "[::]:0" if address.ip.version == 6 else "0.0.0.0:0"
        endpoint = await bind_endpoint(SecretKey.generate(), bind, relays=None)
        remote = iroh.EndpointAddr(iroh.EndpointId.from_bytes(endpoint_id.raw), None, [str(address)])
        try:
            quic = await asyncio.wait_for(endpoint.connect(remote, DISCOVERY_ALPN), timeout)
            quic.close(0, b"probed")
        except asyncio.TimeoutError:
            raise DialError("timeout", f"no answer at {address} in {timeout:.1f} s") from None
        except iroh.IrohError as error:
            trouble = _dial_error(error)
            if trouble.kind == "wrong_id":
                return False
            raise trouble from None
        finally:
            await endpoint.close()
        return True
