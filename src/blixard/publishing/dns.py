# SPDX-License-Identifier: MIT
"""A fleet's nodes as DNS records: a zone file, or the zone of a running server by signed updates (RFC 2136, RFC 8945).

    zone:///PATH/FILE              a file to be included in a zone: $INCLUDE FILE DOMAIN
    dns://SERVER[:PORT]/DOMAIN     the primary server of the zone that DOMAIN is in

An update is one step at the server. Where a fleet needs several, the first one takes the domain for this publication,
each further one holds only while it is still this one's, and the last makes it whole: of two publishers one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.peers_file import format_peers
from blixard.errors import InputError, one_line
from blixard.model.limits import KIB, MIB
from blixard.model.numbers import is_ahead
from blixard.publishing.base import Outcome, changes, newer
from blixard.publishing.dns_zone import STATE, TTL, State, Zone, peers_of, quoted, read_file, zone_of
from blixard.sources.dns_client import DnsClient, DnsLocation
from blixard.sources.dns_records import SERVICE

if TYPE_CHECKING:
    from blixard.model.entry import DiscoveredPeer
    from blixard.publishing.base import Publication, PublishContext

UPDATE_TIMEOUT = 30.0
"""Seconds for one update."""

MAX_KEY_BYTES = 4 * KIB
MAX_ZONE_BYTES = 32 * MIB
FILE_MODE = 0o644

_KEY_STATEMENT = re.compile(
    r'key\s+"?(?P<name>[^\s"{]+)"?\s*\{\s*'
    r'(?=[^}]*\balgorithm\s+"?(?P<algorithm>[\w.-]+)"?\s*;)(?=[^}]*\bsecret\s+"?(?P<secret>[A-Za-z0-9+/=]+)"?\s*;)[^}]*\}'
)
_KEY_LINE = re.compile(r"(?P<algorithm>hmac-[\w-]+):(?P<name>[^\s:]+):(?P<secret>[A-Za-z0-9+/=]+)")
_ALGORITHMS = frozenset({"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"})
_KEY_MEND = 'write it as `tsig-keygen` does: key "NAME" { algorithm hmac-sha256; secret "…"; };'


def dns_at(location: str, context: PublishContext) -> ZoneFile | ZoneUpdate:
    """Return the destination at `zone:///PATH` or `dns://SERVER[:PORT]/DOMAIN`.

    Raises:
        InputError: it is none of them, or the key's file cannot be used.
    """
    if location.startswith("zone://"):
        path = Path(location[len("zone://") :])
        if not path.is_absolute():
            raise InputError("is not the whole path of a file", file=location, mend="write zone:///PATH/FILE")
        return ZoneFile(path, context.wall)
    where = DnsLocation.parse(location)
    if where.server is None:
        raise InputError("names no server to send updates to", file=location, mend="write dns://SERVER/DOMAIN")
    key = None if context.tsig_key_file is None else read_key(context.tsig_key_file)
    return ZoneUpdate(where, key, context.wall)


def read_key(path: Path) -> dns.tsig.Key:
    """Read the key that updates are signed with, from a file for its owner alone.

    Raises:
        InputError: there is none; its content is never shown.
    """
    text = read_limited(path, MAX_KEY_BYTES, forbidden=0o077).decode("utf-8", "replace")
    match = _KEY_STATEMENT.search(text) or _KEY_LINE.fullmatch(text.strip())
    if match is None or match["algorithm"].lower() not in _ALGORITHMS:
        raise InputError("has no TSIG key", file=str(path), mend=_KEY_MEND)
    try:
        return dns.tsig.Key(match["name"], match["secret"], match["algorithm"])
    except (ValueError, dns.exception.DNSException):
        raise InputError("has a TSIG key that cannot be used", file=str(path), mend=_KEY_MEND) from None


def _why_newer(publication: Publication, there: State | None, now: datetime) -> str | None:
    """Return why the records there are of a newer publication, by the number of the signature."""
    if there is None or there.seq is None or is_ahead(there.seq, now):
        return None
    if publication.seq is None:
        return "what is there is of a signed publication, and this is not; sign it with the fleet key"
    if there.seq > publication.seq:
        return f"is newer: number {there.seq} is there, this is {publication.seq}; publish what was signed last"
    return None


def _judged(
    name: str, publication: Publication, zone: Zone, state: State | None, texts: Sequence[str], now: datetime
) -> Outcome:
    """Return what is to become of the TXT records there."""
    peers = format_peers(_dated(peers_of(texts, now), publication.listed))
    reason = _why_newer(publication, state, now) or newer(publication, peers, None, now)
    if reason is not None:
        return Outcome(name, "refused", reason=f"{name}: {reason}")
    same = sorted(texts) == sorted(text for each in zone.texts.values() for text in each)
    if same and state == State(publication.seq, zone.digest):
        return Outcome(name, "unchanged")
    return Outcome(name, "changed", () if same else changes(publication, peers))


def _dated(there: Iterable[DiscoveredPeer], listed: Iterable[DiscoveredPeer]) -> list[DiscoveredPeer]:
    """Return the peers there, each id once, with what records do not say taken from ours: source and date."""
    ours = {peer.iroh_node_id: peer for peer in listed}
    once = {peer.node_id: peer for peer in {peer.iroh_node_id: peer for peer in there}.values()}
    known = [(once[node_id], ours.get(once[node_id].iroh_node_id, once[node_id])) for node_id in sorted(once)]
    return [replace(peer, source=own.source, discovered_at=own.discovered_at, extra=own.extra) for peer, own in known]


class ZoneFile:
    """A file with the records, which a zone includes."""

    def __init__(self, path: Path, wall: Callable[[], datetime]) -> None:
        self.name = f"zone://{path}"
        self._path = path
        self._wall = wall

    async def publish(self, publication: Publication, *, check: bool = False) -> Outcome:
        """Have the records in the file, as `Destination.publish`."""
        zone, now = zone_of(publication.listed), self._wall()
        there = read_limited(self._path, MAX_ZONE_BYTES).decode("ascii", "replace") if self._path.exists() else ""
        outcome = _judged(self.name, publication, zone, *read_file(there), now)
        text = zone.file(publication.seq)
        if outcome.status == "unchanged" and there != text:
            outcome = Outcome(self.name, "changed", ("the same peers in another form",))
        if outcome.status == "changed" and not check:
            write_atomic(self._path, text.encode("ascii"), FILE_MODE)
        return outcome


class ZoneUpdate:
    """A domain whose primary server takes updates."""

    def __init__(self, where: DnsLocation, key: dns.tsig.Key | None, wall: Callable[[], datetime]) -> None:
        self.name = str(where)
        self._where = where
        self._key = key
        self._wall = wall

    async def publish(self, publication: Publication, *, check: bool = False) -> Outcome:
        """Have the records in the zone, as `Destination.publish`."""
        zone, client, now = zone_of(publication.listed), DnsClient(self._where), self._wall()
        (domain,) = client.domains()
        said = (await client.ask(f"{STATE}.{domain}", "TXT")).texts
        former = tuple((await client.ask(f"{SERVICE}.{domain}", "PTR")).names)
        names = [f"{SERVICE}.{domain}", *former]
        texts = [text for name in names for text in (await client.ask(name, "TXT")).texts]
        state = State.parse(said[0]) if said else None
        outcome = _judged(self.name, publication, zone, state, texts, now)
        if outcome.status == "changed" and not check:
            apex = await self._apex(domain)
            updates = _updates(apex, domain, zone, State(publication.seq, zone.digest), said, former)
            for update in updates:
                reason = await self._send(update)
                if reason is not None:
                    return Outcome(self.name, "refused", reason=f"{self.name}: {reason}")
        return outcome

    async def _apex(self, domain: str) -> dns.name.Name:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [self._where.server or ""], self._where.port
        try:
            return await dns.asyncresolver.zone_for_name(domain, resolver=resolver, lifetime=UPDATE_TIMEOUT)
        except (dns.exception.DNSException, OSError) as error:
            raise InputError(f"its zone cannot be found: {_words(error)}", file=self.name) from None

    async def _send(self, update: dns.update.UpdateMessage) -> str | None:
        """Send one update; return why it was refused for what somebody else wrote, None when it was done.

        Raises:
            InputError: the server does not take it.
        """
        if self._key is not None:
            update.use_tsig(self._key)
        server = self._where.server or ""
        try:
            answer = await dns.asyncquery.tcp(update, server, timeout=UPDATE_TIMEOUT, port=self._where.port)
        except dns.tsig.PeerError as error:
            mend = "the key or its algorithm is another at the server, or a clock is wrong"
            reason = f"the server refuses the signature ({type(error).__name__})"
            raise InputError(reason, file=self.name, mend=mend) from None
        except dns.exception.Timeout:
            mend = "does it run, and does a firewall let TCP through?"
            raise InputError(f"no answer in {UPDATE_TIMEOUT:g} s", file=self.name, mend=mend) from None
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise InputError(f"cannot be updated: {_words(error)}", file=self.name) from None
        code = answer.rcode()
        if code in (dns.rcode.NXRRSET, dns.rcode.YXRRSET):
            return "somebody else published meanwhile; run this again"
        if code in (dns.rcode.NOTAUTH, dns.rcode.REFUSED):
            word = "unsigned updates" if self._key is None else "updates with this key"
            mend = "give it a key (tsig_key_file) that it knows, or send it to the primary server of the zone"
            raise InputError(f"the server does not take {word} ({dns.rcode.to_text(code)})", file=self.name, mend=mend)
        if code != dns.rcode.NOERROR:
            raise InputError(f"the server refuses the update ({dns.rcode.to_text(code)})", file=self.name)
        return None


def _updates(
    apex: dns.name.Name, domain: str, zone: Zone, state: State, said: tuple[str, ...], former: tuple[str, ...]
) -> Iterator[dns.update.UpdateMessage]:
    """Yield the updates: the domain taken, the nodes at further names, the first name, what is left over."""

    def name(relative: str) -> dns.name.Name:
        return dns.name.from_text(f"{relative}.{domain}")

    def begun(holds: tuple[str, ...]) -> dns.update.UpdateMessage:
        message = dns.update.UpdateMessage(apex)
        if holds:
            message.present(name(STATE), dns.rdatatype.TXT, *(quoted(each) for each in holds))
        else:
            message.absent(name(STATE), dns.rdatatype.TXT)
        return message

    shards = {each: texts for each, texts in zone.texts.items() if each != SERVICE}
    if shards:
        taken = State(state.seq, f"{state.digest[:16]}-writing")
        first = begun(said)
        first.replace(name(STATE), TTL, "TXT", quoted(str(taken)))
        yield first
        said = (str(taken),)
        for each, texts in shards.items():
            message = begun(said)
            _replace(message, name(each), "TXT", map(quoted, texts))
            yield message
    last = begun(said)
    _replace(last, name(SERVICE), "TXT", map(quoted, zone.texts.get(SERVICE, ())))
    _replace(last, name(SERVICE), "PTR", [name(each).to_text() for each in zone.names])
    last.replace(name(STATE), TTL, "TXT", quoted(str(state)))
    yield last
    # The zone's word alone does not make this remove what it did not write.
    own = re.compile(rf"{re.escape(SERVICE)}\.[0-9]+of[0-9]+\.{re.escape(domain)}", re.IGNORECASE)
    gone = {each.lower() for each in former if own.fullmatch(each)} - {name(each).to_text().lower() for each in shards}
    if gone:
        message = begun((str(state),))
        for each in sorted(gone):
            message.delete(dns.name.from_text(each), "TXT")
        yield message


def _replace(message: dns.update.UpdateMessage, name: dns.name.Name, kind: str, values: Any) -> None:
    """Have exactly these records of a type at a name."""
    message.delete(name, kind)
    for value in values:
        message.add(name, TTL, kind, value)


def _words(error: BaseException) -> str:
    return one_line(str(error)) or type(error).__name__
