# SPDX-License-Identifier: MIT
"""The control socket: one JSON line asked, one answered. `agent.client` is the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from blixard.agent.client import short_socket_path
from blixard.documents.names import SOCKET_NAME
from blixard.documents.own import check_own
from blixard.documents.strictjson import loads
from blixard.errors import BlixardError, InputError

log = logging.getLogger("blixard.control")

MAX_REQUEST_BYTES = 64 * 1024
REQUEST_TIMEOUT = 10.0

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
        self._talks.add(talk)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                writer.write(await self._answer(reader, writer))
                await writer.drain()
        finally:
            self._talks.discard(talk)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            request = await _request(reader)
            operation = self._operations.get(str(request.get("op")))
            if operation is None:
                raise InputError("unknown operation", place="/op", mend="one of " + ", ".join(self._operations))
            return _line({"result": await operation(request, _teller(writer, request.get("progress") is True))})
        except ConnectionResetError:
            return b""
        except BlixardError as error:
            return _line({"error": str(error)})
        except Exception:
            # A fault of this program: the node must go on, and whoever asked must hear of it.
            log.exception("control request failed")
            return _line({"error": "internal error, see the node's log"})


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
