# SPDX-License-Identifier: MIT
"""The record held against what was last signed off: one rule for the module, the playbooks and the command line.

What was signed off is the manifest, where a fleet key signs one, and the peers file at hand. Between that and the
record a node may move (a higher number of its own), come (attested, and in the inventory), and change its key
(announced by the old one, or by the operator). Whoever is gone counts as a removal, however it went. Everything else
is an edit that nobody signed.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blixard.documents.entry_states import ABSENT, announcements_of, retired_ids, state_of
from blixard.documents.files import read_limited
from blixard.documents.record import SUFFIX, announced_option
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_MANIFEST_BYTES, MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.model.numbers import check_number, is_ahead
from blixard.model.words import MAX_NAMES, named
from blixard.trust.attestation import verify_attestation
from blixard.trust.key_announcement import verify_announcement
from blixard.trust.manifest import FILE_NAME, content_digest, verify_manifest
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, verify_peers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
    from blixard.trust.manifest import Manifest

_PART = 256
"""Entries whose signatures one thread verifies at a time."""

RESTORE = "restore that file from version control, or remove it and gather the host anew"


@dataclass(frozen=True)
class Member:
    """A member as it was signed off.

    Attributes:
        node_id, iroh_node_id: who it is; the id as text, as entries have it.
        seq: number of its attestation; None for one without.
        content: digest of what it says, see `blixard.trust.manifest`; None for an attested one.
        name: the host's name; None where only the peers file says who it is.
    """

    node_id: int
    iroh_node_id: str
    seq: int | None
    content: str | None
    name: str | None = None

    @property
    def title(self) -> str:
        """The member, for people."""
        return f"{self.name} (node {self.node_id})" if self.name else f"node {self.node_id}"


@dataclass(frozen=True)
class SignedOff:
    """The last state that was signed off.

    Attributes:
        where: the file that says who the members are.
        members: by Iroh id.
        gone: ids that left for good, and whose they were.
        tombstones: those of them that the record itself must still know.
    """

    where: str
    members: Mapping[str, Member]
    gone: Mapping[str, str] = field(default_factory=dict)
    tombstones: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What an operator says beside what was signed off.

    Attributes:
        announced: new Iroh ids by host name, on the operator's word or on a verified announcement.
        hosts: every name in the inventory; None when nobody knows.
        gathered: hosts that this run has asked; only of them a new key is taken for that of a new machine.
        renewed: those of them that the record had no entry of, since somebody removed it for a new one.
        unattested: hosts whose entry has no attestation, since another implementation runs their node. None when nobody
            says so: then all entries are attested, or none is.
    """

    announced: Mapping[str, EndpointId] = field(default_factory=dict)
    hosts: Collection[str] | None = None
    gathered: Collection[str] = ()
    renewed: Collection[str] = ()
    unattested: Collection[str] | None = None


@dataclass(frozen=True)
class _Held:
    """What came of a comparison: a line for each edit that nobody signed, and the members that are gone."""

    refused: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def read_signed_off(
    folder: Path,
    peers_file: Path | None,
    peers: Sequence[DiscoveredPeer] | None,
    *,
    signers: Collection[EndpointId] = (),
    cluster: str | None = None,
    read: Callable[[Path, int], bytes] = read_limited,
) -> SignedOff | None:
    """Return what was last signed off; None where nothing was.

    Args:
        folder: the record, which holds the manifest.
        peers_file: the peers file that was made of it, with its signature beside it.
        peers: what stands in that file; None where it is not there.
        signers: the fleet keys that are trusted. Without any, a manifest counts that is whole.
        cluster: the cluster that both must be for.
        read: reads a file of at most so many bytes.

    Raises:
        InputError: a file cannot be used.
        TrustError: the manifest is not by a trusted key, or was altered.
    """
    manifest = _read_manifest(folder / FILE_NAME, signers, cluster, read)
    at_hand = None if peers is None or peers_file is None else _of_peers(peers, str(peers_file))
    if manifest is None:
        return at_hand
    signed = _of_manifest(manifest, str(folder / FILE_NAME))
    if at_hand is None or peers_file is None:
        return signed
    newer = _signed_number(peers_file, signers or [manifest.signer], cluster, read) > manifest.seq
    return _later(signed, at_hand) if newer else signed


