# SPDX-License-Identifier: MIT
"""Being reached over Iroh: callers, their hello, and who is let in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import iroh

from blixard.dialling.address_proofs import host_of
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.ids import EndpointId
from blixard.transport.caller_slots import CallerSlots
from blixard.transport.connection import IrohConnection
from blixard.transport.hello import MAX_HELLO_BYTES, Hello, Welcome, decode_hello, encode, spoken
from blixard.transport.streams import NO_HANDLERS, StreamGate

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import StreamHandler

log = logging.getLogger("blixard.acceptor")

# A caller has this long, in seconds, to finish its handshake and say hello; the second while callers crowd.
CALLER_TIMEOUT = 10.0
_CROWDED_TIMEOUT = 2.0
# Callers whose hello is under way at once, and of one endpoint id: it needs one, and one that replaces it.
MAX_CALLERS = 256
_CALLERS_PER_ID = 4
# Connections that are no part of the mesh: checks, and those who were turned away and are to read why.
_MAX_VISITORS = 64
_VISITORS_PER_ID = 2
# How long, in seconds, the connection of a check is kept, and that of one who was turned away.
_CHECK_LIFETIME = 60.0
_REFUSED_LIFETIME = 2.0

TurnedAway = Literal["no_handshake", "no_hello", "bad_hello", "displaced", "too_many_checks"]
"""Why a caller had to go before, or after, anybody decided whether it is let in."""


@dataclass(eq=False)
class _Caller:
    """Somebody who called: from where, and what its handshake has proved so far."""

    host: str
    address: str | None
    endpoint_id: EndpointId | None = None
    task: asyncio.Task[None] | None = None
    is_displaced: bool = False

    @property
    def name(self) -> str:
        return self.endpoint_id.short if self.endpoint_id is not None else self.host


class Acceptor:
    """Answers the callers of one endpoint."""

    def __init__(
        self,
        endpoint: iroh.Endpoint,
        welcome: Callable[[Hello, EndpointId], Welcome],
        arrived: Callable[[IrohConnection, Hello], None],
        *,
        clock: Clock,
        is_known: Callable[[EndpointId], bool] = lambda _: False,
        turned_away: Callable[[TurnedAway, str, str], None] = lambda *_: None,
        handlers: Mapping[str, StreamHandler] = NO_HANDLERS,
    ) -> None:
        """Take what decides.

        Args:
            endpoint: whose callers these are.
            welcome: decides about a caller.
            arrived: takes the connection of one who joins the mesh.
            clock: times the pings and the silence of connections.
            is_known: whether an endpoint id is named by the operator: such a caller keeps its place before others.
            turned_away: is told the kind, who it was (endpoint id or host) and the reason when a caller has to go.
            handlers: serve the streams that peers open, by protocol.
        """
        self._endpoint = endpoint
        self._clock = clock
        self._welcome = welcome
        self._arrived = arrived
        self._is_known = is_known
        self._turned_away = turned_away
        self._handlers = handlers
        self._callers: CallerSlots[_Caller] = CallerSlots(most=MAX_CALLERS, per_id=_CALLERS_PER_ID)
        self._visitors: CallerSlots[IrohConnection] = CallerSlots(most=_MAX_VISITORS, per_id=_VISITORS_PER_ID)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer callers until the endpoint is closed or this is cancelled."""
        try:
            while (incoming := await self._endpoint.accept_next()) is not None:
                with contextlib.suppress(iroh.IrohError):
                    await self._receive(incoming)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self, incoming: iroh.Incoming) -> None:
        caller = _caller(await incoming.remote_addr())
        # Costs the caller a round trip, and proves that it is where it says: a forged address cannot take a place.
        if self._callers.is_crowded and caller.address is not None and not await incoming.remote_addr_validated():
            await incoming.retry()
            return
        limit = _CROWDED_TIMEOUT if self._callers.is_crowded else CALLER_TIMEOUT
        caller.task = asyncio.create_task(self._answer(incoming, caller, limit))
        self._tasks.add(caller.task)
        caller.task.add_done_callback(self._tasks.discard)
        self._displace(self._callers.enter(caller, caller.host))

    def _displace(self, caller: _Caller | None) -> None:
        if caller is not None and caller.task is not None:
            caller.is_displaced = True
            caller.task.cancel()
            self._turned_away("displaced", caller.name, "made room for others before its hello was complete")

    async def _answer(self, incoming: iroh.Incoming, caller: _Caller, limit: float) -> None:
        try:
            connection, hello, gate = await asyncio.wait_for(self._hear(incoming, caller), limit)
        except iroh.IrohError as error:
            log.debug("caller went away before its hello", extra={"error": str(error).splitlines()[-1:]})
            return
        except asyncio.TimeoutError:
            missing: TurnedAway = "no_handshake" if caller.endpoint_id is None else "no_hello"
            self._turned_away(missing, caller.name, f"not complete after {limit:g} s")
            return
        except InputError as error:
            self._turned_away("bad_hello", caller.name, f"bad hello: {error}")
            return
        finally:
            self._callers.leave(caller)
        if connection.admitted and hello.purpose == "mesh":
            connection.start(gate, self._handlers)
            self._arrived(connection, hello)
        else:
            await self._keep_for_a_while(connection, caller)

    async def _keep_for_a_while(self, connection: IrohConnection, caller: _Caller) -> None:
        endpoint_id = connection.endpoint_id
        visitor = self._visitors.enter(
            connection, caller.host, endpoint_id=endpoint_id, is_known=self._is_known(endpoint_id)
        )
        if visitor is not None:
            visitor.close("too many checks")
            self._turned_away("too_many_checks", visitor.endpoint_id.short, "its check made room for others")
        try:
            await asyncio.wait_for(connection.closed(), _CHECK_LIFETIME if connection.admitted else _REFUSED_LIFETIME)
        except asyncio.TimeoutError:
            pass
        finally:
            self._visitors.leave(connection)
            connection.close("check took too long" if connection.admitted else "refused")

    async def _hear(self, incoming: iroh.Incoming, caller: _Caller) -> tuple[IrohConnection, Hello, StreamGate]:
        accepting = await incoming.accept()
        quic = await accepting.connect()
        try:
            endpoint_id = caller.endpoint_id = EndpointId.from_bytes(quic.remote_id().to_bytes())
            self._displace(self._callers.identify(caller, endpoint_id, is_known=self._is_known(endpoint_id)))
            gate = StreamGate(quic, is_dialler=False)
            stream = await gate.hello
            hello = decode_hello(await stream.recv().read_to_end(MAX_HELLO_BYTES))
            welcome = self._welcome(hello, endpoint_id)
            if welcome.admitted:
                welcome = dataclasses.replace(welcome, protocols=frozenset(self._handlers))
            # Before the answer is out: the first streams may come right after it.
            gate.admit(spoken(hello, welcome))
            await stream.send().write_all(encode(welcome))
            await stream.send().finish()
        except BaseException as error:
            quic.close(1, _farewell(error, caller))
            raise
        connection = IrohConnection(
            quic,
            endpoint_id,
            outgoing=False,
            node_id=hello.node_id,
            admitted=welcome.admitted,
            clock=self._clock,
            refusal=welcome.reason,
            remote=caller.address,
            protocols=spoken(hello, welcome),
        )
        return connection, hello, gate


def _caller(address: iroh.IncomingAddr) -> _Caller:
    """Say where a call comes from: over a relay its endpoint id, which the relay has seen proved, is all there is."""
    if isinstance(address, iroh.IncomingAddr.IP):
        with contextlib.suppress(InputError):
            return _Caller(host_of(SocketAddress.parse(address.addr.replace("%", "")).ip), address.addr)
        return _Caller(address.addr.rpartition(":")[0], address.addr)
    return _Caller(str(address), None)


def _farewell(error: BaseException, caller: _Caller) -> bytes:
    if isinstance(error, InputError):
        return f"bad hello: {error}".encode()[:200]
    return b"busy: no room for callers without a hello" if caller.is_displaced else b"no hello"
