# SPDX-License-Identifier: MIT
"""The streams of one connection: the hello, and after it those of the protocols that both ends speak."""

from __future__ import annotations

import asyncio
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

import iroh

from blixard.clock import TimeLimit, limited
from blixard.dialling.protocols import DialError
from blixard.errors import InputError, one_line
from blixard.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from blixard.clock import Clock
    from blixard.dialling.protocols import Connection, StreamHandler

MAX_STREAMS = 4
"""Streams that a peer may have open at once. iroh takes in up to 1.25 MB on each that nobody reads."""

MAX_PROTOCOL_NAME = 32
"""Bytes of a protocol's name, the first frame of a stream."""

NO_HANDLERS: Mapping[str, StreamHandler] = MappingProxyType({})

_NAME_TIMEOUT = 10.0
_HEADER_BYTES = 4
_CHUNK_BYTES = 64 * 1024
_TOO_MANY_STREAMS = b"too many streams"

_log = logging.getLogger("blixard.transport")

# Tasks of stream gates. They end with their connections; the event loop keeps no task by itself.
_watching: set[asyncio.Task[None]] = set()


class Carried:
    """How many bytes the streams of one connection were given to send."""

    bytes = 0


class IrohStream:
    """One bidirectional stream of frames: each is its length in four bytes, big-endian, and its content."""

    def __init__(self, stream: iroh.BiStream, carried: Carried) -> None:
        """`carried` counts what is sent."""
        self._send, self._recv = stream.send(), stream.recv()
        self._carried = carried
        self._buffer = bytearray()

    async def send(self, frame: bytes) -> None:
        """Send one frame; returns when the transport has taken it.

        Raises:
            DialError: `closed`, the stream or its connection has ended.
        """
        self._carried.bytes += _HEADER_BYTES + len(frame)
        try:
            await self._send.write_all(len(frame).to_bytes(_HEADER_BYTES, "big") + frame)
        except iroh.IrohError as error:
            raise _ended(error) from None

    async def receive(self, *, most: int) -> bytes | None:
        """Return the next frame; None when the other end has sent its last one.

        Raises:
            InputError: a frame is longer than `most` bytes, or is cut.
            DialError: `closed`, the stream or its connection has ended.
        """
        header = await self._read(_HEADER_BYTES)
        if not header:
            return None
        length = int.from_bytes(header, "big")
        if len(header) == _HEADER_BYTES and length > most:
            raise InputError(f"a frame of {length} bytes, more than {most}")
        frame = await self._read(length) if len(header) == _HEADER_BYTES else b""
        if len(header) + len(frame) != _HEADER_BYTES + length:
            raise InputError("a frame is cut")
        return frame

    async def finish(self) -> None:
        """Say that no more frames come from this end."""
        try:
            await self._send.finish()
        except iroh.IrohError as error:
            raise _ended(error) from None

    async def abort(self) -> None:
        """End the stream in both directions at once."""
        for end in (self._send.reset, self._recv.stop):
            try:
                await end(1)
            except iroh.IrohError:
                continue  # it has ended already

    async def _read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end."""
        try:
            while len(self._buffer) < size:
                chunk = await self._recv.read(_CHUNK_BYTES)
                if not chunk:
                    break
                self._buffer += chunk
        except iroh.IrohError as error:
            raise _ended(error) from None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _ended(error: iroh.IrohError) -> DialError:
    return DialError("closed", f"the stream has ended: {one_line(error.message())}")


class StreamGate:
    """Ends a connection that has more streams than it may; watches it from its handshake to its end.

    The end that was dialled takes one stream, the hello, until it has let the caller in. The end that dialled takes
    none for a hello, and keeps those that come with the welcome, which may be read after them. From then on each takes
    `MAX_STREAMS`, or none when the two share no protocol. The wheel cannot make iroh itself take fewer: its limits
    hold only for what is granted later.

    Attributes:
        hello: the first stream that the other end opens; on the dialling side there must be none.
    """

    def __init__(self, connection: iroh.Connection, *, is_dialler: bool) -> None:
        self._connection = connection
        self._most = MAX_STREAMS if is_dialler else 0
        self._open = 0
        self._arrived: asyncio.Queue[iroh.BiStream] = asyncio.Queue()
        self.hello: asyncio.Future[iroh.BiStream] = asyncio.get_running_loop().create_future()
        if is_dialler:
            self.hello.cancel()
        for work in (self._both_ways(), self._one_way()):
            task = spawn(work, "watching the streams of a connection")
            _watching.add(task)
            task.add_done_callback(_watching.discard)

    def admit(self, protocols: Set[str]) -> None:
        """Take streams from now on, if there are any protocols that both ends speak."""
        self._most = MAX_STREAMS if protocols else 0
        if self._open > self._most:
            self._end()

    async def arrived(self) -> iroh.BiStream:
        """Wait for the next stream that the other end opens; `done` is to be called after each."""
        return await self._arrived.get()

    def done(self) -> None:
        """One stream that has arrived has ended."""
        self._open -= 1

    async def _both_ways(self) -> None:
        try:
            if not self.hello.done():
                stream = await self._connection.accept_bi()
                if not self.hello.done():
                    self.hello.set_result(stream)
            while self._open <= self._most:
                self._arrived.put_nowait(await self._connection.accept_bi())
                self._open += 1
            self._end()
        except iroh.IrohError as error:
            if not self.hello.done():
                self.hello.set_exception(error)
                self.hello.exception()  # whoever waited for it may have given up

    async def _one_way(self) -> None:
        try:
            await self._connection.accept_uni()
        except iroh.IrohError:
            return
        self._end()

    def _end(self) -> None:
        self._connection.close(1, _TOO_MANY_STREAMS)


async def serve_streams(
    connection: Connection,
    gate: StreamGate,
    handlers: Mapping[str, StreamHandler],
    clock: Clock,
    carried: Carried,
) -> None:
    """Hand each stream that the peer opens to the handler of its protocol, until this is cancelled."""
    serving: set[asyncio.Task[None]] = set()
    try:
        while True:
            stream = IrohStream(await gate.arrived(), carried)
            task = spawn(_serve(connection, stream, handlers, clock), "serving a stream")
            serving.add(task)
            task.add_done_callback(serving.discard)
            task.add_done_callback(lambda _: gate.done())
    finally:
        for task in serving:
            task.cancel()


async def _serve(
    connection: Connection, stream: IrohStream, handlers: Mapping[str, StreamHandler], clock: Clock
) -> None:
    try:
        name = await limited(clock, _NAME_TIMEOUT, stream.receive(most=MAX_PROTOCOL_NAME))
        handler = handlers.get((name or b"").decode("ascii", "replace"))
        if handler is None:
            raise InputError("names no protocol of this node")
        await handler(connection, stream)
    except DialError:
        await stream.abort()  # or the peer has done so, or the connection has gone
    except (InputError, TimeLimit) as error:
        details = {"node_id": connection.node_id, "endpoint": connection.endpoint_id.short, "reason": str(error)}
        _log.info("stream refused", extra=details)
        await stream.abort()
