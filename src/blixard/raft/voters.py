# SPDX-License-Identifier: MIT
"""Majorities of voters."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from blixard.errors import InputError

MAX_VOTERS = 9
"""More voters make each write slower and no cluster safer: nine survive four failures."""


def majority(voters: int) -> int:
    """Return how many of so many voters are more than half."""
    return voters // 2 + 1


def without_majority(voters: Collection[int], alive: Collection[int]) -> str | None:
    """Return why so few live voters cannot decide anything; None when they can."""
    live = sorted(set(voters) & set(alive))
    needed = majority(len(voters))
    if len(live) >= needed:
        return None
    return f"{len(live)} of {len(voters)} voters would be alive, and {needed} are needed"


def listed(voters: Iterable[int]) -> str:
    """Return node ids as people read them."""
    return ",".join(map(str, sorted(voters))) or "none"


def check_voters(voters: Collection[int], place: str = "/raft_voters") -> tuple[int, ...]:
    """Return the voters in their order.

    Raises:
        InputError: there are none, too many, or one twice.
    """
    if not voters:
        raise InputError("names no voter", place=place, mend="list the node ids of three or five nodes")
    if len(voters) > MAX_VOTERS:
        raise InputError(f"names {len(voters)} voters, {MAX_VOTERS} at most", place=place)
    if len(set(voters)) < len(voters):
        raise InputError("names a voter twice", place=place)
    return tuple(sorted(voters))