def _read_manifest(
    path: Path, signers: Collection[EndpointId], cluster: str | None, read: Callable[[Path, int], bytes]
) -> Manifest | None:
    if not path.exists():
        return None
    try:
        return verify_manifest(read(path, MAX_MANIFEST_BYTES), signers=signers, cluster=cluster)
    except InputError as error:
        raise error.located(file=str(path)) from None
    except TrustError as error:
        raise TrustError(
            f"{path}: {error}; restore it from version control, or, if the fleet key was replaced, remove it: then the"
            " peers file at hand counts"
        ) from None


def _of_manifest(manifest: Manifest, where: str) -> SignedOff:
    living = [each for each in manifest.members if each.state != ABSENT]
    named = {each.endpoint_id.base64: each for each in living}
    members = {text: Member(each.node_id, text, each.seq, each.content, each.name) for text, each in named.items()}
    gone = {each.endpoint_id.base64: each.name for each in manifest.members if each.state == ABSENT}
    gone |= {retired.base64: each.name for each in manifest.members for retired in each.retired}
    return SignedOff(where, members, gone, gone)


def _of_peers(peers: Sequence[DiscoveredPeer], where: str) -> SignedOff:
    members = {}
    for peer in peers:
        attested = peer.attestation
        content = None if attested else content_digest(peer.content())
        members[peer.iroh_node_id] = Member(
            peer.node_id, peer.iroh_node_id, attested.seq if attested else None, content
        )
    return SignedOff(where, members)


def _signed_number(
    peers_file: Path, signers: Collection[EndpointId], cluster: str | None, read: Callable[[Path, int], bytes]
) -> int:
    """Return the number of the peers file's signature; 0 where it does not hold, as after a run that broke off."""
    try:
        data = read(peers_file, MAX_PEERS_BYTES)
        sig = read(peers_file.with_name(peers_file.name + SIGNATURE_SUFFIX), MAX_SIGNATURE_BYTES)
        return verify_peers(data, sig, signers=signers, cluster=cluster, min_seq=1)
    except BlixardError:
        return 0


def _later(manifest: SignedOff, peers: SignedOff) -> SignedOff:
    """Return what a peers file says that was signed after the manifest: whoever it left out has left."""
    named = {
        each: replace(member, name=manifest.members[each].name) if each in manifest.members else member
        for each, member in peers.members.items()
    }
    left = {each: member.title for each, member in manifest.members.items() if each not in peers.members}
    return SignedOff(peers.where, named, {**manifest.gone, **left}, manifest.tombstones)


def altered(
    record: Mapping[str, NodeRegistryEntry], *, cluster: str | None, now: datetime, gathered: Collection[str] = ()
) -> list[str]:
    """Return a line for each entry that its own node did not sign as it stands there.

    When an attestation ends is left to the nodes, so that the peers file stays a function of the record alone. A number
    far ahead of `now` is no reason where the host was gathered: what it says now takes the place of that.
    """
    signed = [
        (name, entry)
        for name, entry in sorted(record.items())
        if state_of(entry) != ABSENT and entry.attestation is not None
    ]

    def troubles(part: Sequence[tuple[str, NodeRegistryEntry]]) -> list[str]:
        return [line for name, entry in part if (line := trouble(name, entry)) is not None]

    def trouble(name: str, entry: NodeRegistryEntry) -> str | None:
        try:
            attestation = verify_attestation(entry, cluster=cluster)
            if name not in gathered:
                check_number(attestation.seq, now)
        except BlixardError as error:
            return f"{name}{SUFFIX} in the record: {error}; {RESTORE}"
        return None

    # iroh verifies without Python's lock, so a large record takes all cores.
    parts = [signed[begin : begin + _PART] for begin in range(0, len(signed), _PART)]
    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1) or 1) as threads:
        return [line for lines in threads.map(troubles, parts) for line in lines]


