# SPDX-License-Identifier: MIT
"""A fleet's record and peers file in a folder or a store: what is written there, in which order, and what is not.

    PLACE/discovery-peers.json, .sig    what nodes read
    PLACE/registry/NAME.json, MANIFEST  the record
    PLACE/PUBLISHED                     the digest of each file of the record that is there by a publication

The signature goes first and the peers file directly after it. A node that reads the new peers file then finds its
signature, and one that knows the old file has no reason to read the signature again. Only a node that reads both for
the first time between the two writes finds a pair that does not fit: it takes neither, and asks again.

The signature is also what decides between two publishers: its number may only grow. All other files are written only
where they still are what they were before the signature was, so nobody who lost writes over what came after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from blixard.documents.data_dir_files import PEERS_FILE_NAME, SIGNATURE_SUFFIX
from blixard.documents.json_bytes import loads, pretty_bytes, sha256_hex
from blixard.errors import BlixardError, InputError
from blixard.model.limits import MAX_MANIFEST_BYTES, MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.model.words import wrong_kind
from blixard.publishing.base import Outcome, changes, newer
from blixard.publishing.shelves import Kept, Listed, Moved, Shelf, check_location, shelf_at
from blixard.sources.file_systems import trouble
from blixard.sources.urls import name_of, scheme_of
from blixard.sources.worker import Worker
from blixard.trust.manifest import FILE_NAME

if TYPE_CHECKING:
    from blixard.publishing.base import Publication, PublishContext

SIGNATURE = PEERS_FILE_NAME + SIGNATURE_SUFFIX
FOLDER = "registry"
MANIFEST = f"{FOLDER}/{FILE_NAME}"
INDEX = "PUBLISHED"

_ENTRY = re.compile(r"registry/[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.json")
"""What a publication may have put into the folder, and so what one may remove from there."""

MAX_INDEX_BYTES = 16 * 1024 * 1024
"""50,000 names of the longest kind with their digests."""

_BATCH = 500
"""Files after which `PUBLISHED` is written, so that what was cut off goes on from there."""

_TRIES = 5
"""Looks at a place that others write to at the same time."""


def store_at(location: str, context: PublishContext) -> Store:
    """Return the store at a path or a URL; it is opened when something is published.

    Raises:
        InputError: nothing can be written to such a place.
    """
    check_location(location)
    return Store(location, context.wall)


@dataclass(frozen=True)
class _There:
    """What was found at the place, before anything was written."""

    signature: Kept | None
    peers: Kept | None
    manifest: Kept | None
    index: Kept | None
    files: Mapping[str, Listed]


class Store:
    """A folder, or what fsspec writes to."""

    def __init__(self, location: str, wall: Callable[[], datetime]) -> None:
        self.name = location if scheme_of(location) is None else name_of(location)
        self._location = location
        self._wall = wall
        self._worker: Worker[Outcome] = Worker()

    async def publish(self, publication: Publication, *, check: bool = False) -> Outcome:
        """Have the publication there, as `Destination.publish`."""
        return await self._worker.run(lambda: self._publish(publication, check))

    def _publish(self, publication: Publication, check: bool) -> Outcome:
        try:
            shelf = shelf_at(self._location)
            for _ in range(_TRIES):
                try:
                    return self._try(shelf, publication, check)
                except Moved:
                    continue
        except BlixardError as error:
            raise (error.located(file=self.name) if isinstance(error, InputError) else error) from None
        except Exception as error:
            raise trouble(error, self._location, self.name, write=True) from None
        raise InputError("somebody else publishes there all the time", file=self.name, mend="run this again")

    def _try(self, shelf: Shelf, publication: Publication, check: bool) -> Outcome:
        there = _look(shelf)
        outcome, todo = self._judge(publication, there)
        if check or todo is None:
            return outcome
        with shelf.alone(self._wall()) as is_alone:
            if is_alone:
                there = _look(shelf)  # another publisher may have been there until now
                outcome, todo = self._judge(publication, there)
            if todo is not None:
                todo.do(shelf, there)
        return outcome

    def _judge(self, publication: Publication, there: _There) -> tuple[Outcome, _Todo | None]:
        """Return what becomes of the publication, and what there is to do for that."""
        data = there.peers and there.peers.data
        reason = newer(publication, data, there.signature and there.signature.data, self._wall())
        if reason is not None:
            return Outcome(self.name, "refused", reason=f"{self.name}: {reason}"), None
        todo = _todo(publication, there)
        if not todo:
            return Outcome(self.name, "unchanged"), None
        lines = changes(publication, data, there.manifest and there.manifest.data)
        return Outcome(self.name, "changed", lines or todo.lines()), todo


@dataclass(frozen=True)
class _Todo:
    """What has to be written and removed, by name; None for what is as it should be.

    Attributes:
        digests: what `PUBLISHED` says when all is done.
    """

    signature: bytes | None
    peers: bytes | None
    manifest: bytes | None
    entries: Mapping[str, bytes]
    removed: frozenset[str]
    digests: Mapping[str, str]
    published: Mapping[str, str]

    def __bool__(self) -> bool:
        return any((self.signature, self.peers, self.manifest, self.entries, self.removed)) or (
            self.digests != self.published
        )

    def lines(self) -> tuple[str, ...]:
        """Return what there is to say where all peers stay as they are."""
        parts = (("signature", self.signature), ("manifest", self.manifest))
        new = [word for word, data in parts if data is not None]
        if self.entries:
            new.append(f"{len(self.entries)} files of the record")
        return (f"the same peers; new: {', '.join(new) or 'nothing'}", *(f"− {each}" for each in sorted(self.removed)))

    def do(self, shelf: Shelf, there: _There) -> None:
        """Write and remove it, in the order that this file's first lines give reasons for."""
        if self.signature is not None:
            shelf.put(SIGNATURE, self.signature, there.signature)
        if self.peers is not None:
            shelf.put(PEERS_FILE_NAME, self.peers, there.peers)
        index, digests = there.index, dict(self.published)
        for batch in _batches(self.entries):
            shelf.put_all(batch, there.files)
            digests |= {name: self.digests[name] for name in batch}
            index = _put_index(shelf, digests, index)
        for name in self.removed & there.files.keys():
            shelf.remove(name, there.files[name])
        if self.manifest is not None:
            shelf.put(MANIFEST, self.manifest, there.manifest)
        if digests != self.digests:
            _put_index(shelf, self.digests, index)


