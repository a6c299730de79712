# SPDX-License-Identifier: MIT
"""How many of the nodes that vote may be away at once, and what to do when it would be more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def spare(voters: Collection[str]) -> int:
    """Return how many of `voters` may be away while the rest still has a majority."""
    return (len(set(voters)) - 1) // 2 if voters else 0


def risk(voters: Sequence[str], *, down: Collection[str], taking: Collection[str], mend: str) -> str | None:
    """Return why `taking` may not be taken down now, as one line; None when the quorum is safe.

    Who is down already counts. Taking down nobody who votes is always safe, also where the quorum is lost:
    starting nodes is what brings it back.

    Args:
        voters: names of the hosts that vote; none when nothing on these nodes votes.
        down: names of hosts that are away now.
        taking: names of hosts that would be taken down together.
        mend: what to change.
    """
    going = [name for name in voters if name in taking and name not in down]
    if not going:
        return None
    away = [name for name in voters if name in down]
    if len(going) + len(away) <= spare(voters):
        return None
    already = f" while {', '.join(away)} {'is' if len(away) == 1 else 'are'} down already" if away else ""
    return (
        f"{', '.join(going)} would be down at once{already}: {len(going) + len(away)} of {len(set(voters))} voters,"
        f" and their quorum bears {spare(voters)}; {mend}"
    )
