# SPDX-License-Identifier: MIT
"""The control socket: one JSON line asked, one answered. `agent.control_client` is the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from blixard.agent.control_client import short_socket_path
from blixard.documents.data_dir_files import SOCKET_NAME
from blixard.documents.files import check_own
from blixard.documents.json_bytes import loads
from blixard.errors import BlixardError, InputError
from blixard.ordered_set import OrderedSet

log = logging.getLogger("blixard.control")

MAX_REQUEST_BYTES = 64 * 1024
REQUEST_TIMEOUT = 10.0
ANSWER_TIMEOUT = 30.0
"""Seconds for the whole answer to be read."""

MAX_TALKS = 32
"""Talks at once. When there are too many, the oldest one that has asked for nothing yet goes."""

_MAX_CHECKS = 4
"""Operations at once that dial all peers; further ones wait. They end when whoever asked has gone."""

_GONE_INTERVAL = 0.5
"""Seconds between two looks at whether somebody who said all has gone."""

_BUSY = f"{MAX_TALKS} others are talking to it; try again in a moment"

_COSTLY = frozenset({"check"})

Tell = Callable[[Any], None]
"""Tells whoever asked how far it is; does nothing when progress was not asked for."""

Operation = Callable[[Mapping[str, Any], Tell], Awaitable[Any]]


class ControlServer:
    """Serves the operations of one node on `agent.sock` (0600) in its data directory."""

    def __init__(self, data_dir: Path, operations: Mapping[str, Operation]) -> None:
        self._data_dir = data_dir
        self._operations = operations
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._silent: OrderedSet[asyncio.Task[None]] = OrderedSet()
        self._checks = asyncio.Semaphore(_MAX_CHECKS)
        self._resources = contextlib.ExitStack()

    async def start(self) -> None:
        """Listen. The caller holds the data directory's lock, so a socket that lies there is a leftover.

        Raises:
            InputError: the socket cannot be made.
        """
        path = self._data_dir / SOCKET_NAME
        try:
            _remove_leftover(path)
            listener = self._listener(path)
        except OSError as error:
            self._resources.close()
            raise InputError(f"cannot be made: {error.strerror}", file=str(path), mend="move it away") from None
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_REQUEST_BYTES)

    def _listener(self, path: Path) -> socket.socket:
        directory = os.open(self._data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # Open for as long as the server: asyncio also looks at the path, when it starts and when it ends.
        self._resources.callback(os.close, directory)
        listener = self._resources.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)))
        # Before bind, on the socket itself: the file is never open to others, not even for a moment.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(short_socket_path(directory))
        path.chmod(0o600)
        listener.listen()
        listener.setblocking(False)
        return listener

    async def stop(self) -> None:
        """Stop listening and end what is under way."""
        if self._server is None:
            return
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        (self._data_dir / SOCKET_NAME).unlink(missing_ok=True)
        self._resources.close()
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None  # noqa: S101  (for the type checker: we are inside of one)
        is_welcome = self._make_room()
        self._talks.add(talk)
        self._silent.add(talk)
        try:
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError, asyncio.CancelledError):
                writer.write(await self._answer(reader, writer, talk) if is_welcome else _line({"error": _BUSY}))
                await asyncio.wait_for(_finish(writer), ANSWER_TIMEOUT)
        finally:
            self._talks.discard(talk)
            self._silent.discard(talk)
            # What was not read by now is not kept for whoever does not read it.
            writer.transport.abort()

    def _make_room(self) -> bool:
        """Tell whether one more talk may begin."""
        if len(self._talks) < MAX_TALKS:
            return True
        oldest = next(iter(self._silent), None)
        if oldest is None:
            return False
        self._talks.discard(oldest)
        self._silent.discard(oldest)
        oldest.cancel()
        return True

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, talk: asyncio.Task[None]
    ) -> bytes:
        try:
            request = await _request(reader)
            self._silent.discard(talk)
            name = str(request.get("op"))
            operation = self._operations.get(name)
            if operation is None:
                raise InputError("unknown operation", place="/op", mend="one of " + ", ".join(self._operations))
            work = operation(request, _teller(writer, request.get("progress") is True))
            return _line({"result": await (self._while_there(work, reader, writer) if name in _COSTLY else work)})
        except ConnectionResetError:
            return b""
        except BlixardError as error:
            return _line({"error": str(error)})
        except Exception:
            # A fault of this program: the node must go on, and whoever asked must hear of it.
            log.exception("control request failed")
            return _line({"error": "internal error, see the node's log"})

    async def _while_there(
        self, work: Awaitable[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Any:
        """Return what `work` returns; end it when whoever asked has gone.

        Raises:
            ConnectionResetError: that happened.
        """

        async def in_turn() -> Any:
            async with self._checks:
                return await work

        working, leaving = asyncio.ensure_future(in_turn()), asyncio.ensure_future(_has_gone(reader, writer))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise ConnectionResetError
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)
            if asyncio.iscoroutine(work):
                work.close()  # it may not have had its turn


async def _has_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Return when the other end is closed; one that has only ended its own side waits for its answer."""
    await reader.read(1)
    waiting = select.poll()
    waiting.register(writer.get_extra_info("socket").fileno(), 0)
    while not any(event & select.POLLHUP for _, event in waiting.poll(0)):  # noqa: ASYNC110  (no event tells of it)
        await asyncio.sleep(_GONE_INTERVAL)


async def _finish(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def _remove_leftover(path: Path) -> None:
    if os.path.lexists(path):
        check_own(path.lstat(), str(path), kind="a socket")
        path.unlink()


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        line = await asyncio.wait_for(reader.readuntil(b"\n"), REQUEST_TIMEOUT)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
        raise InputError(f"a request is one line of JSON of at most {MAX_REQUEST_BYTES} bytes") from None
    request = loads(line)
    if not isinstance(request, dict):
        raise InputError("a request is an object")
    return request


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _teller(writer: asyncio.StreamWriter, wanted: bool) -> Tell:
    def tell(progress: Any) -> None:
        # Whoever reads more slowly than the work goes on misses some of it, and costs no memory.
        if wanted and not writer.is_closing() and writer.transport.get_write_buffer_size() == 0:
            writer.write(_line({"progress": progress}))

    return tell
