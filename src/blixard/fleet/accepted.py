# SPDX-License-Identifier: MIT
"""Which record `update_record` accepted last, so that the next run need not check every signature of it again.

A run that asks no host reads the same record as the one before, and checks ten thousand signatures for the same answer.
So the controller keeps, beside its user's other caches, one digest for each record: of every byte that the answer was
made of (entries, manifest, peers file and its signature), of all that the run was told, and of the package's version.
Who accepts that digest trusts that file as much as this package: it is in no folder that anybody else writes to or that
version control brings, it is this user's alone (0600, no link, no second name), and the digest is of the bytes that
were checked, not of what stood there before or after. Without the file a run takes longer, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard import __version__
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import loads, sha256_hex
from blixard.documents.record import record_files
from blixard.errors import BlixardError
from blixard.model.limits import (
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_PEERS_BYTES,
    MAX_REGISTRY_BYTES,
    MAX_SIGNATURE_BYTES,
)
from blixard.model.numbers import is_clock_set
from blixard.trust.manifest import FILE_NAME
from blixard.trust.peers_signature import SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Reading:
    """Files as they are read, each once: what is checked is, to the byte, what the digest is of."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._files: dict[str, bytes] = {}

    def read(self, path: str | os.PathLike[str], limit: int) -> bytes:
        """Return the content of a file as `blixard.documents.files.read_limited` does."""
        name = os.fspath(path)
        if name not in self._files:
            self._files[name] = read_limited(path, limit)
        return self._files[name]

    def digest(self, told: Mapping[str, Any]) -> str:
        """Return the SHA-256 (hex) of all that was read, and of what the run was told."""
        whole = sha256(json.dumps([__version__, told], sort_keys=True, default=str).encode())
        for name, data in sorted(self._files.items()):
            whole.update(f"\n{len(os.fsencode(name))} {len(data)}\n".encode() + os.fsencode(name) + data)
        return whole.hexdigest()


def recall(folder: Path, peers_file: Path, told: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    """Return what was kept of this very state of the record, when it was accepted; None where it is another one.

    Args:
        folder: the record.
        peers_file: the peers file that was made of it.
        told: what the run is told, as JSON.
        now: the present, with a time zone. A number that was not ahead of an earlier moment is not ahead of this one.
    """
    try:
        known: Any = loads(read_limited(_place(folder), MAX_CONFIG_BYTES, forbidden=0o077, own=True))
        if known["at"] > now.timestamp() or known["digest"] != _read(folder, peers_file).digest(told):
            return None
        kept: dict[str, Any] = known["kept"]
    except (BlixardError, OSError, TypeError, KeyError, RuntimeError):
        return None
    return kept


def keep(folder: Path, reading: Reading, told: Mapping[str, Any], now: datetime, kept: Mapping[str, Any]) -> None:
    """Keep that the state that was read was accepted; where that cannot be written, it is checked again."""
    if not is_clock_set(now):
        return  # by such a clock no number is ahead of it
    text = json.dumps({"at": now.timestamp(), "digest": reading.digest(told), "kept": kept}).encode()
    with contextlib.suppress(BlixardError, OSError, RuntimeError):
        place = _place(folder)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(text) <= MAX_CONFIG_BYTES:
            write_atomic(place, text, 0o600, follow=False)


def _place(folder: Path) -> Path:
    """Return where it is kept, one file for each record."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return home / "blixard" / "accepted-records" / sha256_hex(os.fsencode(os.path.realpath(folder)))


def _read(folder: Path, peers_file: Path) -> Reading:
    """Read what a run that is told of no host reads, and nothing else."""
    reading = Reading()
    for path in record_files(folder).values():
        reading.read(path, MAX_REGISTRY_BYTES)
    reading.read(peers_file, MAX_PEERS_BYTES)
    if (folder / FILE_NAME).exists():
        reading.read(folder / FILE_NAME, MAX_MANIFEST_BYTES)
        with contextlib.suppress(BlixardError):
            reading.read(peers_file.with_name(peers_file.name + SIGNATURE_SUFFIX), MAX_SIGNATURE_BYTES)
    return reading
