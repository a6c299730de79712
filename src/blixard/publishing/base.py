# SPDX-License-Identifier: MIT
"""What is published, where to, what became of it; and the rules that hold at every place.

A publication is never put over a newer one, and an unchanged one is not written. Newer is what the fleet key signed
under a higher number; without a signature, what names a node with a newer attestation than this does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import loads, pretty_bytes, sha256_hex
from blixard.documents.peers_file import build_peers, diff_peers, parse_peers
from blixard.documents.record import FILE_MODE, SUFFIX, read_record
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.limits import MAX_MANIFEST_BYTES, MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.model.numbers import is_ahead
from blixard.sources.base import EtcdAccess
from blixard.trust.manifest import FILE_NAME, members_of, verify_manifest
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, parse_sig, verify_peers

if TYPE_CHECKING:
    from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry


@dataclass(frozen=True)
class Publication:
    """What a fleet says of itself, whole: each part fits the others.

    Attributes:
        entries: the bytes of the record's registry files, by the name of the host; tombstones too.
        peers: the bytes of the peers file that follows from them.
        signature: the bytes of its `.sig`; None where nothing is signed.
        manifest: the bytes of the record's manifest; None where there is none.
        seq: number of the signature; None where there is none.
        record: the entries, parsed.
        listed: the peers, parsed.
        base: for each place from which several controllers take the record, the digest of the peers file that the
            record and this place last had in common.
    """

    entries: Mapping[str, bytes]
    peers: bytes
    signature: bytes | None = None
    manifest: bytes | None = None
    seq: int | None = None
    record: Mapping[str, NodeRegistryEntry] = field(default_factory=dict, repr=False)
    listed: tuple[DiscoveredPeer, ...] = field(default=(), repr=False)
    base: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of a publication at one place.

    Attributes:
        place: the place, without anything secret.
        status: `changed` (in check mode: would be), `unchanged`, `refused` because what is there is newer, or
            `failed` because the place could not be used.
        changes: a line for each peer that differs from what was there, by its name.
        reason: why it was refused or failed, with the mend, on one line; None otherwise.
    """

    place: str
    status: Literal["changed", "unchanged", "refused", "failed"]
    changes: tuple[str, ...] = ()
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return it for `--json`."""
        return {"place": self.place, "status": self.status, "changes": list(self.changes), "reason": self.reason}


class Destination(Protocol):
    """A place that publications are put to."""

    @property
    def name(self) -> str:
        """The place, as it may be shown: without password, user and query."""
        ...

    async def publish(self, publication: Publication, *, check: bool = False) -> Outcome:
        """Have the publication there, as far as the place allows in one step; `check` writes nothing.

        Raises:
            BlixardError: the place cannot be used; what was there is as it was, or the next publication mends it.
        """
        ...


@dataclass(frozen=True)
class PublishContext:
    """What all destinations are given.

    Attributes:
        wall: the date and time.
        tsig_key_file: the file with the key that DNS updates are signed with.
        etcd: by what etcd and this program prove who they are.
        held: the lease of the run that this is part of, by the place in etcd that it has locked.
    """

    wall: Callable[[], datetime]
    tsig_key_file: Path | None = None
    etcd: EtcdAccess = field(default_factory=EtcdAccess)
    held: Mapping[str, str] = field(default_factory=dict)


RUN_LOCK = "BLIXARD_RECORD_LOCK"
"""The variable that tells what runs under a run's lock of it, see `held_of`."""

_HELD = re.compile(r"(?P<place>\S{1,2048}) (?P<lease>[0-9]{1,20})")


def held_of(text: str) -> dict[str, str]:
    """Return the lease that a run's lock is of, by its place; none where `text` is not of the form `PLACE LEASE`."""
    found = _HELD.fullmatch(text)
    return {} if found is None else {found["place"]: found["lease"]}


def read_publication(record: Path, peers_file: Path) -> Publication:
    """Return what stands in the record's folder and in the peers file, when it fits together.

    Raises:
        InputError: a file cannot be used.
        TrustError: the peers file is not what the record gives, or a signature does not fit.
    """
    data: dict[str, bytes] = {}

    def read(path: str, limit: int) -> bytes:
        return data.setdefault(Path(path).name.removesuffix(SUFFIX), read_limited(path, limit))

    entries = read_record(record, read=read)
    peers = read_limited(peers_file, MAX_PEERS_BYTES)
    listed = parse_peers(peers, file=str(peers_file))
    if listed != build_peers(entries.values()):
        raise TrustError(f"{peers_file}: is not what {record} gives; run `blixard peers build` first")
    signature = _read_if_there(peers_file.with_name(peers_file.name + SIGNATURE_SUFFIX), MAX_SIGNATURE_BYTES)
    manifest = _read_if_there(record / FILE_NAME, MAX_MANIFEST_BYTES)
    if signature is not None:
        _check_signature(peers_file, peers, signature)
    if manifest is not None:
        _check_manifest(record, entries, manifest)
    seq = None if signature is None else parse_sig(signature)[1]
    return Publication(data, peers, signature, manifest, seq, entries, tuple(listed), read_base(record))


