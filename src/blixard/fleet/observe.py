# SPDX-License-Identifier: MIT
"""What a file is like: kind, digest, mode, owner. Standard library only: it runs on every host."""

from __future__ import annotations

import grp
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from blixard.documents.account import user_name as user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

# Nothing that is compared is larger; a file that somebody else put there must not cost minutes to read.
MAX_DIGEST_BYTES = 64 * 1024 * 1024

_KINDS = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))


def observe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what stands at `path`, without following a link there, and without waiting for anything.

    Returns:
        `{"kind": "absent"}`, or `kind` (`file`, `directory`, `link`, `other`), `mode` (four octal digits),
        `owner`, `group` (names, or numbers as text where there is no name), `mtime` (Unix seconds) and
        `sha256` (hex; null for what is no file, cannot be read or is over 64 MiB).
    """
    try:
        status = os.lstat(path)
    except OSError:
        return {"kind": "absent"}
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "other")
    return {
        "kind": kind,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "owner": user_name(status.st_uid),
        "group": group_name(status.st_gid),
        "mtime": status.st_mtime,
        "sha256": _digest(path) if kind == "file" and status.st_size <= MAX_DIGEST_BYTES else None,
    }


def differs(seen: Mapping[str, Any], **wanted: object) -> bool:
    """Return whether a file seen by `observe` is anything but what is wanted; wanted None means any."""
    return seen.get("kind") != "file" or any(
        value is not None and seen.get(name) != value for name, value in wanted.items()
    )


def _digest(path: str | os.PathLike[str]) -> str | None:
    """Digest a regular file of at most `MAX_DIGEST_BYTES`, whatever has taken its name or become of it since."""
    digest = hashlib.sha256()
    left = MAX_DIGEST_BYTES
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            while block := os.read(descriptor, 1 << 20):
                left -= len(block)
                if left < 0:
                    return None
                digest.update(block)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return digest.hexdigest()


def group_name(number: int) -> str:
    """Return the name of a group, or its number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
