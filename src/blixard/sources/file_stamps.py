# SPDX-License-Identifier: MIT
"""Telling cheaply that a file has not changed since it was read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

RACY = 2.0
"""Seconds; a file changed so shortly before it was looked at may change again without its times showing it."""


class Stamp(NamedTuple):
    """What the file system says about one file: device, inode, size, mtime and ctime in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    def is_settled(self, at: float) -> bool:
        """Tell whether an equal stamp later means an equal file, this one having been taken at `at` (Unix seconds)."""
        return max(self.mtime_ns, self.ctime_ns) / 1e9 < at - RACY


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """Return the stamp of what `path` leads to; None when there is nothing, or it cannot be looked at."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return stamp_of(status)


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp in a stat result."""
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