def hold(
    record: Mapping[str, NodeRegistryEntry],
    signed_off: SignedOff | None,
    expected: Expected,
    *,
    cluster: str | None,
    now: datetime,
    numbers: bool = True,
) -> _Held:
    """Compare a record with what was signed off.

    Args:
        record: name to entry.
        signed_off: the last state; None for a fleet that begins.
        expected: what the operator says.
        cluster: the cluster that announcements must be for; None for any.
        now: the present, with a time zone: a number that was signed off and lies far ahead of it holds nothing.
        numbers: hold the numbers of attestations too; not for a record that is still to be brought up to date.
    """
    living = {name: entry for name, entry in record.items() if state_of(entry) != ABSENT}
    refused = list(_unattested(living, signed_off, expected))
    if signed_off is None:
        return _Held(tuple(refused))
    comparison = _Comparison(record, living, signed_off, expected, cluster, now)
    removed = []
    for member in sorted(signed_off.members.values(), key=lambda each: each.node_id):
        name = comparison.names.get(member.iroh_node_id)
        if name is not None:
            refused += comparison.changed(name, member, numbers=numbers)
        elif (successor := comparison.successor(member)) is None:
            removed.append(member.title)
        else:
            refused += comparison.replaced(successor, member)
    refused += comparison.added()
    refused += comparison.resurrected()
    return _Held(tuple(refused), tuple(removed))


def too_many_removed(removed: Collection[str], most: int, where: str) -> list[str]:
    """Return the refusal of more removals than may be at once, as lines; none when they may."""
    if len(removed) <= most:
        return []
    members = "1 member" if len(removed) == 1 else f"{len(removed)} members"
    who = named([*removed], MAX_NAMES)
    return [
        f"{members} of {where} would leave ({who}), and at most {most} may leave at once; restore what is missing in"
        " the record, or raise max_removals if that is meant"
    ]


def _unattested(
    living: Mapping[str, NodeRegistryEntry], signed_off: SignedOff | None, expected: Expected
) -> Iterator[str]:
    """Yield a line for each entry without attestation of which nobody said that it has none."""
    members = signed_off.members if signed_off is not None else {}
    if expected.unattested is None:
        attested = [name for name, entry in living.items() if entry.attestation is not None]
        if not attested and not any(member.seq for member in members.values()):
            return
    for name, entry in sorted(living.items()):
        if entry.attestation is not None or name in (expected.unattested or ()):
            continue
        member = members.get(entry.iroh_node_id)
        if member is None or member.content != content_digest(entry.content()):
            yield (
                f"{name}{SUFFIX} in the record: has no attestation, and nothing says that this host's node signs"
                f" nothing (blixard_node_manage: false, or --unattested {name}); {RESTORE}"
            )


