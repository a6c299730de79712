# SPDX-License-Identifier: MIT
"""The registries at several places: each is read again when it has changed, and a bad one hides no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.documents.size_limits import MAX_RECORD_ENTRIES
from blixard.errors import BlixardError, InputError
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting, unique

if TYPE_CHECKING:
    from blixard.sources.registry_entry import RegistryReader

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
        return self._answer is None or stamps.keys() != self._places.keys() or any(map(self._is_new, stamps.items()))

    def look(self, stamps: Mapping[str, object], *, alone: str | None = None) -> Answer:
        """Read what has changed and return the answer, the very same as before when nothing is new.

        Args:
            stamps: for each place there is, what changes with its content; None where nothing tells.
            alone: the place that was named by itself: what is wrong with it is a failure, not a problem among others.

        Raises:
            InputError: there are too many places.
        """
        if len(stamps) > MAX_RECORD_ENTRIES:
            raise InputError(f"has more than {MAX_RECORD_ENTRIES} files")
        before = {place: (read.sighting, read.problem) for place, read in self._places.items()}
        for place in self._places.keys() - stamps.keys():
            del self._places[place]
        for place, stamp in stamps.items():
            if self._is_new((place, stamp)):
                self._places[place] = self._read_anew(place, stamp)
        after = {place: (read.sighting, read.problem) for place, read in self._places.items()}
        if self._answer is None or before != after:
            self._answer = self._sum_up(alone)
        return self._answer

    def _is_new(self, item: tuple[str, object]) -> bool:
        place, stamp = item
        read = self._places.get(place)
        return read is None or stamp is None or read.stamp != stamp

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
