# SPDX-License-Identifier: MIT
"""From the bytes of registry files to sightings: one file or several, where a bad one hides no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from blixard.documents.entry_states import PRESENT, state_of
from blixard.documents.json_times import parse_time
from blixard.documents.registry_file import parse_registry
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.addresses import HostPort
from blixard.model.entry import DiscoveredPeer
from blixard.model.limits import MAX_RECORD_ENTRIES
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting, unique

if TYPE_CHECKING:
    from blixard.model.entry import NodeRegistryEntry
    from blixard.sources.base import SourceKind
    from blixard.trust.attestation import AttestationCheck


class RegistryReader:
    """Parses and verifies registries."""

    def __init__(
        self,
        check: AttestationCheck,
        wall: Callable[[], datetime],
        *,
        kind: SourceKind = "registry",
        is_hint: bool = False,
    ) -> None:
        """`wall` dates peers whose registry is not signed; a signed one says when it was.

        Args:
            check: verifies attestations.
            wall: the date and time.
            kind: of the source.
            is_hint: whether a registry says where its node is, and not that it is a member, see `Sighting`.
        """
        self._check = check
        self._wall = wall
        self._kind = kind
        self._is_hint = is_hint

    def read(self, data: bytes, place: str, before: Sighting | None = None) -> Sighting | None:
        """Return what a registry says; None when it says that its node is leaving or has left.

        Args:
            data: the bytes of the file.
            place: path or URL.
            before: the sighting from the same place; it is returned again when nothing has changed.

        Raises:
            InputError: it is no registry.
            TrustError: its attestation does not hold.
        """
        entry = parse_registry(data, file=place)
        if state_of(entry) != PRESENT:
            return None
        listens_at = HostPort.parse(entry.address)
        if before is not None and _says_the_same(entry, listens_at, before):
            return before
        issued = entry.attestation.issued_at if entry.attestation else None
        peer = DiscoveredPeer.from_entry(entry, self._kind, parse_time(issued) if issued else self._wall())
        problem = self._check.problem(peer)
        if problem is not None:
            raise TrustError(f"{place}: {problem}")
        return Sighting(peer, place, listens_at, is_hint=self._is_hint)


def _says_the_same(entry: NodeRegistryEntry, listens_at: HostPort, before: Sighting) -> bool:
    return (entry.content(), entry.attestation, listens_at) == (
        before.peer.content(),
        before.peer.attestation,
        before.listens_at,
    )


SUFFIX = ".json"
"""What a registry file's name ends with, where a folder is looked through."""


def is_registry_name(name: str) -> bool:
    """Tell whether a file in a folder is taken for a registry; hidden ones are somebody's half-written files."""
    return name.endswith(SUFFIX) and not name.startswith(".")


@dataclass
class _Read:
    """One place as it was last read; what it said well is kept beside what is wrong with it now."""

    stamp: object
    sighting: Sighting | None
    problem: str | None


_Lasting = Callable[[object], bool]


class RegistrySet:
    """What is at each place now, as one answer."""

    def __init__(self, reader: RegistryReader, read: Callable[[str], bytes]) -> None:
        """`read` returns the bytes at a place; it may raise BlixardError."""
        self._reader = reader
        self._read = read
        self._places: dict[str, _Read] = {}
        self._answer: Answer | None = None

    def __len__(self) -> int:
        return len(self._places)

    def is_outdated(self, stamps: Mapping[str, object]) -> bool:
        """Tell whether `look` with these stamps would read anything."""
        return self._answer is None or stamps.keys() != self._places.keys() or bool(self._new(stamps))

    def look(
        self, stamps: Mapping[str, object], *, alone: str | None = None, lasting: _Lasting | None = None
    ) -> Answer:
        """Read what has changed and return the answer, the very same as before when nothing is new.

        Args:
            stamps: for each place there is, what changes with its content; None where nothing tells.
            alone: the place that was named by itself: what is wrong with it is a failure, not a problem among others.
            lasting: tells of a stamp that was taken now whether the same one later will mean the same content.

        Raises:
            InputError: there are too many places.
        """
        if len(stamps) > MAX_RECORD_ENTRIES:
            raise InputError(f"has more than {MAX_RECORD_ENTRIES} files")
        gone = self._places.keys() - stamps.keys()
        for place in gone:
            del self._places[place]
        is_changed = bool(gone)
        for place in self._new(stamps):
            before, stamp = self._places.get(place), stamps[place]
            after = self._read_anew(place, stamp if lasting is None or lasting(stamp) else None)
            self._places[place] = after
            is_changed |= before is None or (before.sighting, before.problem) != (after.sighting, after.problem)
        if self._answer is None or is_changed:
            self._answer = self._sum_up(alone)
        return self._answer

    def _new(self, stamps: Mapping[str, object]) -> list[str]:
        """Return the places that have to be read."""
        get = self._places.get
        return [
            place
            for place, stamp in stamps.items()
            if (read := get(place)) is None or read.stamp != stamp or stamp is None
        ]

    def _read_anew(self, place: str, stamp: object) -> _Read:
        read = self._places.get(place)
        before = read.sighting if read is not None else None
        try:
            return _Read(stamp, self._reader.read(self._read(place), place, before), None)
        except BlixardError as error:
            return _Read(stamp, before, str(error))

    def _sum_up(self, alone: str | None) -> Answer:
        # By place, so that the answer does not depend on the order in which files were written.
        reads = [self._places[place] for place in sorted(self._places)]
        problems = tuple(read.problem for read in reads if read.problem is not None)
        if problems and list(self._places) == [alone]:
            return Failed(problems[0])
        sightings, clashes = unique(read.sighting for read in reads if read.sighting is not None)
        return Found(sightings, problems + clashes) if reads else Nothing()
