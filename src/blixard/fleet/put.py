# SPDX-License-Identifier: MIT
"""A file of the controller's put into a node's data directory, by the account that owns the directory."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from blixard.documents.account import as_owner_of
from blixard.documents.files import open_own, read_limited, write_atomic
from blixard.errors import InputError
from blixard.model.limits import KIB, MAX_PEERS_BYTES

MAX_PACKED = 64 * KIB
"""Characters that a file may take in a command; Linux takes 128 KiB for one argument, quoted twice at most."""

MAX_SHOWN = 256 * 1024
"""Bytes of the file that was there which are returned for a diff."""


def name_in(data_dir: str, path: str) -> str | None:
    """Return the name of a file in the data directory, by the paths' words alone; None where it lies elsewhere."""
    home, place = os.path.normpath(data_dir), os.path.normpath(path)
    return place[len(home) + 1 :] if place.startswith(f"{home}/") else None


def packed(data: bytes) -> str | None:
    """Return the content of a file as it goes along in a command; None where it is too large for that."""
    text = base64.b64encode(zlib.compress(data, 9)).decode()
    return text if len(text) <= MAX_PACKED else None


def unpacked(text: str) -> bytes:
    """Return what was `packed`; of what is larger than any file of ours, more than it may have."""
    return zlib.decompressobj().decompress(base64.b64decode(text), MAX_PEERS_BYTES + 1)


def put(
    data_dir: Path, name: str, *, sha256: str, mode: int, source: Path | bytes | None = None, diff: bool = False
) -> dict[str, Any]:
    """Have a file with this content and mode under `name`; whatever has the name is replaced, and no link followed.

    Root does it as the account that owns the directory, so that the file becomes the account's, and what the account
    may have planted there leads no further than the account gets by itself.

    Args:
        data_dir: the node's data directory, which must be there.
        name: of the file in it; folders on the way are made.
        sha256: digest of the content, hex.
        mode: permission bits.
        source: the content, or a file of whoever runs this with it; None only says whether anything would change.
        diff: also return what is there now.

    Returns:
        `changed`, and with `diff` the text `before`, null where there is none to show.

    Raises:
        InputError: the name leads out of the directory, the source is another than was promised, or the directory is
            missing or cannot be written.
    """
    names = PurePosixPath(name)
    if names.is_absolute() or ".." in names.parts or not names.parts:
        raise InputError("is no name of a file in a data directory", file=name)
    data = None if source is None else _content(source, sha256)
    with as_owner_of(data_dir):
        return have_file(data_dir / names, data, sha256=sha256, mode=mode, below=data_dir, diff=diff)


def have_file(
    path: Path,
    data: bytes | None,
    *,
    sha256: str,
    mode: int,
    group: int | None = None,
    below: Path | None = None,
    diff: bool = False,
) -> dict[str, Any]:
    """Have a file with this content, mode and group at `path`, as whoever runs this; see `put`.

    Args:
        path: the file. Missing folders on the way to it are made, but for `below`, which must be there.
        data: its content; None only says whether anything would change.
        sha256: digest of the content, hex.
        mode: permission bits.
        group: number of its group; None for whatever it belongs to.
        below: the data directory.
        diff: also return what is there now.

    Raises:
        InputError: it cannot be written.
    """
    present = _present(path)
    same = present is not None and hashlib.sha256(present).hexdigest() == sha256
    changed = not same or not _is_own(path, mode, group)
    if changed and data is not None:
        _write(path, data, mode, group, below)
    before = None if present is None or len(present) > MAX_SHOWN else present.decode(errors="replace")
    return {"changed": changed, **({"before": before} if diff else {})}


def _content(source: Path | bytes, sha256: str) -> bytes:
    data = source if isinstance(source, bytes) else read_limited(source, MAX_PEERS_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        file = None if isinstance(source, bytes) else str(source)
        raise InputError("is not what was sent", file=file, mend="run this again")
    return data


def _present(path: Path) -> bytes | None:
    """Return what the file holds now; None where there is no such file, or none of a size that counts."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        return read_limited(path, MAX_PEERS_BYTES)
    except (InputError, OSError):
        return None


def _is_own(path: Path, mode: int, group: int | None) -> bool:
    try:
        descriptor = open_own(path, forbidden=0)
    except (InputError, OSError):
        return False
    try:
        status = os.fstat(descriptor)
        return stat.S_IMODE(status.st_mode) == mode and group in (None, status.st_gid)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes, mode: int, group: int | None, below: Path | None) -> None:
    if below is not None and not below.is_dir():
        raise InputError("is no directory", file=str(below), mend="make it for the account that the node runs as")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", file=str(path.parent), mend="move it away") from None
    write_atomic(path, data, mode, follow=False, group=group)
