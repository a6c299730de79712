# SPDX-License-Identifier: MIT
"""Nodes on this host's own links, by multicast DNS: what they announce of themselves, and this node's own announcement.

The service is the one that upstream announces, `_blixard-iroh._tcp.local`. What iroh's own endpoints announce counts
for the peers that other sources name.

Whatever the number of nodes, a node multicasts four to seven packets in each IP family as it comes; docs/mdns.md has
what was counted, and what follows from the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
from typing import TYPE_CHECKING

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from blixard.errors import BlixardError, one_line
from blixard.model.addresses import SocketAddress
from blixard.model.entry import DiscoveredPeer
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting, unique
from blixard.sources.dns_records import base32
from blixard.sources.mdns_iroh import IrohListener
from blixard.sources.mdns_links import link_networks
from blixard.sources.mdns_records import AnnouncementReader, Networks, properties_of

if TYPE_CHECKING:
    from blixard.sources.base import SourceContext, SourceKind

SERVICE = "_blixard-iroh._tcp.local."

TTL = 4500
"""Seconds for which an announcement is kept: with the usual 120 of an address, all of a swarm would ask all of it again
every two minutes."""

FIRST_LOOK = 1.5
"""Seconds to listen for answers before the first answer is given; all who hear the question answer within one."""

MAX_ANNOUNCEMENTS = 512
"""Nodes of one link; what more is announced there is left out, and said."""

MAX_QUESTIONS = 4
"""Announcements that came in part, of which the rest is asked for in one look."""

_ANSWER_TIME = 500
"""Milliseconds for one of those."""


class MdnsSource:
    """Listens on all links from its first look until it is closed.

    A node that says goodbye is gone from the next answer, and one that is silent for as long as `TTL` likewise.
    """

    kind: SourceKind = "mdns"
    name = "mdns"

    def __init__(self, context: SourceContext) -> None:
        """`context`: with `own_entry`, this node announces itself."""
        self._context = context
        self._reader = AnnouncementReader(
            context.check, context.wall, cluster=context.cluster, node_ids=context.node_ids
        )
        self._networks: Networks = frozenset()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._iroh: IrohListener | None = None
        self._announced: AsyncServiceInfo | None = None
        self._names: dict[str, None] = {}
        self._left_out = 0
        self._is_new = False
        self._sightings: dict[str, Sighting] = {}
        self._answer: Answer | None = None

    async def fetch(self) -> Answer:
        """Say who is announced now, as `Source.fetch`."""
        try:
            await self._follow_links()
            await self._announce()
        except (OSError, ZeroconfError) as error:
            await self.close()
            return Failed(f"mdns: {one_line(str(error)) or type(error).__name__}; has this host a link with multicast?")
        self._is_new = False
        return await self._sum_up()

    async def changed(self) -> bool:
        """Tell whether somebody came, went or says something else, or this node does; as `Watched.changed`."""
        return self._is_new or (self._zeroconf is not None and self._properties() != self._own_properties())

    async def close(self) -> None:
        """Say goodbye, and stop listening."""
        zeroconf, self._zeroconf = self._zeroconf, None
        browser, self._browser = self._browser, None
        announced, self._announced = self._announced, None
        if self._iroh is not None:
            self._iroh.close()
        if browser is not None:
            await browser.async_cancel()
        if zeroconf is not None:
            with contextlib.suppress(OSError, ZeroconfError):
                if announced is not None:
                    await (await zeroconf.async_unregister_service(announced))
            await zeroconf.async_close()
        self._names.clear()

    async def _follow_links(self) -> None:
        """Listen on the links that there are now: on other ones than before, from the beginning."""
        networks = link_networks()
        if self._zeroconf is not None and networks == self._networks:
            return
        await self.close()
        self._networks = networks
        if not networks:
            raise OSError("no link has an address")
        self._iroh = IrohListener(self._note)
        await self._iroh.open()
        self._zeroconf = _open()
        self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE, handlers=[self._heard])
        await self._announce()
        await asyncio.sleep(FIRST_LOOK)

    def _note(self) -> None:
        self._is_new = True

    def _heard(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        self._note()
        if state_change is ServiceStateChange.Removed:
            self._names.pop(name, None)
            self._sightings.pop(name, None)
        elif name in self._names or len(self._names) < MAX_ANNOUNCEMENTS:
            self._names[name] = None
        else:
            self._left_out += 1

    def _own_properties(self) -> dict[str, str] | None:
        entry = self._context.own_entry() if self._context.own_entry is not None else None
        if entry is None:
            return None
        peer = DiscoveredPeer.from_entry(entry, "mdns", self._context.wall())
        return properties_of(peer, self._context.cluster or "")

    def _properties(self) -> dict[str, str] | None:
        return None if self._announced is None else _decoded(self._announced)

    async def _announce(self) -> None:
        properties = self._own_properties()
        if properties is None or properties == self._properties() or self._zeroconf is None:
            return
        service = _service(properties)
        if self._announced is None:
            # The name is the key's own: whoever has it already is this node, before a restart.
            await (await self._zeroconf.async_register_service(service, cooperating_responders=True))
        else:
            await (await self._zeroconf.async_update_service(service))
        self._announced = service

    async def _sum_up(self) -> Answer:
        assert self._zeroconf is not None  # noqa: S101 # it is open
        problems: list[str] = []
        sightings: list[Sighting] = []
        questions = MAX_QUESTIONS
        for name in tuple(self._names):
            service = AsyncServiceInfo(SERVICE, name)
            if not service.load_from_cache(self._zeroconf.zeroconf):
                questions -= 1
                if questions < 0 or not await service.async_request(self._zeroconf.zeroconf, _ANSWER_TIME):
                    continue
            try:
                sighting = self._read(name, service)
            except BlixardError as error:
                problems.append(f"{name[:80]}: {error}")
            else:
                sightings += [sighting] if sighting is not None else []
        found, clashes = unique([*sightings, *self._hints()])
        if self._left_out:
            problems.append(f"more than {MAX_ANNOUNCEMENTS} nodes are announced; the others are left out")
        self._left_out = 0
        return self._same(found, (*problems, *clashes))

    def _read(self, name: str, service: AsyncServiceInfo) -> Sighting | None:
        place = f"mdns:{name.removesuffix('.' + SERVICE)[:63]}"
        more = [way for address in service.parsed_addresses() if (way := _way(address, service.port)) is not None]
        sighting = self._reader.read(_decoded(service), more, self._networks, place)
        if sighting is None or sighting.endpoint_id == self._context.own:
            return None
        before = self._sightings.get(name)
        if before is not None and _says_the_same(sighting, before):
            return before
        self._sightings[name] = sighting
        return sighting

    def _hints(self) -> list[Sighting]:
        """Return what iroh's own endpoints announce, as far as they are peers."""
        heard = self._iroh.heard() if self._iroh is not None else {}
        hints = []
        for endpoint_id, each in heard.items():
            place = f"mdns:{base32(endpoint_id)}"
            hint = self._reader.hint(endpoint_id, each.addresses, each.relay_url, self._networks, place)
            if hint is not None and endpoint_id != self._context.own:
                before = self._sightings.get(place)
                self._sightings[place] = before if before is not None and _says_the_same(hint, before) else hint
                hints.append(self._sightings[place])
        return hints

    def _same(self, found: tuple[Sighting, ...], problems: tuple[str, ...]) -> Answer:
        """Return an answer, the very same as before where it says the same."""
        answer: Answer = Found(found, problems) if found or problems else Nothing()
        before = self._answer
        if isinstance(before, Found) and isinstance(answer, Found) and _are_the_same(before.sightings, found):
            answer = before if before.problems == problems else Found(before.sightings, problems)
        self._answer = answer
        return answer


