# SPDX-License-Identifier: MIT
"""The last good peers file of each source, kept in the data directory for a start at which the source is not good."""

from __future__ import annotations

import base64
import binascii
import shutil
import stat
import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blixard.documents.data_dir_files import SNAPSHOTS_FOLDER_NAME
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import canonical_bytes, loads, sha256_hex
from blixard.errors import InputError
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.model.times import format_time, parse_rfc3339

_HEAD = 4 * MAX_SIGNATURE_BYTES
_LIMIT = _HEAD + MAX_PEERS_BYTES
_NAME_LENGTH = 32


@dataclass(frozen=True)
class Snapshot:
    """A peers file as a source had it: its bytes, those of its signature (empty: none), and since when."""

    data: bytes
    signature: bytes
    taken_at: datetime


class SnapshotStore:
    """A folder (0700) with one file (0600) for each source: a line that describes it, then the peers file as it was.

    It is trusted no more than where the bytes came from first: whoever recalls them verifies them again. May be used
    from several threads.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is the data directory; nothing is made in it before there is something to keep."""
        self._folder = folder / SNAPSHOTS_FOLDER_NAME
        self._lock = threading.Lock()
        self._unwritten: dict[str, Snapshot] = {}
        self._unremoved: set[Path] = set()
        self.problem: str | None = None
        """Why something could not be kept, on one line; None when all is."""

    def keep(self, source: str, new: Snapshot) -> None:
        """Remember what was taken from a source; costs no write when that is what is remembered.

        What cannot be written is tried again by `write_again`.
        """
        with self._lock:
            self._unwritten.pop(source, None)
            before = self._recall(source)
            if before is None or (before.data, before.signature) != (new.data, new.signature):
                self._unwritten[source] = new
            self._write()

    def recall(self, source: str) -> Snapshot | None:
        """Return what was last taken from a source; None when nothing is remembered, or the file is damaged."""
        with self._lock:
            return self._unwritten.get(source) or self._recall(source)

    def forget(self, source: str) -> None:
        """Remember nothing of a source any more."""
        with self._lock:
            self._unwritten.pop(source, None)
            self._remove(self._path(source))
            self._write()

    def forget_all_but(self, sources: Collection[str]) -> None:
        """Remember nothing of other sources than these any more."""
        kept = {self._path(source).name for source in sources}
        with self._lock:
            for source in self._unwritten.keys() - set(sources):
                del self._unwritten[source]
            for path in self._list():
                if path.name not in kept:
                    self._remove(path)

    def write_again(self) -> None:
        """Try to write what could not be written, and to remove what could not be removed."""
        with self._lock:
            if self._unwritten or self._unremoved:
                self._write()

    def _list(self) -> list[Path]:
        try:
            # A link is not followed; it is said when something is to be written there.
            return list(self._folder.iterdir()) if stat.S_ISDIR(self._folder.lstat().st_mode) else []
        except OSError:
            return []

    def _path(self, source: str) -> Path:
        return self._folder / sha256_hex(source.encode("utf-8", "surrogatepass"))[:_NAME_LENGTH]

    def _write(self) -> None:
        try:
            for source in tuple(self._unwritten):
                self._make_folder()
                write_atomic(self._path(source), _bytes(self._unwritten[source]), 0o600)
                self._unremoved.discard(self._path(source))
                del self._unwritten[source]
        except InputError as error:
            self.problem = str(error)
        else:
            self.problem = None
            for path in tuple(self._unremoved):
                self._remove(path)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not stat.S_ISDIR(self._folder.lstat().st_mode):
                raise InputError("is not a folder", file=str(self._folder), mend="move it away")
        except OSError as error:
            raise InputError(f"cannot be made: {error.strerror}", file=str(self._folder)) from None

    def _recall(self, source: str) -> Snapshot | None:
        try:
            return _parse(read_limited(self._path(source), _LIMIT))
        except InputError:
            return None

    def _remove(self, path: Path) -> None:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._unremoved.add(path)
            self.problem = f"{path}: cannot be removed: {error.strerror}"
        else:
            self._unremoved.discard(path)


def _bytes(remembered: Snapshot) -> bytes:
    head = {
        "version": 1,
        "taken_at": format_time(remembered.taken_at),
        "sha256": sha256_hex(remembered.data),
        "signature": base64.b64encode(remembered.signature).decode(),
    }
    return canonical_bytes(head) + b"\n" + remembered.data


def _parse(content: bytes) -> Snapshot:
    line, _, data = content.partition(b"\n")
    if len(line) > _HEAD:
        raise InputError("has no line that describes it")
    head = loads(line)
    if not isinstance(head, dict) or head.get("version") != 1 or head.get("sha256") != sha256_hex(data):
        raise InputError("is damaged")
    try:
        signature = base64.b64decode(str(head.get("signature")), validate=True)
    except binascii.Error:
        raise InputError("is damaged") from None
    return Snapshot(data, signature, parse_rfc3339(head.get("taken_at")))
