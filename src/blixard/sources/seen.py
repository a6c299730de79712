# SPDX-License-Identifier: MIT
"""The highest signature number seen of each peers file, kept across restarts: an older file is never taken again."""

from __future__ import annotations

import logging
from pathlib import Path

from blixard.documents.canonical import pretty_bytes
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.names import SEEN_FILE_NAME
from blixard.documents.strictjson import loads
from blixard.errors import InputError

FILE_NAME = SEEN_FILE_NAME
_LIMIT = 64 * 1024

_log = logging.getLogger("blixard.sources")


class SeenNumbers:
    """A small JSON file that maps each peers file to a number. Without a folder it remembers in memory only."""

    def __init__(self, folder: Path | None) -> None:
        """Read what is there.

        Raises:
            InputError: the file is there and cannot be used; to start without it would be to forget it.
        """
        self._path = folder / FILE_NAME if folder is not None else None
        self._numbers: dict[str, int] = _read(self._path) if self._path is not None and self._path.exists() else {}

    def lowest(self, name: str) -> int:
        """Return the lowest number that may be taken from `name`."""
        return self._numbers.get(name, 0)

    def raise_to(self, name: str, number: int) -> None:
        """Remember that `number` was taken; written to disk before this returns.

        A folder that cannot be written to is no reason to refuse a good file: it is logged.
        """
        if number <= self.lowest(name):
            return
        self._numbers[name] = number
        if self._path is None:
            return
        try:
            write_atomic(self._path, pretty_bytes(dict(sorted(self._numbers.items()))))
        except InputError as error:
            _log.warning("signature number not remembered", extra={"error": str(error)})


def _read(path: Path) -> dict[str, int]:
    obj = loads(read_limited(path, _LIMIT), file=str(path))
    if not isinstance(obj, dict) or not all(type(number) is int and number >= 0 for number in obj.values()):
        mend = "remove it to accept any number once more, if you know that the peers file is the latest"
        raise InputError("must be an object of numbers", file=str(path), mend=mend)
    return obj