def _open() -> AsyncZeroconf:
    try:
        return AsyncZeroconf(ip_version=IPVersion.All)
    except OSError:
        return AsyncZeroconf(ip_version=IPVersion.V4Only)


def _service(properties: dict[str, str]) -> AsyncServiceInfo:
    label = properties["node_id"]
    addresses = [SocketAddress.parse(each) for name, each in properties.items() if name.startswith("addr")]
    return AsyncServiceInfo(
        SERVICE,
        f"{label}.{SERVICE}",
        port=addresses[0].port if addresses else 0,
        properties=properties,
        server=f"{label}.local.",
        host_ttl=TTL,
        other_ttl=TTL,
        addresses=[each.ip.packed for each in addresses],
    )


def _decoded(service: AsyncServiceInfo) -> dict[str, str]:
    return {
        name.decode("utf-8", "replace"): (value or b"").decode("utf-8", "replace")
        for name, value in service.properties.items()
        if name
    }


def _way(address: str, port: int | None) -> SocketAddress | None:
    try:
        return SocketAddress.parse(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    except BlixardError:
        return None


def _are_the_same(one: tuple[Sighting, ...], other: tuple[Sighting, ...]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _says_the_same(one: Sighting, other: Sighting) -> bool:
    return (one.peer.content(), one.peer.attestation, one.given, one.is_hint) == (
        other.peer.content(),
        other.peer.attestation,
        other.given,
        other.is_hint,
    )
