# SPDX-License-Identifier: MIT
"""Iroh's own announcements on the links, `<id in base32>._irohv1._udp.local`: heard, and never asked for.

Its endpoints ask each other every ten seconds or so, and answer with records that are not to be kept (TTL 0), which no
library of service discovery hands out. They say where an endpoint is, and not which node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

# Its names are kept there for programs like this one, without being in `__all__`.
from zeroconf import DNSAddress, DNSIncoming, DNSService, DNSText  # type: ignore[attr-defined]

from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.limits import MAX_ADDRESSES
from blixard.sources.dns_records import parse_iroh, parse_label
from blixard.sources.mdns_links import listening_socket

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

SERVICE = "._irohv1._udp.local."

MAX_HEARD = 512
"""Endpoints that are kept; of more, the one that was heard longest ago makes room."""

KEPT = 60.0
"""Seconds for which an announcement counts: six times the interval at which endpoints ask each other."""

MAX_PACKETS = 100
"""Packets that are looked at in a second: the answers of a whole swarm are a dozen, by its own rule."""


@dataclass(frozen=True)
class Heard:
    """Where an endpoint says that it is."""

    addresses: tuple[str, ...]
    relay_url: str | None


class IrohListener(asyncio.DatagramProtocol):
    """Keeps what endpoints announce of themselves."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when another endpoint is heard, or one says something else."""
        self._changed = changed
        self._heard: dict[EndpointId, tuple[float, Heard]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._second, self._packets = 0, 0

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: there is no link to listen on.
        """
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=listening_socket())

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()

    def heard(self) -> dict[EndpointId, Heard]:
        """Return what counts now."""
        since = asyncio.get_running_loop().time() - KEPT
        for endpoint_id in [each for each, (at, _) in self._heard.items() if at < since]:
            del self._heard[endpoint_id]
        return {endpoint_id: heard for endpoint_id, (_, heard) in self._heard.items()}

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Take in one packet, whatever it is."""
        now = asyncio.get_running_loop().time()
        if int(now) != self._second:
            self._second, self._packets = int(now), 0
        self._packets += 1
        if self._packets > MAX_PACKETS or SERVICE[1:8].encode() not in data:
            return
        for endpoint_id, heard in parse_packet(data).items():
            before = self._heard.pop(endpoint_id, None)
            if before is None and len(self._heard) >= MAX_HEARD:
                del self._heard[next(iter(self._heard))]
            # At the end: the first of them is the one that was heard longest ago.
            self._heard[endpoint_id] = now, heard
            if before is None or before[1] != heard:
                self._changed()


def parse_packet(data: bytes) -> dict[EndpointId, Heard]:
    """Return what the endpoints that a DNS message names say of themselves; nothing where it is no such message."""
    message = DNSIncoming(data)
    if not message.valid or not message.is_response():
        return {}
    records = message.answers()
    hosts: dict[str, list[bytes]] = {}
    for record in records:
        if isinstance(record, DNSAddress):
            hosts.setdefault(record.name.lower(), []).append(record.address)
    found: dict[EndpointId, Heard] = {}
    for name in dict.fromkeys(record.name for record in records if record.name.lower().endswith(SERVICE)):
        try:
            endpoint_id = parse_label(name[: -len(SERVICE)])
        except InputError:
            continue
        found[endpoint_id] = _heard([each for each in records if each.name == name], hosts)
    return found


def _heard(records: list[Any], hosts: dict[str, list[bytes]]) -> Heard:
    addresses: dict[str, None] = {}
    texts: list[str] = []
    for record in records:
        if isinstance(record, DNSService):
            ways = (_way(raw, record.port) for raw in hosts.get(record.server.lower(), ()))
            addresses.update((str(way), None) for way in ways if way is not None)
        elif isinstance(record, DNSText):
            texts += strings(record.text)
    return Heard(tuple(addresses)[:MAX_ADDRESSES], parse_iroh(texts)[1])


def _way(raw: bytes, port: int) -> SocketAddress | None:
    try:
        return SocketAddress(ip_address(raw), port)
    except (InputError, ValueError):
        return None


def strings(data: bytes) -> list[str]:
    """Return the strings of a TXT record's data; bytes that are no UTF-8 are replaced."""
    found: list[str] = []
    while data:
        end = 1 + data[0]
        found.append(data[1:end].decode("utf-8", "replace"))
        data = data[end:]
    return found
