# SPDX-License-Identifier: MIT
"""Registry files on disk: one file, a folder of them, or all that a pattern matches."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.files import read_limited
from blixard.errors import BlixardError, InputError
from blixard.model.limits import MAX_REGISTRY_BYTES
from blixard.sources.base import Answer, Failed
from blixard.sources.file_stamps import Stamp, stamp, stamp_of
from blixard.sources.registry_reader import RegistryReader, RegistrySet, is_registry_name
from blixard.sources.worker import BlockingSource

if TYPE_CHECKING:
    from blixard.trust.attestation import AttestationCheck

_MAGIC = frozenset("*?[")


class RegistryFiles(BlockingSource):
    """Reads those files again that have changed.

    In a folder or a pattern a missing file takes its node away; a location that is itself missing is a failure.
    """

    def __init__(self, location: str | Path, *, check: AttestationCheck, wall: Callable[[], datetime]) -> None:
        self._location = str(Path(location).expanduser())
        super().__init__(f"registry:{self._location}", "registry")
        self._wall = wall
        self._set = RegistrySet(RegistryReader(check, wall), lambda path: read_limited(path, MAX_REGISTRY_BYTES))
        self._home: tuple[int, int] | None = None
        self._failed = False

    def is_outdated(self) -> bool:
        """Tell from stamps whether to look again, as `BlockingSource.is_outdated`."""
        stamps = self._stamps()
        return not self._failed if stamps is None else self._set.is_outdated(stamps)

    def look(self) -> Answer:
        """Look, as `BlockingSource.look`."""
        try:
            answer = self._look()
        except BlixardError as error:
            answer = Failed(str(error.located(file=self._location) if isinstance(error, InputError) else error))
        self._failed = isinstance(answer, Failed)
        return answer

    def _look(self) -> Answer:
        stamps = self._stamps()
        if stamps is None:
            raise InputError("does not exist", mend="name a registry, a folder of them, or a pattern")
        home = self._find_home()
        if len(self._set) and not stamps and home != self._home:
            # An empty mount point looks like a folder from which all files were removed.
            raise InputError("is empty, and another folder than before", mend="mount its file system again")
        self._home = home
        return self._set.look(stamps, alone=self._location)

    def _stamps(self) -> dict[str, Stamp | None] | None:
        """Return a stamp for each file; None for the whole when the location does not exist.

        A file that changed just now may change again within one tick of its times, so its stamp is None.
        """
        found = self._list()
        now = self._wall().timestamp()
        if found is None:
            return None
        return {path: each if each is not None and each.is_settled(now) else None for path, each in found.items()}

    def _list(self) -> dict[str, Stamp | None] | None:
        try:
            is_there, is_folder = os.path.lexists(self._location), Path(self._location).is_dir()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be looked at: {error}") from None
        if is_folder:
            return _list_folder(self._location)
        if is_there:
            return {self._location: stamp(self._location)}
        if _MAGIC.intersection(self._location):
            # Not Path.glob: it wants a relative pattern, and a folder to start from.
            return {path: stamp(path) for path in sorted(glob.glob(self._location, recursive=True))}  # noqa: PTH207
        return None

    def _find_home(self) -> tuple[int, int] | None:
        """Return device and inode of the folder that the files are in, for a pattern of its fixed part."""
        home = Path(self._location)
        while _MAGIC.intersection(str(home)):
            home = home.parent
        found = stamp(home)
        return None if found is None else (found.device, found.inode)


def _list_folder(path: str) -> dict[str, Stamp | None]:
    try:
        with os.scandir(path) as entries:
            named = sorted((each for each in entries if is_registry_name(each.name)), key=lambda each: each.name)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from None
    return {entry.path: _stamp(entry) for entry in named}


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        return stamp_of(entry.stat())
    except OSError:
        return None
