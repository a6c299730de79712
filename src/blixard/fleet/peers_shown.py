# SPDX-License-Identifier: MIT
"""What differs between two peers files, for `--diff`: a line for each peer by its host's name, and not their JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blixard.documents.peers_file import diff_peers, parse_peers
from blixard.documents.record import read_record
from blixard.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def peers_shown(before: str | None, after: bytes, record: Path | None = None) -> str | None:
    """Return the lines, counts first; None where one of the two is no peers file, or no peer differs.

    Args:
        before: the file that is there; None for none.
        after: the file that is to be there.
        record: folder of the record, for the names of hosts. Without one that can be read, peers go by their node ids.
    """
    try:
        old, new = [] if before is None else parse_peers(before.encode()), parse_peers(after)
    except InputError:
        return None
    diff = diff_peers(old, new, _names(record))
    return "".join(f"{line}\n" for line in (str(diff), *diff.lines())) if diff else None


def _names(record: Path | None) -> dict[int, str]:
    try:
        return {} if record is None else {entry.node_id: name for name, entry in read_record(record).items()}
    except InputError:
        return {}