def _look(shelf: Shelf) -> _There:
    return _There(
        _read(shelf, SIGNATURE, MAX_SIGNATURE_BYTES),
        _read(shelf, PEERS_FILE_NAME, MAX_PEERS_BYTES),
        _read(shelf, MANIFEST, MAX_MANIFEST_BYTES),
        _read(shelf, INDEX, MAX_INDEX_BYTES),
        shelf.list(FOLDER),
    )


def _read(shelf: Shelf, name: str, most: int) -> Kept | None:
    try:
        return shelf.read(name, most)
    except InputError as error:
        raise InputError(f"{name} {error.reason}", mend=error.mend or "move it away") from None


def _todo(publication: Publication, there: _There) -> _Todo:
    """Return what has to be done for the publication to be there; pure."""
    files = {f"{FOLDER}/{name}.json": data for name, data in publication.entries.items()}
    digests = {name: sha256_hex(data) for name, data in files.items()}
    published = _digests(there.index)
    entries = {
        name: data
        for name, data in files.items()
        if published.get(name) != digests[name] or name not in there.files or there.files[name].size != len(data)
    }
    return _Todo(
        _unless_there(publication.signature, there.signature),
        _unless_there(publication.peers, there.peers),
        _unless_there(publication.manifest, there.manifest),
        entries,
        frozenset(published.keys() - files.keys()),
        digests,
        published,
    )


def _unless_there(wanted: bytes | None, there: Kept | None) -> bytes | None:
    return None if there is not None and there.data == wanted else wanted


def _digests(index: Kept | None) -> dict[str, str]:
    """Return what `PUBLISHED` says; nothing where it cannot be used, and then all is written again."""
    try:
        return {} if index is None else parse_index(index.data)
    except InputError:
        return {}


def parse_index(data: bytes) -> dict[str, str]:
    """Return the digests of the files that a publication put into the folder; other names are left out.

    Raises:
        InputError: it is no such file.
    """
    files = loads(data)
    if not isinstance(files, dict):
        raise InputError(wrong_kind("an object", files))
    return {name: each for name, each in files.items() if _ENTRY.fullmatch(name) and isinstance(each, str)}


def _put_index(shelf: Shelf, digests: Mapping[str, str], before: Kept | None) -> Kept | None:
    shelf.put(INDEX, pretty_bytes(dict(sorted(digests.items()))), before)
    return shelf.read(INDEX, MAX_INDEX_BYTES)


def _batches(files: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
    each = iter(files.items())
    while batch := dict(islice(each, _BATCH)):
        yield batch
