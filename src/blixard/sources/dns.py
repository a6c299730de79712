# SPDX-License-Identifier: MIT
"""Peers from DNS: the TXT and SRV records of a domain's service name, and iroh's own records of known peers.

    _blixard-iroh._udp.fleet.example.org.  TXT  "node=1 id=<id> addr=192.0.2.11:7001"
    _blixard-iroh._udp.fleet.example.org.  SRV  0 0 7001 <id in base32>.fleet.example.org.
    <id in base32>.fleet.example.org.      A    192.0.2.12
    <id in base32>.fleet.example.org.      TXT  "node=2"
    _blixard-iroh._udp.fleet.example.org.  PTR  _blixard-iroh._udp.s1.fleet.example.org.

An answer holds 64 KiB. A larger fleet has further names below its domain, which PTR records name.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from blixard.documents.json_times import parse_time
from blixard.documents.peers_file import format_peers
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.entry import DiscoveredPeer
from blixard.model.limits import MAX_ADDRESSES
from blixard.model.words import MISSING
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting, unique
from blixard.sources.dns_client import DnsClient, DnsLocation, Hosts, Records
from blixard.sources.dns_records import (
    IROH,
    NONE,
    SERVICE,
    NodeText,
    id_of,
    parse_iroh,
    parse_label,
    parse_node,
    z_base32,
)
from blixard.sources.peers_reader import PeersReader

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.base import SourceContext, SourceKind

TIMEOUT = 9.0
"""Seconds for one look; less than the manager gives a source, so that the reason is told."""

MAX_NAMES = 512
"""Further names that PTR records may give: 512 times 64 KiB are more records than a fleet has nodes."""

MAX_TARGETS = 1024
"""Targets of SRV records that one look asks about; who has more writes TXT records, which need no further question."""

MAX_IROH_NAMES = 512
"""Peers whose own records (`_iroh.<id>`) one look asks for, those with the smallest node ids."""

MAX_PROBLEMS = 50
"""Refused records that are told; 64 KiB of rubbish are thousands."""

NO_WAYS = "has neither an address nor a relay"

_T = TypeVar("_T")


@dataclass
class _Look:
    """What one look has found so far."""

    sightings: list[Sighting] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ttls: list[float] = field(default_factory=list)
    says_none: bool = False

    def refuse(self, place: str, error: BlixardError) -> None:
        self.problems.append(str(error.located(file=place) if isinstance(error, InputError) else f"{place}: {error}"))

    def answer(self, before: Found | None) -> Answer:
        fresh_for = min(self.ttls) if self.ttls else None
        sightings, clashes = unique(self.sightings)
        problems = _bounded([*dict.fromkeys(self.problems), *clashes])
        if not sightings:
            if problems or not self.says_none:
                return Failed(problems[0] if problems else "no record names a node")
            return Nothing(fresh_for)
        if before is not None and _are_same(sightings, before.sightings):
            sightings = before.sightings
        return Found(sightings, problems, fresh_for=fresh_for)


def _bounded(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - MAX_PROBLEMS
    return (*problems[:MAX_PROBLEMS], *([f"and {more} more records are refused"] if more > 0 else []))


def _are_same(some: tuple[Sighting, ...], others: tuple[Sighting, ...]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


class _DnsSource(ABC):
    """What both kinds of DNS sources have in common: a look within its time, and what was said before."""

    kind: SourceKind = "dns"

    def __init__(self, name: str, location: DnsLocation, context: SourceContext) -> None:
        self.name = name
        self._location = location
        self._context = context
        self._before: dict[EndpointId, Sighting] = {}
        self._good: Found | None = None

    async def fetch(self) -> Answer:
        """Ask the servers, as `Source.fetch`."""
        try:
            answer = await asyncio.wait_for(self._ask(DnsClient(self._location)), TIMEOUT)
        except asyncio.TimeoutError:
            return Failed(f"{self.name}: took longer than {TIMEOUT:g} s; does the DNS server answer?")
        except InputError as error:
            return Failed(str(error.located(file=self.name)))
        if isinstance(answer, Found):
            self._good = answer
            self._before = {each.endpoint_id: each for each in answer.sightings}
        return answer

    @abstractmethod
    async def _ask(self, client: DnsClient) -> Answer:
        """Look; raises InputError where there is no answer."""

    def _sighting(self, said: NodeText, place: str, *, is_hint: bool = False) -> Sighting:
        """Return what a record says of a node, the very same as before when nothing is new.

        Raises:
            InputError: something is missing.
            TrustError: its attestation does not hold.
        """
        if said.endpoint_id is None or said.node_id is None:
            raise InputError(MISSING, place="/id" if said.endpoint_id is None else "/node")
        if not said.has_ways:
            raise InputError(NO_WAYS)
        before = self._before.get(said.endpoint_id)
        content = said.node_id, said.endpoint_id.base64, said.addresses, said.relay_url
        if before and (content, said.attestation) == (before.peer.content(), before.peer.attestation):
            return self._checked(before)
        issued = parse_time(said.attestation.issued_at) if said.attestation else self._context.wall()
        peer = DiscoveredPeer(*content, "dns", issued, said.attestation)
        return self._checked(Sighting(peer, place, is_hint=is_hint))

    def _checked(self, sighting: Sighting) -> Sighting:
        problem = self._context.check.problem(sighting.peer)
        if problem is not None:
            raise TrustError(problem)
        return sighting

    def _kept(self, endpoint_id: EndpointId | None) -> list[Sighting]:
        """Return what was known of a node whose record is refused now, as long as it would not be refused itself."""
        before = None if endpoint_id is None else self._before.get(endpoint_id)
        return [] if before is None or self._context.check.problem(before.peer) is not None else [before]


class DnsSource(_DnsSource):
    """Reads the nodes that a domain lists.

    A domain without the records, NXDOMAIN too, is a failure: a zone that was lost looks the same. To take all nodes
    away, write the one TXT record `none`. What is wrong with one record hides no other.
    """

    def __init__(self, location: DnsLocation, context: SourceContext) -> None:
        super().__init__(str(location), location, context)
        self._read: dict[str, Sighting] = {}
        self._memory = PeersReader(
            self.name, name=self.name, check=context.check, wall=context.wall, memory=context.memory
        )

    async def fetch(self) -> Answer:
        """Ask the servers, as `Source.fetch`; what they said last is remembered over a restart."""
        before = self._good
        answer = await super().fetch()
        if isinstance(answer, Failed):
            return await self._memory.backed(answer)
        if isinstance(answer, Nothing):
            await asyncio.to_thread(self._memory.forget)
        elif before is None or answer.sightings is not before.sightings:
            await asyncio.to_thread(lambda: self._memory.read(format_peers(answer.peers)))
        return answer

    async def _ask(self, client: DnsClient) -> Answer:
        domains = client.domains()
        for domain in domains:
            asked = await _records_of(client, domain)
            if any(asked.values()):
                look = _Look(ttls=[records.ttl for records in asked.values() if records])
                # In a thread, since ten thousand signatures are verified for seconds; then never again.
                incomplete = await asyncio.to_thread(self._read_texts, asked, look)
                await self._read_services(client, asked, incomplete, look)
                return look.answer(self._good)
        raise InputError(
            f"has no records at {' or '.join(f'{SERVICE}.{each}' for each in domains)}",
            mend=f"what it said last is kept; to take all nodes away, write the TXT record {NONE}",
        )

    def _read_texts(self, asked: _Asked, look: _Look) -> dict[EndpointId, NodeText]:
        """Take in the TXT records that are whole; return the others by the id, for the SRV record of the same."""
        incomplete: dict[EndpointId, NodeText] = {}
        read: dict[str, Sighting] = {}
        for name, text in ((name, text) for (name, _), records in asked.items() for text in records.texts):
            try:
                if text in self._read:
                    read[text] = self._checked(self._read[text])
                elif (said := parse_node(text)) is None:
                    look.says_none = True
                elif said.endpoint_id is not None and not said.has_ways:
                    incomplete[said.endpoint_id] = said
                else:
                    read[text] = self._sighting(said, name)
            except BlixardError as error:
                look.refuse(name, error)
                look.sightings += self._kept(id_of(text))
        look.sightings += read.values()
        self._read = read
        return incomplete

    async def _read_services(
        self, client: DnsClient, asked: _Asked, incomplete: dict[EndpointId, NodeText], look: _Look
    ) -> None:
        """Take in the SRV records of nodes for which no TXT record was whole."""
        done = {each.endpoint_id for each in look.sightings}
        found: dict[EndpointId, list[_Service]] = {}
        for (name, _), records in asked.items():
            for service in _services(name, records, look):
                if service.endpoint_id not in done:
                    found.setdefault(service.endpoint_id, []).append(service)
        if len(found) > MAX_TARGETS:
            look.problems.append(f"only {MAX_TARGETS} of {len(found)} SRV targets are looked at; write TXT records")
        chosen = [(each, sorted(services)) for each, services in list(found.items())[:MAX_TARGETS]]
        for each in await _together(self._follow(client, *one, incomplete, look) for one in chosen):
            look.sightings += each
        for endpoint_id in incomplete.keys() - found.keys() - done:
            look.refuse(endpoint_id.short, InputError(NO_WAYS))

    async def _follow(
        self,
        client: DnsClient,
        endpoint_id: EndpointId,
        services: list[_Service],
        incomplete: dict[EndpointId, NodeText],
        look: _Look,
    ) -> list[Sighting]:
        """Find out where the targets are, and which node it is; what was known before stays while that fails."""
        target = services[0].target
        try:
            said = incomplete.get(endpoint_id) or await _text_of(client, target, look)
            if said.endpoint_id not in (None, endpoint_id):
                raise InputError("names another id than the label", place="/id")
            if not said.addresses:
                hosts = await _together(_hosts_of(client, each, look) for each in services)
                addresses = dict.fromkeys(address for some in hosts for address in some)
                said = replace(said, addresses=tuple(addresses)[:MAX_ADDRESSES])
            return [self._sighting(replace(said, endpoint_id=endpoint_id), target)]
        except BlixardError as error:
            look.refuse(target, error)
            return self._kept(endpoint_id)


_Asked = dict[tuple[str, str], Records]
"""The records of a fleet by name and type."""


async def _records_of(client: DnsClient, domain: str) -> _Asked:
    """Return all records that list the nodes of a domain.

    Raises:
        InputError: one question has no answer, so that some nodes may be missing.
    """
    name = f"{SERVICE}.{domain}"
    asked = await _all_of(client, [(name, kind) for kind in ("TXT", "SRV", "PTR")])
    further = [each for each in dict.fromkeys(asked[name, "PTR"].names) if each != name.lower()]
    for each in further:
        if not each.endswith(f".{domain.lower()}"):
            raise InputError(
                f"{each} is not below {domain}", file=f"{name} PTR", mend="name what is in the same domain"
            )
    if len(further) > MAX_NAMES:
        raise InputError(f"has more than {MAX_NAMES} PTR records", file=name)
    below = await _all_of(client, [(each, kind) for each in further for kind in ("TXT", "SRV")])
    for (each, _), records in below.items():
        if not records.name_exists:
            raise InputError("does not exist, and a PTR record names it", file=each, mend="what was said last is kept")
    return asked | below


async def _all_of(client: DnsClient, questions: list[tuple[str, str]]) -> _Asked:
    return dict(zip(questions, await _together(client.ask(*each) for each in questions), strict=True))


async def _text_of(client: DnsClient, target: str, look: _Look) -> NodeText:
    records = await client.ask(target, "TXT")
    for text in records.texts:
        said = parse_node(text)
        if said is not None and said.node_id is not None:
            look.ttls.append(records.ttl)
            return said
    raise InputError("has no TXT record that says which node it is", mend='write "node=" and its number there')


async def _hosts_of(client: DnsClient, service: _Service, look: _Look) -> tuple[str, ...]:
    """Return the addresses of a target with its port."""
    if service.hosts is not None:
        answers = [service.hosts]
    else:
        records = await _all_of(client, [(service.target, kind) for kind in ("A", "AAAA")])
        answers = [(each.addresses, each.ttl) for each in records.values() if each]
    look.ttls += [ttl for _, ttl in answers]
    hosts = sorted(host for some, _ in answers for host in some)  # servers turn their order round
    return tuple(f"[{host}]:{service.port}" if ":" in host else f"{host}:{service.port}" for host in hosts)


@dataclass(frozen=True, order=True)
class _Service:
    """Where one SRV record says that a node is; the hosts of its target if they came along."""

    endpoint_id: EndpointId
    target: str
    port: int
    hosts: Hosts | None = field(compare=False)


def _services(name: str, records: Records, look: _Look) -> Iterator[_Service]:
    for target, port in records.services:
        try:
            yield _Service(parse_label(target.partition(".")[0]), target, port, records.hosts.get(target))
        except InputError as error:
            look.refuse(f"{name} SRV", error)


async def _together(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Do all of it at the same time. The first that fails ends the others."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


class IrohRecords(_DnsSource):
    """Reads what peers that other sources name say of themselves at `_iroh.<id in z-base-32>.<origin>`.

    It names nobody: the records do not say which node it is.
    """

    def __init__(self, location: DnsLocation, context: SourceContext) -> None:
        super().__init__(str(location), replace(location, name=location.name[len(IROH) + 1 :]), context)
        self._asked: Mapping[EndpointId, int] = {}

    async def changed(self) -> bool:
        """Tell whether there are other peers to ask about, as `Watched.changed`."""
        return self._asked != self._context.node_ids()

    async def _ask(self, client: DnsClient) -> Answer:
        self._asked = self._context.node_ids()
        look = _Look(says_none=True)
        peers = sorted((node_id, endpoint_id) for endpoint_id, node_id in self._asked.items())
        if len(peers) > MAX_IROH_NAMES:
            look.problems.append(f"only {MAX_IROH_NAMES} of {len(peers)} peers are asked about, by their node ids")
        await _together(self._ask_about(client, *each, look) for each in peers[:MAX_IROH_NAMES])
        return look.answer(self._good)

    async def _ask_about(self, client: DnsClient, node_id: int, endpoint_id: EndpointId, look: _Look) -> None:
        name = f"{IROH}.{z_base32(endpoint_id)}.{client.domains()[0]}"
        try:
            records = await client.ask(name, "TXT")
        except InputError as error:
            look.refuse(name, error)
            look.sightings += self._kept(endpoint_id)
            return
        addresses, relay = parse_iroh(sorted(records.texts))
        if addresses or relay:
            look.ttls.append(records.ttl)
            said = NodeText(node_id, endpoint_id, addresses, relay, None)
            look.sightings.append(self._sighting(said, name, is_hint=True))


def dns_source(location: DnsLocation, context: SourceContext) -> DnsSource | IrohRecords:
    """Return the source for a location: iroh's own records for `_iroh.ORIGIN`, else a domain that lists nodes."""
    is_iroh = location.name.lower().startswith(f"{IROH}.")
    return IrohRecords(location, context) if is_iroh else DnsSource(location, context)
