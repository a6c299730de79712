# SPDX-License-Identifier: MIT
"""A file of the controller's put into a node's data directory, by the account that owns the directory."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from blixard.documents.account import as_owner_of
from blixard.documents.files import open_own, read_limited, write_atomic
from blixard.errors import InputError
from blixard.model.limits import MAX_PEERS_BYTES

MAX_SHOWN = 256 * 1024
"""Bytes of the file that was there which are returned for a diff."""


def put(
    data_dir: Path, name: str, *, sha256: str, mode: int, source: Path | None = None, diff: bool = False
) -> dict[str, Any]:
    """Have a file with this content and mode under `name`; whatever has the name is replaced, and no link followed.

    Root does it as the account that owns the directory, so that the file becomes the account's, and what the account
    may have planted there leads no further than the account gets by itself.

    Args:
        data_dir: the node's data directory, which must be there.
        name: of the file in it; folders on the way are made.
        sha256: digest of the content, hex.
        mode: permission bits.
        source: the content, a file of whoever runs this; None only says whether anything would change.
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
    path = data_dir / names
    with as_owner_of(data_dir):
        present = _present(path)
        same = present is not None and hashlib.sha256(present).hexdigest() == sha256
        changed = not same or not _is_own(path, mode)
        if changed and data is not None:
            _write(data_dir, path, data, mode)
    before = None if present is None or len(present) > MAX_SHOWN else present.decode(errors="replace")
    return {"changed": changed, **({"before": before} if diff else {})}


def _content(source: Path, sha256: str) -> bytes:
    data = read_limited(source, MAX_PEERS_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError("is not what was sent", file=str(source), mend="run this again")
    return data


def _present(path: Path) -> bytes | None:
    """Return what the file holds now; None where there is no such file, or none of a size that counts."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        return read_limited(path, MAX_PEERS_BYTES)
    except (InputError, OSError):
        return None


def _is_own(path: Path, mode: int) -> bool:
    try:
        descriptor = open_own(path, forbidden=0)
    except (InputError, OSError):
        return False
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode) == mode
    finally:
        os.close(descriptor)


def _write(data_dir: Path, path: Path, data: bytes, mode: int) -> None:
    if not data_dir.is_dir():
        raise InputError("is no directory", file=str(data_dir), mend="make it for the account that the node runs as")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", file=str(path.parent), mend="move it away") from None
    write_atomic(path, data, mode, follow=False)
