# SPDX-License-Identifier: MIT
"""Who holds a lock: as it is written down beside the lock, and in words for whoever finds it taken."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime

from blixard.documents.account import user_name
from blixard.documents.json_bytes import loads
from blixard.errors import InputError, one_line
from blixard.model.times import format_time


def holder(process: int, now: datetime) -> dict[str, object]:
    """Return what is written down of the one who takes a lock.

    Args:
        process: id of the process that the lock is for.
        now: the present, with a time zone.
    """
    since = format_time(now.replace(microsecond=0))
    return {"user": user_name(os.getuid()), "machine": os.uname().nodename, "process": process, "since": since}


def words_of(data: bytes) -> str:
    """Return in words who wrote this down; whatever else it is, that somebody has the lock."""
    try:
        said = loads(data)
    except InputError:
        said = None
    return in_words(said if isinstance(said, dict) else {})


def in_words(said: Mapping[str, object]) -> str:
    """Return who that is, on one line of bounded length, whatever it says."""
    if not said:
        return "it began just now"
    parts = (one_line(str(said.get(key)), 100) for key in ("user", "machine", "process", "since"))
    return "{} on {}, process {}, since {}".format(*parts)
