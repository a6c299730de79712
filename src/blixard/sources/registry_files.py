# SPDX-License-Identifier: MIT
"""Registry files on disk: one file, a directory of them, or all that a pattern matches."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.files import read_limited
from blixard.documents.limits import MAX_RECORD_ENTRIES, MAX_REGISTRY_BYTES
from blixard.errors import BlixardError, InputError
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting, unique
from blixard.sources.looking import LookingSource
from blixard.sources.registry_entry import RegistryReader
from blixard.sources.stamps import Stamp, stamp, stamp_of

if TYPE_CHECKING:
    from blixard.sources.attestations import AttestationCheck

SUFFIX = ".json"
"""What a registry file's name ends with, where a directory is looked through."""

_MAGIC = frozenset("*?[")


@dataclass
class _File:
    """One file as it was last read; what it said well is kept beside what is wrong with it now."""

    stamp: Stamp | None
    sighting: Sighting | None = None
    problem: str | None = None


class RegistryFiles(LookingSource):
    """Reads those files again that have changed.

    A file that cannot be used does not hide the others, and what it said before is kept. In a directory or a
    pattern a missing file takes its node away; a location that is itself missing is a failure.
    """

    def __init__(self, location: str | Path, *, check: AttestationCheck, wall: Callable[[], datetime]) -> None:
        self._location = str(Path(location).expanduser())
        super().__init__(f"registry:{self._location}", "registry")
        self._reader = RegistryReader(check, wall)
        self._wall = wall
        self._files: dict[str, _File] = {}
        self._home: tuple[int, int] | None = None
        self._answer: Answer = Nothing()
        self._has_looked = False

    def is_outdated(self) -> bool:
        stamps = self._list()
        if stamps is None:
            return not isinstance(self._answer, Failed)
        return not self._has_looked or stamps != {path: each.stamp for path, each in self._files.items()}

    def look(self) -> Answer:
        self._has_looked = True
        try:
            self._answer = self._look()
        except BlixardError as error:
            self._answer = Failed(str(error))
        return self._answer

    def _look(self) -> Answer:
        stamps = self._list()
        if stamps is None:
            raise InputError("does not exist", file=self._location, mend="name a registry, a directory or a pattern")
        if len(stamps) > MAX_RECORD_ENTRIES:
            raise InputError(f"has more than {MAX_RECORD_ENTRIES} files", file=self._location)
        home = self._find_home()
        if self._files and not stamps and home != self._home:
            # An empty mount point looks like a directory from which all files were removed.
            raise InputError("is empty, and another directory than before", file=self._location, mend="mount it again")
        self._home = home
        if not self._take_in(stamps) and isinstance(self._answer, (Found, Nothing)):
            return self._answer
        return self._sum_up()

    def _list(self) -> dict[str, Stamp | None] | None:
        """Return the stamp of each file there is, by path; None when the location does not exist."""
        try:
            is_there, is_directory = os.path.lexists(self._location), Path(self._location).is_dir()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be looked at: {error}", file=self._location) from None
        if is_directory:
            return _list_directory(self._location)
        if is_there:
            return {self._location: stamp(self._location)}
        if _MAGIC.intersection(self._location):
            # Not Path.glob: it wants a relative pattern, and a directory to start from.
            return {path: stamp(path) for path in sorted(glob.glob(self._location, recursive=True))}  # noqa: PTH207
        return None

    def _find_home(self) -> tuple[int, int] | None:
        """Return device and inode of the directory that the files are in, for a pattern of its fixed part."""
        home = Path(self._location)
        while _MAGIC.intersection(str(home)):
            home = home.parent
        found = stamp(home)
        return None if found is None else (found.device, found.inode)

    def _take_in(self, stamps: dict[str, Stamp | None]) -> bool:
        """Read what has changed; tell whether anything was."""
        gone = self._files.keys() - stamps.keys()
        for path in gone:
            del self._files[path]
        changed = bool(gone)
        now = self._wall().timestamp()
        for path, new in stamps.items():
            known = self._files.get(path)
            if known is not None and known.stamp == new:
                continue
            before = known.sighting if known is not None else None
            read = self._read(path, before)
            changed = changed or known is None or (read.sighting, read.problem) != (known.sighting, known.problem)
            # A file that changed just now may change again within one tick of its times: look again next time.
            read.stamp = new if new is not None and new.is_settled(now) else None
            self._files[path] = read
        return changed

    def _read(self, path: str, before: Sighting | None) -> _File:
        try:
            return _File(None, self._reader.read(read_limited(path, MAX_REGISTRY_BYTES), path, before))
        except BlixardError as error:
            return _File(None, before, str(error))

    def _sum_up(self) -> Answer:
        problems = tuple(each.problem for each in self._files.values() if each.problem is not None)
        if problems and list(self._files) == [self._location]:
            return Failed(problems[0])
        sightings, clashes = unique(each.sighting for each in self._files.values() if each.sighting is not None)
        return Found(sightings, problems + clashes) if self._files else Nothing()


def _list_directory(path: str) -> dict[str, Stamp | None]:
    """Return the stamps of the registry files in a directory, sorted by name; hidden ones are not looked at."""
    try:
        with os.scandir(path) as entries:
            named = [entry for entry in entries if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    return {entry.path: _stamp(entry) for entry in sorted(named, key=lambda each: each.name)}


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        return stamp_of(entry.stat())
    except OSError:
        return None