BASE = ".published"
"""In the record's folder; hidden, so that nobody takes it for an entry."""

_MAX_BASE = 64 * 1024
_MAX_PLACES = 64


def read_base(record: Path) -> dict[str, str]:
    """Return what the record and each place last had in common, see `Publication.base`.

    Raises:
        InputError: the file cannot be used.
    """
    path = record / BASE
    data = _read_if_there(path, _MAX_BASE)
    found = {} if data is None else loads(data, file=str(path))
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise InputError("is no object of digests", file=str(path), mend="remove it, and pull the record again")
    return found


def note_base(record: Path, places: Collection[str], peers: bytes) -> None:
    """Remember that the record and these places have this peers file in common."""
    if not places:
        return
    before = read_base(record)
    digest = sha256_hex(peers)
    after = {**before, **dict.fromkeys(places, digest)}
    if after != before:
        kept = dict(list(after.items())[-_MAX_PLACES:])
        write_atomic(record / BASE, pretty_bytes(kept), FILE_MODE)


def newer(publication: Publication, peers: bytes | None, signature: bytes | None, now: datetime) -> str | None:
    """Return why what is at a place is newer than the publication; None when it is not.

    What cannot be read counts for nothing, and so does a number far ahead of the clock, which no node takes.

    Args:
        publication: what is to be put there.
        peers: the bytes of the peers file there; None where there is none.
        signature: those of its `.sig`, likewise.
        now: the present, with a time zone.
    """
    there = _seq_of(signature, now)
    if there is not None and publication.seq is None:
        return "what is there is signed, and this is not; sign it with the fleet key"
    if there is not None and publication.seq is not None:
        if there > publication.seq:
            return (
                f"is newer: number {there} is there, this is {publication.seq}; fetch record, peers file and signature"
                " from where they changed last, and publish those"
            )
        if there == publication.seq and signature != publication.signature:
            return f"another publication of the same number {there} is there; sign this one anew"
    if publication.seq is None:
        return _newer_attestation(publication, parsed(peers))
    return None


def changes(publication: Publication, peers: bytes | None, manifest: bytes | None = None) -> tuple[str, ...]:
    """Return a line for each peer that the publication changes, by its name; none where the peers file is the same.

    Args:
        publication: what is to be put there.
        peers: the bytes of the peers file there; what cannot be read counts for nothing.
        manifest: those of the manifest there, for the names of who leaves.
    """
    if peers == publication.peers:
        return ()
    names = {**_names(manifest), **{entry.node_id: name for name, entry in publication.record.items()}}
    found = diff_peers(parsed(peers) or (), publication.listed, names)
    return (*found.lines(), str(found)) if found else ("the same peers in another form",)


def _names(manifest: bytes | None) -> dict[int, str]:
    try:
        members = () if manifest is None else verify_manifest(manifest, signers=(), cluster=None).members
    except BlixardError:
        return {}
    return {member.node_id: member.name for member in members}


def parsed(peers: bytes | None) -> list[DiscoveredPeer] | None:
    """Return the peers of a file at a place; None where there is none that can be read."""
    try:
        return None if peers is None else parse_peers(peers)
    except InputError:
        return None


def _seq_of(signature: bytes | None, now: datetime) -> int | None:
    try:
        seq = None if signature is None else parse_sig(signature)[1]
    except InputError:
        return None
    return None if seq is None or is_ahead(seq, now) else seq


def _newer_attestation(publication: Publication, there: list[DiscoveredPeer] | None) -> str | None:
    ours = {peer.iroh_node_id: peer.seq for peer in publication.listed}
    for peer in there or ():
        if peer.seq > ours.get(peer.iroh_node_id, peer.seq):
            return (
                f"is newer: node {peer.node_id} is there with number {peer.seq}, here with {ours[peer.iroh_node_id]};"
                " gather it again, or fetch the record from where it changed last"
            )
    return None


def _read_if_there(path: Path, limit: int) -> bytes | None:
    return read_limited(path, limit) if path.exists() else None


def _check_signature(path: Path, peers: bytes, signature: bytes) -> None:
    file = f"{path}{SIGNATURE_SUFFIX}"
    try:
        verify_peers(peers, signature, signers=[parse_sig(signature)[2]], cluster=None, min_seq=1)
    except InputError as error:
        raise error.located(file=file) from None
    except TrustError as error:
        raise TrustError(f"{file}: {error}; run `blixard peers sign` first") from None


def _check_manifest(record: Path, entries: Mapping[str, NodeRegistryEntry], manifest: bytes) -> None:
    file = str(record / FILE_NAME)
    try:
        members = verify_manifest(manifest, signers=(), cluster=None).members
    except InputError as error:
        raise error.located(file=file) from None
    except TrustError as error:
        raise TrustError(f"{file}: {error}") from None
    if members != members_of(entries):
        raise TrustError(f"{file}: is of another record; run `blixard peers sign --record {record}` first")
