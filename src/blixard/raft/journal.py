# SPDX-License-Identifier: MIT
"""The journal: entries in memory, and on the disk as lines with a checksum each.

What is added or cut off goes to the disk with `sync`, which returns when it is there. Whoever uses a journal says
nothing to others before that.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, overload

from blixard.documents.files import open_own, write_atomic
from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.raft.codec import entry_from_json, entry_to_json

if TYPE_CHECKING:
    from blixard.raft.append_guard import Entry

MAX_JOURNAL_BYTES = 256 * 1024 * 1024
"""Far more than stands between two snapshots: 5,000 entries of the largest size are 80 MB."""


class Journal:
    """Entries that follow each other; the first may have any index."""

    def __init__(self, path: Path) -> None:
        """Read the journal at `path`, or begin one. A last line that was cut off is left out: it was never synced.

        Raises:
            InputError: the file cannot be read, or another line than the last is damaged.
        """
        self._path = path
        self._entries: list[Entry] = []
        self._ends: list[int] = []
        self._cut_at: int | None = None
        self._is_new = not os.path.lexists(path)
        if not self._is_new:
            self._read()
        self._written = len(self._entries)

    def _read(self) -> None:
        descriptor = open_own(self._path)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_JOURNAL_BYTES + 1)
        if len(data) > MAX_JOURNAL_BYTES:
            raise InputError(f"is too large: more than {MAX_JOURNAL_BYTES} bytes", file=str(self._path))
        end = 0
        for number, line in enumerate(io.BytesIO(data), 1):  # bytes.splitlines ends a line at \r too
            entry = _parsed(line, self._path, number)
            if entry is None:
                if end + len(line) < len(data):
                    raise _damaged(self._path, number)
                self._cut_at = end
                break
            if self._entries and entry[1] != self._entries[-1][1] + 1:
                raise _damaged(self._path, number)
            end += len(line)
            self._entries.append(entry)
            self._ends.append(end)

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._entries)

    @overload
    def __getitem__(self, position: int) -> Entry: ...
    @overload
    def __getitem__(self, position: slice) -> list[Entry]: ...
    def __getitem__(self, position: int | slice) -> Entry | list[Entry]:
        """Return the entry at a position, or those of a slice."""
        return self._entries[position]

    def add(self, data: bytes, index: int, term: int) -> None:
        """Add an entry at the end."""
        self._entries.append((data, index, term))

    def cut_from(self, position: int) -> None:
        """Forget the entry at `position` and all after it."""
        del self._entries[position:]
        if position < self._written:
            self._written = position
            del self._ends[position:]
            self._cut_at = self._ends[-1] if self._ends else 0

    def cut_to(self, position: int) -> None:
        """Forget the entries before `position`, which a snapshot has."""
        del self._entries[:position]
        self._is_new = True

    def sync(self) -> None:
        """Bring the file to what is here; return when that is on the disk.

        Raises:
            InputError: it cannot be written; what is on the disk is then what was there, with some lines more at most.
        """
        if self._is_new:
            lines = [_line(entry) for entry in self._entries]
            write_atomic(self._path, b"".join(lines))
            self._ends = _ends(lines, 0)
            self._is_new, self._cut_at, self._written = False, None, len(lines)
            return
        if self._cut_at is None and self._written == len(self._entries):
            return
        lines = [_line(entry) for entry in self._entries[self._written :]]
        try:
            descriptor = open_own(self._path, os.O_WRONLY)
            try:
                start = self._cut_at if self._cut_at is not None else (self._ends[-1] if self._ends else 0)
                os.ftruncate(descriptor, start)
                _write_at(descriptor, b"".join(lines), start)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            mend = "make room there, or see to the disk"
            raise InputError(f"cannot be written: {error.strerror}", file=str(self._path), mend=mend) from None
        self._ends += _ends(lines, start)
        self._cut_at, self._written = None, len(self._entries)


def _line(entry: Entry) -> bytes:
    body = json.dumps(entry_to_json(entry), ensure_ascii=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parsed(line: bytes, path: Path, number: int) -> Entry | None:
    """Return the entry on a line; None when it is not whole."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    place = f"{path}: line {number}"
    return entry_from_json(loads(body, file=place), "")


def _damaged(path: Path, number: int) -> InputError:
    mend = "remove this voter on the leader, move its folder away, and add it again"
    return InputError(f"is damaged in line {number}, and not at its end", file=str(path), mend=mend)


def _ends(lines: list[bytes], start: int) -> list[int]:
    ends = []
    for line in lines:
        start += len(line)
        ends.append(start)
    return ends


def _write_at(descriptor: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written
