# SPDX-License-Identifier: MIT
"""A fleet's record as it was published, brought to a controller: how several of them work on one record.

What comes is held against itself (the peers file follows from the entries, signature and manifest fit) and against what
is here: never an older one over a newer one, nor over changes that were not published, unless these are to be given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.entry_states import announcements_of, retired_ids, state_of
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import sha256_hex
from blixard.documents.peers_file import build_peers, parse_peers
from blixard.documents.record import FILE_MODE, SUFFIX, check_name, record_files
from blixard.documents.registry_file import parse_registry
from blixard.errors import InputError, TrustError
from blixard.model.limits import MAX_PEERS_BYTES, MAX_REGISTRY_BYTES, MAX_SIGNATURE_BYTES
from blixard.publishing.base import Publication, changes, newer, note_base, read_base
from blixard.publishing.factory import SHARED
from blixard.sources.urls import name_of, scheme_of
from blixard.trust.manifest import FILE_NAME, members_of, verify_manifest
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, parse_sig, verify_peers

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId
    from blixard.publishing.base import PublishContext
    from blixard.publishing.etcd import EtcdDestination, Published


@dataclass(frozen=True)
class Here:
    """Where a controller has its record and its peers file."""

    record: Path
    peers_file: Path

    @property
    def signature_file(self) -> Path:
        """The `.sig` beside the peers file."""
        return self.peers_file.with_name(self.peers_file.name + SIGNATURE_SUFFIX)


def shared_at(location: str, context: PublishContext) -> EtcdDestination:
    """Return the place from which several controllers take one record.

    Raises:
        InputError: it is none.
    """
    if scheme_of(location) not in SHARED:
        raise InputError("is no place to pull from", file=name_of(location), mend="write etcd://HOST:PORT/PREFIX")
    # Imported here, as all places are.
    from blixard.publishing.etcd import EtcdDestination

    return EtcdDestination(location, context)


def pull(
    there: Published,
    place: str,
    here: Here,
    *,
    signers: Collection[EndpointId],
    now: datetime,
    check: bool = False,
    discard: bool = False,
) -> tuple[str, ...]:
    """Have here what is published there; return a line for each peer that differs, none where nothing newer is there.

    Args:
        there: what is published.
        place: where, for errors.
        here: where it goes.
        signers: the fleet keys that are trusted; beside these the one that signed what is here.
        now: the present, with a time zone.
        check: write nothing.
        discard: also over changes that were not published.

    Raises:
        InputError: it is not whole, or there are changes here that were not published.
        TrustError: it is not signed as what is here, or older.
    """
    peers, signature = _read(here.peers_file, MAX_PEERS_BYTES), _read(here.signature_file, MAX_SIGNATURE_BYTES)
    known = {*signers, *([parse_sig(signature)[2]] if signature is not None else [])}
    publication = publication_of(there, place, signers=known)
    base, own = read_base(here.record).get(place), None if peers is None else sha256_hex(peers)
    published = sha256_hex(publication.peers)
    if own not in (None, base) and base == published and not discard:
        return ()  # nothing has come since; what is here goes on from it, and was not published yet
    if own not in (None, base, published) and not discard:
        raise InputError(
            "has changes that were not published",
            file=str(here.record),
            mend=f"publish them to {place} first, or pull with --discard and make them again",
        )
    reason = None if discard else newer(publication, peers, signature, now)
    if reason is not None:
        raise TrustError(f"{here.peers_file}: {reason.replace('there', 'here')}")
    lines = changes(publication, peers) if publication.peers != peers else ()
    if not check:
        is_changed = _write(publication, here)
        note_base(here.record, [place], publication.peers)
        return lines or (("the same peers; new: entries, signature or manifest",) if is_changed else ())
    return lines


def publication_of(there: Published, place: str, *, signers: Collection[EndpointId]) -> Publication:
    """Return what is published at a place, when it fits together and one of `signers` signed it, if there are any.

    Raises:
        InputError: there is nothing, or a part of it cannot be used.
        TrustError: it does not fit together.
    """
    if there.peers is None:
        raise InputError("has no whole publication", file=place, mend="publish the record there first")
    record = {check_name(name): _entry(data, f"{place}/registry/{name}") for name, data in there.entries.items()}
    listed = parse_peers(there.peers, file=f"{place}/peers")
    if listed != build_peers(record.values()):
        raise TrustError(f"{place}: its peers file does not follow from its entries; publish it again")
    if signers and (there.signature is None or there.manifest is None):
        raise TrustError(f"{place}: is not signed, and has to be; publish it signed")
    seq = None
    if there.signature is not None:
        trusted = signers or [parse_sig(there.signature, file=f"{place}/peers.sig")[2]]
        seq = verify_peers(there.peers, there.signature, signers=trusted, cluster=None, min_seq=1)
    if there.manifest is not None:
        members = verify_manifest(there.manifest, signers=signers, cluster=None).members
        if members != members_of(record):
            raise TrustError(f"{place}: its manifest is of another record; publish it again")
    return Publication(there.entries, there.peers, there.signature, there.manifest, seq, record, tuple(listed))


def _entry(data: bytes, file: str) -> NodeRegistryEntry:
    if len(data) > MAX_REGISTRY_BYTES:
        raise InputError(f"is too large: more than {MAX_REGISTRY_BYTES} bytes", file=file)
    entry = parse_registry(data, file=file)
    try:
        state_of(entry)
        retired_ids(entry)
        announcements_of(entry)
    except InputError as error:
        raise error.located(file=file) from None
    return entry


def _read(path: Path, limit: int) -> bytes | None:
    return read_limited(path, limit) if path.exists() else None


def _write(publication: Publication, here: Here) -> bool:
    """Write what differs, the peers file and its signature last; tell whether anything did."""
    try:
        here.record.mkdir(parents=True, exist_ok=True)
        files = record_files(here.record)
        for name in files.keys() - publication.entries.keys():
            Path(files[name]).unlink()
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=str(here.record)) from None
    wanted = {here.record / f"{name}{SUFFIX}": data for name, data in publication.entries.items()}
    if publication.manifest is not None:
        wanted[here.record / FILE_NAME] = publication.manifest
    if publication.signature is not None:
        wanted[here.signature_file] = publication.signature
    wanted[here.peers_file] = publication.peers
    differing = {path: data for path, data in wanted.items() if _differs(path, data)}
    for path, data in differing.items():
        write_atomic(path, data, FILE_MODE)
    return bool(differing) or bool(files.keys() - publication.entries.keys())


def _differs(path: Path, data: bytes) -> bool:
    try:
        return read_limited(path, len(data)) != data
    except InputError:
        return True
