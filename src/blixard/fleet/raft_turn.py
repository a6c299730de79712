# SPDX-License-Identifier: MIT
"""Who is to lead in Raft while voters are restarted batch after batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def successor(status: str, turns: Sequence[int], batch: Collection[int]) -> int | None:
    """Return the voter that a leader hands over to before its batch goes down; None where nobody has to.

    It is one that stays, or whose turn was, so that leadership moves once; else the one whose turn comes last.

    Args:
        status: what `blixard raft status --json` printed on the host; empty where its node does not vote.
        turns: node ids in the order of the run.
        batch: node ids that go down together.
    """
    try:
        found = json.loads(status)
        if found["role"] != "leader":
            return None
        alive = [member for member in found["members"] if member["is_alive"] and member["is_admitted"]]
        matched = {int(member["node_id"]): int(member["matched_index"] or 0) for member in alive}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    after = list(turns)[max((turns.index(node) for node in batch if node in turns), default=-1) + 1 :]

    def rank(node: int) -> tuple[bool, int, int]:
        return node not in after, after.index(node) if node in after else 0, matched[node]

    return max(matched.keys() - set(batch), key=rank, default=None)
