# SPDX-License-Identifier: MIT
"""A fleet's record in etcd: entries and a peers file under a prefix, read once and then followed by a watch.

Under the prefix stand:

    registry/NAME   an entry: what a registry file says
    peers           the peers file, or the index of its parts
    peers.sig       its signature
    parts/SHA256    parts of large documents

`manifest`, `lock` and `rollout` are for controllers (`blixard.publishing.etcd`) and are not read here.

Where there is a peers file, it alone says who is a peer, and an entry only where that peer is now: the one of them that
the node signed last. Without a peers file, and where no signers are trusted, the entries are the peers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import sha256_hex
from blixard.documents.parts import MAX_PART, join, read_index
from blixard.errors import BlixardError, InputError
from blixard.model.limits import MAX_PEERS_BYTES, MAX_RECORD_ENTRIES, MAX_REGISTRY_BYTES, MAX_SIGNATURE_BYTES
from blixard.sources.base import Answer, Failed, Found
from blixard.sources.document_reader import check_from_afar
from blixard.sources.etcd_client import Etcd, EtcdPlace, Header, KeyValue, everything
from blixard.sources.etcd_watch import EtcdWatch
from blixard.sources.http_client import Deadline, Limits
from blixard.sources.peers_reader import PeersReader
from blixard.sources.registry_reader import RegistryReader, RegistrySet
from blixard.sources.worker import StillBusy, Worker
from blixard.trust.peers_signature import SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from blixard.sources.base import SourceContext, SourceKind

_log = logging.getLogger("blixard.sources")

ROOM = 4 * MAX_PEERS_BYTES
"""Bytes that keys and values of a prefix may have together: the entries of 50,000 nodes and a peers file."""

RESTORED = timedelta(minutes=5)
"""Another cluster, or one that went back, counts when it has been there for so long: then it was restored."""

PEERS = "peers"
SIGNATURE = PEERS + SIGNATURE_SUFFIX
REGISTRY = "registry/"
PARTS = "parts/"
_AFTER_REGISTRY = "registry0"  # the name that follows all that begin with REGISTRY
_GRACE = 1.0


class EtcdSource:
    """Follows a prefix: what has changed comes by a watch, and every look makes sure that nothing is missing.

    A key that is removed takes its node away. A prefix that had peers and has none is a failure, since a wrong prefix
    and an etcd that was set up anew look the same. To take all peers away, put `[]` at `peers`.
    """

    kind: SourceKind = "registry"

    def __init__(self, place: EtcdPlace, context: SourceContext, *, limits: Limits | None = None) -> None:
        """`limits`: of time; together well below what the manager gives a source."""
        self.name = f"registry:{place}"
        self._place = place
        self._wall = context.wall
        self._limits = limits or Limits()
        self._client = Etcd(place, context.etcd)
        self._first, self._end = place.key(PEERS), place.key(_AFTER_REGISTRY)
        self._keys = _Keys()
        self._identity = _Identity(context.wall)
        self._watch: EtcdWatch | None = None
        self._may_watch = False
        self._said_of_watch: str | None = None
        self._entries = _Entries(place, context)
        self._peers = _Peers(place, context, self.name, self._get_part)
        self._joined = _Joined()
        self._deadline = Deadline(self._limits)
        self._worker: Worker[Answer] = Worker()

    async def fetch(self) -> Answer:
        """Look now, as `Source.fetch`."""
        return await self._peers.reader.backed(await self._ask())

    async def changed(self) -> bool:
        """Tell whether the watch has news, as `Watched.changed`; begins to watch when there is no watch."""
        if self._watch is not None:
            return self._watch.has_news()
        if self._may_watch:
            self._may_watch = False
            start = self._identity.revision + 1
            self._watch = EtcdWatch(self._client.twin(), self._first, self._end, start, self._limits)
        return False

    async def _ask(self) -> Answer:
        try:
            return await asyncio.wait_for(self._worker.run(self._look), self._limits.total + _GRACE)
        except (StillBusy, asyncio.TimeoutError):
            return Failed(f"{self._place}: the last look at it has not come back; can it be reached?")
        except BlixardError as error:
            return Failed(str(error))

    def _look(self) -> Answer:
        self._deadline = Deadline(self._limits)
        self._bring_up_to_date()
        self._may_watch = self._watch is None
        peers = self._peers.look(self._keys)
        entries = self._entries.look(self._keys)
        if peers is not None:
            return self._joined.of(peers, entries)
        if isinstance(entries, Found) and self._peers.reader.wants_signature:
            raise self._error("has entries, and no signed peers file that says who is a member", "publish one there")
        return entries

    def _bring_up_to_date(self) -> None:
        """Have in `_keys` what is under the prefix."""
        is_followed = self._take_news()
        if self._keys.is_complete:
            # With a watch it is enough that nobody is missing, and that this is the same cluster.
            options = {"count_only": True} if is_followed else {"min_mod_revision": str(self._identity.revision + 1)}
            found = self._client.range(self._first, self._end, self._deadline, **options)
            if self._recognize(found.header):
                for item in found.items:
                    self._keys.put(item)
                if found.count == len(self._keys) and not found.more:
                    self._identity.revision = found.header.revision if not is_followed else self._identity.revision
                    return
        self._read_all()

    def _take_news(self) -> bool:
        """Take in what the watch brought; tell whether it goes on."""
        if self._watch is None:
            return False
        news = self._watch.take()
        if not news.is_alive and news.end is not None:
            self._watch = None
            if news.end != self._said_of_watch:
                self._said_of_watch = news.end
                _log.info("watch ended", extra={"source": self.name, "reason": news.end})
        if news.header is not None and self._identity.knows(news.header):
            for event in news.changed.values():
                if event.revision > self._keys.read_at:
                    self._keys.put(event)
            self._identity.revision = max(self._identity.revision, news.header.revision)
        return news.is_alive

    def _recognize(self, header: Header) -> bool:
        """Tell whether what is known goes on from there; False where all has to be read anew."""
        problem = self._identity.problem(header)
        if problem is None:
            return self._identity.knows(header)
        # Perhaps another endpoint is still the one that it was.
        self._client.next_endpoint()
        self._stop_watching()
        raise self._error(problem, "its peers are kept; restart the node if it was restored just now")

    def _read_all(self) -> None:
        found = everything(self._client, self._first, self._end, self._deadline, most=MAX_RECORD_ENTRIES + 2, room=ROOM)
        self._recognize(found.header)
        self._identity.take(found.header)
        self._keys.replace(found.items, found.header)
        self._stop_watching()

    async def close(self) -> None:
        """End the watch, as `Open.close`."""
        self._stop_watching()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _get_part(self, digest: str) -> bytes:
        found = self._client.value(self._place.key(PARTS + digest), self._deadline)
        part = None if found is None else found.value
        if part is None or len(part) > MAX_PART or sha256_hex(part) != digest:
            raise self._error(f"has no good part {digest[:8]} of its peers file", "publish it again")
        return part

    def _error(self, reason: str, mend: str) -> InputError:
        return InputError(reason, file=str(self._place), mend=mend)


class _Keys:
    """The keys of the prefix with the revisions that changed them last, and the values that nobody has read yet.

    Attributes:
        is_complete: whether all has been read once.
        read_at: the revision at which that was done last.
        stamps: cluster and revision, by key.
        values: those that were not read yet, by key.
        changed: the keys that have come, changed or gone since the entries were looked at.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.read_at = 0
        self.stamps: dict[bytes, tuple[int, int]] = {}
        self.values: dict[bytes, bytes] = {}
        self.changed: set[bytes] = set()
        self._cluster = 0

    def __len__(self) -> int:
        return len(self.stamps)

    def put(self, item: KeyValue) -> None:
        """Take in one change."""
        if item.value is None:
            self._remove(item.key)
            return
        stamp = self._cluster, item.revision
        if self.stamps.get(item.key) != stamp:
            self.stamps[item.key], self.values[item.key] = stamp, item.value
            self.changed.add(item.key)

    def _remove(self, key: bytes) -> None:
        self.stamps.pop(key, None)
        self.values.pop(key, None)
        self.changed.add(key)

    def replace(self, items: tuple[KeyValue, ...], header: Header) -> None:
        """Take in all that there is."""
        self._cluster, self.read_at = header.cluster, header.revision
        for key in self.stamps.keys() - {item.key for item in items}:
            self._remove(key)
        for item in items:
            self.put(item)
        self.is_complete = True