@dataclass(frozen=True)
class _Comparison:
    """A record beside what was signed off."""

    record: Mapping[str, NodeRegistryEntry]
    living: Mapping[str, NodeRegistryEntry]
    signed_off: SignedOff
    expected: Expected
    cluster: str | None
    now: datetime
    names: dict[str, str] = field(default_factory=dict)
    by_node: dict[int, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    """Ids that the record itself knows as gone."""

    def __post_init__(self) -> None:
        for name, entry in self.living.items():
            self.names[entry.iroh_node_id] = name
            self.by_node[entry.node_id] = name
        for entry in self.record.values():
            self.left.update(each.base64 for each in retired_ids(entry))
            if state_of(entry) == ABSENT:
                self.left.add(entry.iroh_node_id)

    def changed(self, name: str, member: Member, *, numbers: bool) -> Iterator[str]:
        """Yield what an entry may not differ by from the member that it is."""
        entry = self.living[name]
        where = f"{name}{SUFFIX} in the record"
        if entry.node_id != member.node_id:
            there = f"{self.signed_off.where} has it as node {member.node_id}"
            yield f"{where}: is node {entry.node_id}, and {there}; {RESTORE}"
        if member.name not in (None, name) and member.name in self.living:
            yield f"{where}: is the entry of {member.name} in {self.signed_off.where}; {RESTORE}"
        if member.seq is None:
            return
        if entry.attestation is None:
            yield f"{where}: was attested in {self.signed_off.where} and is not now; {RESTORE}"
        elif numbers and entry.attestation.seq < member.seq and not is_ahead(member.seq, self.now):
            yield (
                f"{where}: is older than in {self.signed_off.where} (sequence number {entry.attestation.seq}, there"
                f" {member.seq}); {RESTORE}"
            )

    def successor(self, member: Member) -> str | None:
        """Return the name of the entry that stands where a member was; None when the member has left.

        A machine that this run has asked may stand where one that has left was.
        """
        name = self.by_node.get(member.node_id)
        if name is None:
            return None
        has_left = member.iroh_node_id in self.left or name in self.expected.renewed
        is_new = has_left and name in self.expected.gathered
        return None if is_new and not self._follows(name, member) else name

    def replaced(self, name: str, member: Member) -> Iterator[str]:
        """Yield why another id may not stand where a member was; nothing when the change was announced."""
        if not self._follows(name, member):
            now, before = self.living[name].endpoint_id, _short(member.iroh_node_id)
            yield (
                f"{name}{SUFFIX} in the record: has the Iroh id {now.short} for node {member.node_id}, where"
                f" {self.signed_off.where} has {before}, and nobody announced that; {RESTORE}, or say that it is meant"
                f" with {announced_option(name, now)}"
            )

    def added(self) -> Iterator[str]:
        """Yield why entries that were not signed off may not become members."""
        successors = {
            self.by_node[member.node_id]
            for member in self.signed_off.members.values()
            if member.node_id in self.by_node
        }
        for name, entry in sorted(self.living.items()):
            if entry.iroh_node_id in self.signed_off.members:
                continue
            if entry.iroh_node_id in self.signed_off.gone:
                whose = self.signed_off.gone[entry.iroh_node_id]
                yield (
                    f"{name}{SUFFIX} in the record: the Iroh id {entry.endpoint_id.short} ({whose}) has left for good"
                    " and does not come back; remove that file, and give the host a new key"
                )
            elif name not in successors and self.expected.hosts is not None and name not in self.expected.hosts:
                yield (
                    f"{name}{SUFFIX} in the record: is neither in the inventory nor in {self.signed_off.where}; put the"
                    " host into the inventory, or remove that file"
                )

    def resurrected(self) -> Iterator[str]:
        """Yield the tombstones that the record must have and has not."""
        for iroh_node_id, whose in sorted(self.signed_off.tombstones.items(), key=lambda item: item[1]):
            if iroh_node_id not in self.left and iroh_node_id not in self.names:
                yield (
                    f"the record no longer says that {whose} ({_short(iroh_node_id)}) has left for good, as"
                    f" {self.signed_off.where} does; restore {whose}{SUFFIX} from version control"
                )

    def _follows(self, name: str, member: Member) -> bool:
        """Tell whether the entry's id follows from the member's, by announcements or by the operator's word."""
        entry = self.living[name]
        announced = self.expected.announced.get(name)
        if announced is not None and announced == entry.endpoint_id:
            return True
        present = EndpointId.parse(member.iroh_node_id)
        for announcement in announcements_of(entry):
            try:
                said = verify_announcement(announcement, cluster=self.cluster or str(announcement.get("cluster")))
            except BlixardError:
                return False
            if said.old == present and said.node_id == member.node_id:
                present = said.new
        return present == entry.endpoint_id


def _short(iroh_node_id: str) -> str:
    return EndpointId.parse(iroh_node_id).short
