# SPDX-License-Identifier: MIT
"""The HTTP server for Prometheus, and for a page of the node: one answer a connection, gathered from a node's parts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from ipaddress import ip_address
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
    from blixard.peers.events import Event, Subscription


PATH = "/metrics"
PAGE_PATH = "/"
PAGE_TYPE = "text/html; charset=utf-8"
MAX_REQUEST_BYTES = 8 * 1024
REQUEST_TIMEOUT = 5.0
"""Seconds for a connection from its first to its last byte, in both directions."""

_MAX_SCRAPERS = 16
"""Connections at once; a monitoring system has one or two."""

KEPT = 1.0
"""Seconds for which a text is served again, or ten times as long as it took to write, if that is more: however often
it is asked for, that costs a tenth of one core at most."""

KEPT_EVENTS = 100
"""Events that the page shows, the last ones."""

_GONE = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, ConnectionError)


class _Resource:
    """What is served at one path, kept for a moment."""

    def __init__(self, kind: str, make: Callable[[], bytes]) -> None:
        self.kind = kind
        self._make = make
        self._text = b""
        self._good_until = float("-inf")

    def text(self) -> bytes:
        """Return the text as it is, or was a moment ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._good_until:
            self._text = self._make()
            took = asyncio.get_running_loop().time() - now
            self._good_until = now + max(KEPT, 10 * took)
        return self._text


class _Scrapers:
    """The connections that are open, the oldest first, and what they get.

    Args:
        resources: by path.
        is_loopback: whether this listens on loopback, where only names of loopback are meant.
    """

    def __init__(self, resources: Mapping[str, _Resource], *, is_loopback: bool) -> None:
        self._resources = resources
        self._is_loopback = is_loopback
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

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scraper: asyncio.Task[None]
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self._answered.add(scraper)
        writer.write(_answer(head, self._resources, is_loopback=self._is_loopback))
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
async def serving_metrics(
    bind: Bind, metrics: Callable[[], bytes], page: Callable[[], bytes] | None = None
) -> AsyncIterator[int]:
    """Serve what `metrics`, and `page` if there is one, return at `bind` while the context lasts; gives the real port.

    Raises:
        InputError: the address cannot be had.
    """
    resources = {PATH: _Resource(CONTENT_TYPE, metrics)}
    if page is not None:
        resources[PAGE_PATH] = _Resource(PAGE_TYPE, page)
    scrapers = _Scrapers(resources, is_loopback=bind.ip.is_loopback)
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


def _answer(head: bytes, resources: Mapping[str, _Resource], *, is_loopback: bool) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    kind, body = CONTENT_TYPE, b""
    if method not in (b"GET", b"HEAD"):
        status = "405 Method Not Allowed"
    elif is_loopback and not all(map(_names_loopback, _hosts(head))):
        # A name of somebody else's that leads here: a web page that wants to read what is only for this host.
        status, body = "421 Misdirected Request", b"ask for localhost or an address of loopback\n"
    elif path not in resources:
        status, body = "404 Not Found", f"see {PATH}\n".encode()
    else:
        status, kind, body = "200 OK", resources[path].kind, resources[path].text()
    return _head(status, kind, len(body)) + (b"" if method == b"HEAD" else body)


def _hosts(head: bytes) -> list[str]:
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [value.strip().decode("latin-1") for name, _, value in fields if name.strip().lower() == b"host"]


def _names_loopback(host: str) -> bool:
    """Tell whether the value of a Host field, with a port or without, is this host as it calls itself."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _head(status: str, kind: str, length: int) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "Cache-Control: no-store",
        "Content-Security-Policy: frame-ancestors 'none'",
        "Cross-Origin-Resource-Policy: same-origin",
        "X-Content-Type-Options: nosniff",
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
        InputError: the address for them cannot be had, or a page is wanted where other hosts could ask for it.
    """
    bind = config().metrics
    if config().page and not (bind is not None and bind.ip.is_loopback):
        mend = "set metrics to an address such as 127.0.0.1:9101, or page to false"
        raise InputError("needs metrics on loopback", place="/page", mend=mend)
    if bind is None:
        yield
        return
    counts = EventCounts()
    started = clock.wall()
    recent: deque[Event] = deque(maxlen=KEPT_EVENTS)
    counting = asyncio.create_task(_count(manager.subscribe(), counts, recent))

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
        page = _page(manager, about, recent) if config().page else None
        async with serving_metrics(bind, text, page) as port:
            log.info("metrics served", extra={"url": f"http://{Bind(bind.ip, port)}{PATH}"})
            yield
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


def _page(manager: DiscoveryManager, about: Callable[[], NodeFacts], recent: deque[Event]) -> Callable[[], bytes]:
    from blixard.pages.node_page import node_page  # for those alone who want one

    def page() -> bytes:
        facts = about()
        return node_page(
            cluster=facts.cluster,
            node_id=facts.node_id,
            version=facts.version,
            peers=[peer.to_json() for peer in manager.status()],
            sources=[source.to_json() for source in manager.source_status()],
            events=recent,
        )

    return page


async def _count(events: Subscription, counts: EventCounts, recent: deque[Event]) -> None:
    async for event in events:
        counts.add(event)
        recent.append(event)
