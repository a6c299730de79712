# SPDX-License-Identifier: MIT
"""A fleet's record, manifest and peers file in etcd, under the prefix that `blixard.sources.etcd` reads.

What nodes take whole, the peers file with its signature, changes in the one transaction at the end, together with the
manifest. Before it go the parts of large documents, which nobody reads until then, and the entries, which only say
where members are. Each transaction has at most 128 operations and 1 MiB.

One publisher at a time: all transactions hold only under its locks, see `etcd_locks`. A publisher that stood still for
longer than a lease finds its next transaction refused. What nodes read is then as the last one who finished left it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blixard.documents.json_bytes import sha256_hex
from blixard.documents.lock_holder import holder
from blixard.documents.parts import MAX_PART, join, read_index, split, write_index
from blixard.errors import InputError
from blixard.model.limits import MAX_MANIFEST_BYTES, MAX_PEERS_BYTES, MAX_RECORD_ENTRIES
from blixard.publishing.base import Outcome, changes, newer
from blixard.publishing.etcd_locks import Operation, Publishing, RunFence, publishing, put, remove
from blixard.sources.etcd import PARTS, PEERS, REGISTRY, ROOM, SIGNATURE
from blixard.sources.etcd_client import Etcd, EtcdPlace, KeyValue, everything
from blixard.sources.http_client import Deadline, Limits
from blixard.sources.worker import Worker

if TYPE_CHECKING:
    from blixard.publishing.base import Publication, PublishContext

MANIFEST = "manifest"
MAX_OPERATIONS = 100
"""Operations of a transaction; etcd takes 128, comparisons counted apart."""

MAX_BYTES = 1024 * 1024
"""Bytes of a transaction; etcd takes 1.5 MiB."""

_LIMITS = Limits()
_LOOK = Limits(total=20.0)  # at 50,000 entries; shorter than the lease, which is not renewed meanwhile
_AFTER_REGISTRY = "registry0"


@dataclass(frozen=True)
class Published:
    """What stands under a prefix, at one revision.

    Attributes:
        entries: the bytes of the entries, by the name of the host.
        peers, signature, manifest: the bytes of these documents; None for what is not there, or not whole.
        parts: digests of the parts that are there.
        fence: the revision that changed the peers file last; 0 where there is none.
    """

    entries: Mapping[str, bytes]
    peers: bytes | None
    signature: bytes | None
    manifest: bytes | None
    parts: frozenset[str]
    fence: int


class EtcdDestination:
    """A prefix in etcd."""

    def __init__(self, url: str, context: PublishContext) -> None:
        """Take the place apart.

        Raises:
            InputError: it is none.
        """
        self._place = EtcdPlace.parse(url)
        self.name = str(self._place)
        self._wall = context.wall
        self._client = Etcd(self._place, context.etcd)
        self._run = RunFence(self._client, context.held.get(self.name))
        self._worker: Worker[Any] = Worker()

    async def publish(self, publication: Publication, *, check: bool = False) -> Outcome:
        """Have the publication there, as `Destination.publish`."""
        outcome: Outcome = await self._worker.run(lambda: self._publish(publication, check))
        return outcome

    def look(self) -> Published:
        """Return what is there now. Blocking.

        Raises:
            InputError: etcd gives no good answer.
        """
        deadline = Deadline(_LOOK)
        key = self._place.key
        found = everything(
            self._client, key(PEERS), key(_AFTER_REGISTRY), deadline, most=MAX_RECORD_ENTRIES + 2, room=ROOM
        )
        listed = everything(
            self._client, key(PARTS), key("parts0"), deadline, most=MAX_RECORD_ENTRIES, room=ROOM, keys_only=True
        )
        parts = frozenset(_named(listed.items, key(PARTS)))
        manifest = self._client.value(key(MANIFEST), deadline)
        at = {item.key: item for item in found.items}
        peers, signature = at.get(key(PEERS)), at.get(key(SIGNATURE))
        return Published(
            {name: item.value or b"" for name, item in _named(found.items, key(REGISTRY)).items()},
            self._document(peers, MAX_PEERS_BYTES),
            None if signature is None else signature.value,
            self._document(manifest, MAX_MANIFEST_BYTES),
            parts,
            0 if peers is None else peers.revision,
        )

    def _document(self, item: KeyValue | None, most: int) -> bytes | None:
        """Return a document, put together from its parts; None where one of them is not there."""
        value = b"" if item is None else item.value or b""
        try:
            digests = read_index(value)
        except InputError:
            return None
        if digests is None:
            return None if item is None else value
        parts = {digest: self._part(digest) for digest in digests}
        there = {digest: part for digest, part in parts.items() if part is not None}
        is_whole = len(there) == len(parts) and sum(len(there[digest]) for digest in digests) <= most
        return join(digests, there, most) if is_whole else None

    def _part(self, digest: str) -> bytes | None:
        found = self._client.value(self._place.key(PARTS + digest), Deadline(_LIMITS))
        part = None if found is None else found.value
        return part if part is not None and sha256_hex(part) == digest else None

    def _publish(self, publication: Publication, check: bool) -> Outcome:
        outcome = self._compare(publication, self.look())
        if check or outcome.status != "changed":
            return outcome
        with publishing(self._client, holder(os.getpid(), self._wall()), self._run) as lock:
            there = self.look()
            outcome = self._compare(publication, there)
            if outcome.status == "changed":
                self._write(publication, there, lock)
        return outcome

    def _compare(self, publication: Publication, there: Published) -> Outcome:
        reason = newer(publication, there.peers, there.signature, self._wall()) or _passed_over(
            publication, self.name, there.peers
        )
        if reason is not None:
            return Outcome(self.name, "refused", reason=f"{self.name}: {reason}")
        if not _differs(publication, there):
            return Outcome(self.name, "unchanged")
        lines = changes(publication, there.peers, there.manifest)
        return Outcome(self.name, "changed", lines or ("the same peers; new: entries, signature or manifest",))

    def _write(self, publication: Publication, there: Published, lock: Publishing) -> None:
        key = self._place.key
        peers, manifest = _Value(publication.peers), _Value(publication.manifest)
        parts = {**peers.parts, **manifest.parts}
        before = [put(key(PARTS + digest), part) for digest, part in parts.items() if digest not in there.parts]
        before += [
            put(key(REGISTRY + name), data)
            for name, data in publication.entries.items()
            if there.entries.get(name) != data
        ]
        for batch in _batches(before):
            lock.commit(batch, key(PEERS), there.fence)
        at_once = [
            put(key(name), value) if value is not None else remove(key(name))
            for name, value in ((PEERS, peers.value), (SIGNATURE, publication.signature), (MANIFEST, manifest.value))
        ]
        fence = lock.commit(at_once, key(PEERS), there.fence)
        gone = [remove(key(REGISTRY + name)) for name in there.entries.keys() - publication.entries.keys()]
        gone += [remove(key(PARTS + digest)) for digest in there.parts - parts.keys()]
        for batch in _batches(gone):
            lock.commit(batch, key(PEERS), fence)


def _passed_over(publication: Publication, place: str, peers: bytes | None) -> str | None:
    """Return why a publication does not follow from what is there: it was made from something older."""
    base = publication.base.get(place)
    if base is None or peers is None or sha256_hex(peers) in (base, sha256_hex(publication.peers)):
        return None
    return (
        "another controller has published since this record was there last; get it with `blixard record pull`, and run"
        " again"
    )


class _Value:
    """A document as the value of a key: itself, or the index of its parts."""

    def __init__(self, data: bytes | None) -> None:
        self.value, self.parts = data, dict[str, bytes]()
        if data is not None and len(data) > MAX_PART:
            digests, self.parts = split(data)
            self.value = write_index(digests)


def _differs(publication: Publication, there: Published) -> bool:
    return (publication.peers, publication.signature, publication.manifest, dict(publication.entries)) != (
        there.peers,
        there.signature,
        there.manifest,
        dict(there.entries),
    )


def _named(items: Iterable[KeyValue], prefix: bytes) -> dict[str, KeyValue]:
    found = [item for item in items if item.key.startswith(prefix)]
    return {item.key[len(prefix) :].decode(errors="backslashreplace"): item for item in found}


def _batches(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    batch: list[Operation] = []
    size = 0
    for each in operations:
        if batch and (len(batch) == MAX_OPERATIONS or size + each.size > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += each.size
    if batch:
        yield batch
