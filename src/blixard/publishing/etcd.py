# SPDX-License-Identifier: MIT
"""A fleet's record, manifest and peers file in etcd, under the prefix that `blixard.sources.etcd` reads.

What nodes take whole, the peers file with its signature, changes in the one transaction at the end, together with the
manifest. Before it go the parts of large documents, which nobody reads until then, and the entries, which only say
where members are. Each transaction has at most 128 operations and 1 MiB.

One publisher at a time: all transactions hold only while its lock is there. The lock is a key with a lease that is
renewed between them; the fence is that the lock is of this lease. A publisher that stood still for longer than the
lease finds its next transaction refused, and what nodes read is then as the last one who finished left it.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blixard.documents.json_bytes import loads, sha256_hex
from blixard.documents.parts import MAX_PART, join, read_index, split, write_index
from blixard.errors import BlixardError, InputError, one_line
from blixard.model.limits import MAX_MANIFEST_BYTES, MAX_PEERS_BYTES, MAX_RECORD_ENTRIES
from blixard.model.times import format_time
from blixard.publishing.base import Outcome, changes, newer
from blixard.sources.etcd import PARTS, PEERS, REGISTRY, ROOM, SIGNATURE
from blixard.sources.etcd_client import Etcd, EtcdPlace, KeyValue, encoded, everything
from blixard.sources.http_client import Deadline, Limits
from blixard.sources.worker import Worker

if TYPE_CHECKING:
    from blixard.publishing.base import Publication, PublishContext

MANIFEST = "manifest"
LOCK = "lock"

MAX_OPERATIONS = 100
"""Operations of a transaction; etcd takes 128, comparisons counted apart."""

MAX_BYTES = 1024 * 1024
"""Bytes of a transaction; etcd takes 1.5 MiB."""

LEASE = 30
"""Seconds for which a lock is kept without being renewed: three times what the slowest call takes."""

PATIENCE = 60
"""Seconds that are waited for a lock."""

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
        with locked(self._client, self._wall) as lock:
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

    def _write(self, publication: Publication, there: Published, lock: Lock) -> None:
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


@dataclass(frozen=True)
class Operation:
    """A step of a transaction: as etcd has it, and its size in bytes."""

    request: Mapping[str, object]
    size: int


def put(key: bytes, value: bytes) -> Operation:
    """Return the step that puts a value."""
    return Operation({"request_put": {"key": encoded(key), "value": encoded(value)}}, len(key) + len(value))


def remove(key: bytes) -> Operation:
    """Return the step that removes a key, if it is there."""
    return Operation({"request_delete_range": {"key": encoded(key)}}, len(key))


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


@contextlib.contextmanager
def locked(client: Etcd, wall: Callable[[], datetime]) -> Iterator[Lock]:
    """Hold the lock of a prefix; waits up to `PATIENCE` seconds for who has it. Blocking.

    Raises:
        InputError: somebody else has it, or etcd gives no good answer.
    """
    lease = str(client.call("lease/grant", {"TTL": str(LEASE)}, Deadline(_LIMITS)).get("ID"))
    try:
        yield Lock(client, lease, wall)
    finally:
        with contextlib.suppress(BlixardError):  # it runs out by itself
            client.call("lease/revoke", {"ID": lease}, Deadline(_LIMITS))


class Lock:
    """The key `lock` under a prefix, which goes with its lease."""

    def __init__(self, client: Etcd, lease: str, wall: Callable[[], datetime]) -> None:
        """Take the lock, as `locked`."""
        self._client = client
        self._lease = lease
        self._key = client.place.key(LOCK)
        who = {"process": os.getpid(), "machine": os.uname().nodename, "since": format_time(wall())}
        taken = {"request_put": {"key": encoded(self._key), "value": encoded(json.dumps(who).encode()), "lease": lease}}
        is_free = {"key": encoded(self._key), "target": "CREATE", "create_revision": "0", "result": "EQUAL"}
        self._is_ours = {"key": encoded(self._key), "target": "LEASE", "lease": lease, "result": "EQUAL"}
        for _ in range(PATIENCE):
            # It is ours, too, when an endpoint took it and did not come to say so.
            if any(self._transact([fence], steps)[0] for fence, steps in ((is_free, [taken]), (self._is_ours, []))):
                return
            self._renew()
            threading.Event().wait(1.0)
        raise InputError(f"is being published to: {self._holder()}", file=str(client.place), mend="run this again")

    def commit(self, operations: list[Operation], unchanged: bytes, revision: int) -> int:
        """Do all of it while the lock is held and the key `unchanged` has this revision; return the new revision.

        Raises:
            InputError: it was not done, or etcd gives no good answer.
        """
        self._renew()
        is_same = {"key": encoded(unchanged), "target": "MOD", "mod_revision": str(revision), "result": "EQUAL"}
        is_done, after = self._transact([self._is_ours, is_same], [each.request for each in operations])
        if not is_done:
            raise InputError(
                "the lock was lost, and somebody else may have published",
                file=str(self._client.place),
                mend="nodes have the last whole publication; run this again",
            )
        return after

    def _transact(self, compare: list[dict[str, str]], success: list[Any]) -> tuple[bool, int]:
        """Do these steps if all of that is so; tell whether it is, and the revision then."""
        answer = self._client.call("kv/txn", {"compare": compare, "success": success}, Deadline(_LIMITS))
        return answer.get("succeeded") is True, _revision(answer)

    def _renew(self) -> None:
        self._client.call("lease/keepalive", {"ID": self._lease}, Deadline(_LIMITS))

    def _holder(self) -> str:
        found = self._client.value(self._key, Deadline(_LIMITS))
        try:
            who = loads(found.value or b"") if found else {}
        except InputError:
            who = {}
        said = who if isinstance(who, dict) else {}
        words = [one_line(str(said.get(key)), 100) for key in ("process", "machine", "since")]
        return "process {} on {}, since {}".format(*words)


def _revision(answer: Mapping[str, Any]) -> int:
    header = answer.get("header")
    text = str(header.get("revision")) if isinstance(header, dict) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InputError("etcd's answer has no revision")
    return int(text)
