# SPDX-License-Identifier: MIT
"""The HTTP server for Prometheus: one path, one answer a connection, gathered at each scrape from a node's parts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from blixard.agent.metrics import (
    CONTENT_TYPE,
    EventCounts,
    NodeFacts,
    exposition,
    node_families,
    peer_families,
    source_families,
    start_families,
)
from blixard.agent.options import Bind
from blixard.errors import InputError
from blixard.model.words import how_to_bind

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig
    from blixard.clock import Clock
    from blixard.discovery_manager import DiscoveryManager
    from blixard.peers.events import Subscription


PATH = "/metrics"
MAX_REQUEST_BYTES = 8 * 1024
REQUEST_TIMEOUT = 5.0
"""Seconds for a connection from its first to its last byte, in both directions."""

_MAX_SCRAPERS = 16
"""Connections at once; a monitoring system has one or two."""

KEPT = 1.0
"""Seconds for which a text is served again, or ten times as long as it took to write, if that is more: however often
it is asked for, that costs a tenth of one core at most."""

_GONE = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, ConnectionError)


class _Scrapers:
    """The connections that are open, the oldest first, and the text that they get."""

    def __init__(self, metrics: Callable[[], bytes]) -> None:
        self._metrics = metrics
        self._text = b""
        self._good_until = float("-inf")
        self._open: dict[asyncio.Task[None], str] = {}
        self._answered: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, and leave nothing of it."""
        scraper = asyncio.current_task()
        assert scraper is not None  # noqa: S101  (for the type checker: we are inside of one)
        self._make_room()
        self._open[scraper] = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            with contextlib.suppress(*_GONE, asyncio.CancelledError):
                await asyncio.wait_for(self._talk(reader, writer, scraper), REQUEST_TIMEOUT)
        finally:
            self._open.pop(scraper, None)
            self._answered.discard(scraper)
            # What was not read by now is not kept for whoever does not read it.
            writer.transport.abort()

    async def stop(self) -> None:
        """End all connections."""
        scrapers = list(self._open)
        for scraper in scrapers:
            scraper.cancel()
        await asyncio.gather(*scrapers, return_exceptions=True)

    def text(self) -> bytes:
        """Return the metrics as they are, or were a moment ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._good_until:
            self._text = self._metrics()
            took = asyncio.get_running_loop().time() - now
            self._good_until = now + max(KEPT, 10 * took)
        return self._text

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scraper: asyncio.Task[None]
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self._answered.add(scraper)
        writer.write(_answer(head, self.text))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _make_room(self) -> None:
        """When there are too many, end one that asked for nothing yet, the oldest of who has most of them."""
        if len(self._open) < _MAX_SCRAPERS:
            return
        idle = {scraper: who for scraper, who in self._open.items() if scraper not in self._answered} or self._open
        has = Counter(idle.values())
        most = max(has.values())
        oldest = next(scraper for scraper, who in idle.items() if has[who] == most)
        del self._open[oldest]
        oldest.cancel()


@contextlib.asynccontextmanager
async def serving_metrics(bind: Bind, metrics: Callable[[], bytes]) -> AsyncIterator[int]:
    """Serve what `metrics` returns at `bind` while the context lasts; gives the real port.

    Raises:
        InputError: the address cannot be had.
    """
    scrapers = _Scrapers(metrics)
    try:
        server = await asyncio.start_server(scrapers.connected, str(bind.ip), bind.port, limit=MAX_REQUEST_BYTES)
    except OSError as error:
        mend = how_to_bind(error.errno or errno.EADDRNOTAVAIL, "--metrics", "ss -ltnp")
        reason = error.strerror or str(error)
        raise InputError(f"cannot listen at {bind}: {reason}", place="/metrics", mend=mend) from None
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await scrapers.stop()


def _answer(head: bytes, text: Callable[[], bytes]) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        status, body = "405 Method Not Allowed", b""
    elif path != PATH.encode():
        status, body = "404 Not Found", f"see {PATH}\n".encode()
    else:
        status, body = "200 OK", text()
    return _head(status, len(body)) + (b"" if method == b"HEAD" else body)


def _head(status: str, length: int) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {length}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


log = logging.getLogger("blixard.metrics")


@contextlib.asynccontextmanager
async def monitored(
    config: Callable[[], NodeConfig], manager: DiscoveryManager, about: Callable[[], NodeFacts], clock: Clock
) -> AsyncIterator[None]:
    """Serve a node's metrics while the context lasts, if it is to have any.

    Args:
        config: gives the settings that hold now.
        manager: whose peers, sources and events these are.
        about: gives what is told of the node itself.
        clock: dates the answers of sources.

    Raises:
        InputError: the address for them cannot be had.
    """
    bind = config().metrics
    if bind is None:
        yield
        return
    counts = EventCounts()
    started = clock.wall()
    counting = asyncio.create_task(_count(manager.subscribe(), counts))

    def text() -> bytes:
        return exposition(
            itertools.chain(
                start_families(started),
                node_families(about()),
                peer_families(manager.status()),
                source_families(manager.source_status(), clock.wall()),
                counts.families(),
            )
        )

    try:
        async with serving_metrics(bind, text) as port:
            log.info("metrics served", extra={"url": f"http://{Bind(bind.ip, port)}{PATH}"})
            yield
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


async def _count(events: Subscription, counts: EventCounts) -> None:
    async for event in events:
        counts.add(event)
