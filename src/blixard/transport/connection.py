# SPDX-License-Identifier: MIT
"""One live connection to a peer: its pings, beats and streams, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import iroh

from blixard.dialling.address_proofs import normal
from blixard.dialling.protocols import DialError
from blixard.errors import one_line
from blixard.transport.streams import Carried, IrohStream, serve_streams

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping, Set

    from blixard.clock import Clock
    from blixard.dialling.protocols import StreamHandler
    from blixard.model.ids import EndpointId
    from blixard.peers.status import PathKind
    from blixard.transport.streams import StreamGate

# QUIC itself notices a killed peer only after 31 to 34 s.
_BEAT_INTERVAL = 5.0
# What follows is in beats. The end that dialled sends them. The other end hears them, and pings only when they fail to
# come, and once in a while for a round-trip time of its own: beats are most of what an idle node does.
_MISSED = 1.2
_ROUND_TRIP = 12
# Two whole beats unanswered, and of the third so much that the news is out before its time is over.
SILENCE = 2.6
# A ping is one datagram and may be lost: it is sent again after so long, then after twice that and so on, until it is
# answered. One that is only slow must not be met with ever more work.
_PING_AGAIN = 0.25
# Datagrams in one second: beats and their repetitions are a handful, and each costs this node an answer.
MAX_DATAGRAMS = 100
# Bytes that this node may send more than three times what it received, beside what its streams carry. iroh looks for
# further paths at up to 32 addresses that the peer names, with 350 bytes for each: once that is its good right, all the
# time it is an attack.
MAX_UNANSWERED = 32 * 1024

_PING, _PONG = b"i", b"o"
_NONCE = 8


class IrohConnection:
    """A connection whose other end has proved its id and has said hello.

    The end that dialled pings in beats, and the other answers. Either end closes the connection when nothing at all
    has come from the other for `SILENCE` beats. Beside its hello it may have streams, of the protocols that both speak.

    Attributes:
        protocols: those protocols.
    """

    def __init__(
        self,
        connection: iroh.Connection,
        endpoint_id: EndpointId,
        *,
        outgoing: bool,
        node_id: int | None,
        admitted: bool,
        clock: Clock,
        refusal: str | None = None,
        hello_ms: float | None = None,
        remote: str | None = None,
        protocols: Set[str] = frozenset(),
    ) -> None:
        """`clock` times pings and silence; `remote`: where the connection came from, as the handshake proved it."""
        self.protocols = protocols
        self.endpoint_id = endpoint_id
        self.outgoing = outgoing
        self.node_id = node_id
        self.admitted = admitted
        self.refusal = refusal
        self._connection = connection
        self._clock = clock
        self._rtt_ms = hello_ms
        self._carried = Carried()
        self._remote = normal(remote) if remote is not None else _remote_of(connection)
        self._numbers = itertools.count()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._heard = self._clock.now()
        self._reason: str | None = None
        self._beat_interval = _BEAT_INTERVAL
        self._beating: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        for work in (self._listen(), self._watch()):
            self._spawn(work)
        self._ended = asyncio.get_running_loop().create_future()

    @property
    def path(self) -> PathKind | None:
        """`direct` or `relay`, the path in use; None when there is none."""
        return path_of(self._connection)

    @property
    def remote(self) -> str | None:
        """The `ip:port` at the other end; None over a relay."""
        return self._remote

    @property
    def rtt_ms(self) -> float | None:
        """Round-trip time of the last answered ping, in milliseconds."""
        return self._rtt_ms

    def start(self, gate: StreamGate, handlers: Mapping[str, StreamHandler]) -> None:
        """Be one of the mesh from now on: keep watch over the connection, and serve the streams that the peer opens."""
        self._beating = self._spawn(self._beat())
        if self.protocols:
            self._spawn(serve_streams(self, gate, handlers, self._clock, self._carried))

    def beat_every(self, seconds: float) -> None:
        """Notice the peer's silence after `SILENCE` times so long."""
        if seconds != self._beat_interval:
            self._beat_interval = seconds
            if self._beating is not None and self._beating.cancel():
                self._beating = self._spawn(self._beat())

    async def open_stream(self, protocol: str) -> IrohStream:
        """Open a stream to the peer's handler of one of `protocols`.

        Raises:
            DialError: `closed`, the connection has ended.
        """
        try:
            stream = IrohStream(await self._connection.open_bi(), self._carried)
        except iroh.IrohError as error:
            raise DialError("closed", one_line(error.message())) from None
        await stream.send(protocol.encode())
        return stream

    async def ping(self, timeout: float) -> float:
        """Return the round-trip time in milliseconds.

        Raises:
            DialError: `timeout` when no answer came in `timeout` seconds, `closed` when the connection ended.
        """
        nonce = next(self._numbers).to_bytes(_NONCE, "big")
        answered = asyncio.get_running_loop().create_future()
        self._waiting[nonce] = answered
        started, pause = self._clock.now(), _PING_AGAIN
        try:
            while (left := started + timeout - self._clock.now()) > 0:
                self._send(_PING + nonce)
                await self._wait((answered, self._ended), min(pause, left))
                pause *= 2
                if answered.done():
                    self._rtt_ms = (self._clock.now() - started) * 1000
                    return self._rtt_ms
                if self._ended.done():
                    raise DialError("closed", self._ended.result())
        finally:
            del self._waiting[nonce]
        raise DialError("timeout", f"no answer to a ping in {timeout:g} s")

    async def closed(self) -> str:
        """Wait until the connection has ended; return why."""
        return await asyncio.shield(self._ended)

    def close(self, reason: str) -> None:
        """End the connection; the other end is told `reason`."""
        if self._reason is None:
            self._reason = reason
            with contextlib.suppress(iroh.IrohError):
                self._connection.close(0, reason.encode()[:200])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _wait(self, events: Collection[asyncio.Future[Any]], seconds: float) -> None:
        """Return when one of `events` has happened, at the latest after `seconds`."""
        pause = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((*events, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()

    def _send(self, datagram: bytes) -> None:
        # A datagram may be lost on the way, so one that the local stack cannot take now is no news.
        with contextlib.suppress(iroh.IrohError):
            self._connection.send_datagram(datagram)

    async def _listen(self) -> None:
        since, count = self._clock.now(), 0
        with contextlib.suppress(iroh.IrohError):
            while True:
                datagram = await self._connection.read_datagram()
                self._heard = self._clock.now()
                since, count = (self._heard, 1) if self._heard - since > 1 else (since, count + 1)
                if count > MAX_DATAGRAMS:
                    self.close("too many datagrams")
                    return
                kind, nonce = datagram[:1], datagram[1:]
                if kind == _PING and len(nonce) == _NONCE:
                    self._send(_PONG + nonce)
                elif kind == _PONG and (waiting := self._waiting.get(nonce)) and not waiting.done():
                    waiting.set_result(None)

    async def _beat(self) -> None:
        beat = self._beat_interval
        silence = SILENCE * beat
        measures_at = begun_at = self._clock.now()
        while (left := max(self._heard, begun_at) + silence - (now := self._clock.now())) > 0:
            if self._sends_too_much():
                self.close("sends this node's packets to too many addresses")
                return
            if self.outgoing or now >= measures_at or now - self._heard >= _MISSED * beat:
                measures_at = now + _ROUND_TRIP * beat
                with contextlib.suppress(DialError):
                    await self.ping(min(beat, left))
            # Not a moment longer than the silence may last: the next beat may be due well after that.
            next_at = min(now + beat, max(self._heard, begun_at) + silence)
            await self._clock.sleep(next_at - self._clock.now())
        self.close(f"no beat for {silence:g} s")

    def _sends_too_much(self) -> bool:
        # What streams carry goes to the one address that answers, and QUIC sends no more of it than is acknowledged.
        stats = self._connection.stats()
        return stats.udp_tx_bytes > MAX_UNANSWERED + 3 * stats.udp_rx_bytes + 2 * self._carried.bytes

    async def _watch(self) -> None:
        ended = await self._connection.closed()
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        self._ended.set_result(self._reason or one_line(ended))


def path_of(connection: iroh.Connection) -> PathKind | None:
    """Return the way in use now; None when there is none."""
    for path in connection.paths():
        if path.is_selected:
            return "relay" if path.is_relay else "direct"
    return None


def _remote_of(connection: iroh.Connection) -> str | None:
    selected = (path for path in connection.paths() if path.is_selected and path.is_ip)
    return next((normal(path.remote_addr) for path in selected), None)