class _Identity:
    """Which cluster this is, and how far it has come."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._cluster: int | None = None
        self._other: tuple[int, datetime] | None = None
        self.revision = 0

    def knows(self, header: Header) -> bool:
        """Tell whether an answer goes on from what was known."""
        return header.cluster == self._cluster and header.revision >= self.revision

    def take(self, header: Header) -> None:
        """Go on from an answer."""
        self._cluster, self.revision, self._other = header.cluster, header.revision, None

    def problem(self, header: Header) -> str | None:
        """Return why an answer is not believed; None where it is: it goes on, or has been another for long enough."""
        if self._cluster is None or self.knows(header):
            self._other = None
            return None
        now = self._wall()
        if self._other is None or self._other[0] != header.cluster:
            self._other = header.cluster, now
        if now - self._other[1] >= RESTORED:
            return None
        if header.cluster != self._cluster:
            return f"is another etcd cluster than before ({header.cluster:x}, and was {self._cluster:x})"
        return f"went back from revision {self.revision} to {header.revision}"


class _Entries:
    """What the entries say."""

    def __init__(self, place: EtcdPlace, context: SourceContext) -> None:
        self._place = place
        self._prefix = place.key(REGISTRY)
        self._cut = len(place.key(""))
        self._values: dict[bytes, bytes] = {}
        self._stamps: dict[str, object] = {}
        self._answer: Answer | None = None
        check = check_from_afar(context, is_plain=place.is_plain)
        self._set = RegistrySet(RegistryReader(check, context.wall), self._read)

    def look(self, keys: _Keys) -> Answer:
        """Return what they say, as `RegistrySet.look`; the very same as before when no key has changed."""
        self._values = keys.values
        for key in keys.changed:
            if key.startswith(self._prefix):
                self._answer = None
                self._stamp(self._shown(key), keys.stamps.get(key))
        keys.changed.clear()
        if len(self._set) and not self._stamps and self._place.key(PEERS) not in keys.stamps:
            mend = "the last ones are kept; to take them away, put [] at its key peers, or remove this source"
            raise InputError("has no entries any more", file=str(self._place), mend=mend)
        if self._answer is None:
            self._answer = self._set.look(self._stamps)
        return self._answer

    def _stamp(self, place: str, stamp: object) -> None:
        if stamp is None:
            self._stamps.pop(place, None)
        else:
            self._stamps[place] = stamp

    def _shown(self, key: bytes) -> str:
        return f"{self._place}/{key[self._cut :].decode(errors='backslashreplace')}"

    def _read(self, place: str) -> bytes:
        key = place.removeprefix(f"{self._place}/")
        value = self._values.pop(self._place.key(key), b"")
        if len(value) > MAX_REGISTRY_BYTES:
            raise InputError(f"is too large: more than {MAX_REGISTRY_BYTES} bytes", file=place)
        return value


class _Peers:
    """What the peers file says, put together from its parts."""

    def __init__(self, place: EtcdPlace, context: SourceContext, name: str, get_part: Callable[[str], bytes]) -> None:
        self._place = f"{place}/{PEERS}"
        self._key, self._signature_key = place.key(PEERS), place.key(SIGNATURE)
        self._get_part = get_part
        self._stamps: object = None
        self._value = self._signature = b""
        self._parts: dict[str, bytes] = {}
        self.reader = PeersReader(
            self._place,
            name=name,
            check=context.check if context.signers else check_from_afar(context, is_plain=place.is_plain),
            wall=context.wall,
            signers=context.signers,
            cluster=context.cluster,
            seen=context.seen,
            memory=context.memory,
        )

    def look(self, keys: _Keys) -> Found | None:
        """Return what it says; None where there never was one.

        Raises:
            InputError: it cannot be used, or is gone.
            TrustError: its signature does not hold.
        """
        self._value = keys.values.pop(self._key, self._value)
        self._signature = keys.values.pop(self._signature_key, self._signature)
        stamps = keys.stamps.get(self._key), keys.stamps.get(self._signature_key)
        if stamps[0] is None:
            if self.reader.good is None and self.reader.recall() is None:
                return None
            mend = "its peers are kept; to take them away put [] there"
            raise InputError("has vanished", file=self._place, mend=mend)
        if stamps != self._stamps or self.reader.good is None or self.reader.is_superseded:
            self._stamps = None
            if self.reader.wants_signature and (stamps[1] is None or len(self._signature) > MAX_SIGNATURE_BYTES):
                raise InputError(f"has no signature at {SIGNATURE}", file=self._place, mend="sign and publish it")
            signature = self._signature if self.reader.wants_signature else b""
            self.reader.read(self._document(), signature)
            self._stamps = stamps
        return self.reader.good

    def _document(self) -> bytes:
        try:
            digests = read_index(self._value)
            if digests is None:
                return self._value
            self._parts = {digest: self._parts.get(digest) or self._get_part(digest) for digest in digests}
            return join(digests, self._parts, MAX_PEERS_BYTES)
        except InputError as error:
            raise error.located(file=self._place) from None


class _Joined:
    """Peers file and entries as one answer, the very same one while neither has changed."""

    def __init__(self) -> None:
        self._of: tuple[Found, Answer] | None = None
        self._answer = Found(())

    def of(self, peers: Found, entries: Answer) -> Found:
        """Return the peers of the file, each as its node signed it last."""
        if self._of is None or self._of[0] is not peers or self._of[1] is not entries:
            self._answer = _join(peers, entries)
            self._of = peers, entries
        return self._answer


def _join(peers: Found, entries: Answer) -> Found:
    if not isinstance(entries, Found):
        return peers
    said = {each.peer.iroh_node_id: each for each in entries.sightings}
    sightings = []
    for member in peers.sightings:
        own = said.pop(member.peer.iroh_node_id, None)
        is_newer = own is not None and own.peer.node_id == member.peer.node_id and own.peer.seq > member.peer.seq
        sightings.append(own if own is not None and is_newer else member)
    strangers = (f"{len(said)} entries are of nodes that the peers file does not name",) if said else ()
    return Found(tuple(sightings), peers.problems + entries.problems + strangers, final=peers.final)
