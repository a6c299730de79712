# SPDX-License-Identifier: MIT
"""The HTTP server for Prometheus: one path, one answer a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from blixard.agent.metrics import CONTENT_TYPE
from blixard.errors import InputError

if TYPE_CHECKING:
    from blixard.agent.options import Bind

PATH = "/metrics"
MAX_REQUEST_BYTES = 8 * 1024
REQUEST_TIMEOUT = 5.0
MOST_SCRAPERS = 16
"""Connections at once; a monitoring system has one or two."""

_GONE = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, ConnectionError)


@contextlib.asynccontextmanager
async def serving_metrics(bind: Bind, metrics: Callable[[], bytes]) -> AsyncIterator[int]:
    """Serve what `metrics` returns at `bind` while the context lasts; gives the real port.

    Raises:
        InputError: the address cannot be had.
    """
    scrapers: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scraper = asyncio.current_task()
        assert scraper is not None  # noqa: S101  (for the type checker: we are inside of one)
        try:
            if len(scrapers) < MOST_SCRAPERS:
                scrapers.add(scraper)
                with contextlib.suppress(*_GONE, asyncio.CancelledError):
                    await asyncio.wait_for(_answer(reader, writer, metrics), REQUEST_TIMEOUT)
        finally:
            scrapers.discard(scraper)
            writer.close()

    try:
        server = await asyncio.start_server(connected, str(bind.ip), bind.port, limit=MAX_REQUEST_BYTES)
    except OSError as error:
        mend = "free the port or choose another address with --metrics"
        reason = error.strerror or str(error)
        raise InputError(f"cannot listen at {bind}: {reason}", place="/metrics", mend=mend) from None
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for scraper in scrapers:
            scraper.cancel()
        await asyncio.gather(*scrapers, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, metrics: Callable[[], bytes]) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        status, body = "405 Method Not Allowed", b""
    elif path != PATH.encode():
        status, body = "404 Not Found", f"see {PATH}\n".encode()
    else:
        status, body = "200 OK", metrics()
    writer.write(_head(status, len(body)) + (b"" if method == b"HEAD" else body))
    await writer.drain()


def _head(status: str, length: int) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {length}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
