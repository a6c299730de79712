# SPDX-License-Identifier: MIT
"""A set that keeps the order in which its members came: what happens shall not depend on hashes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, MutableSet
from typing import TypeVar

Member = TypeVar("Member", bound=Hashable)


class OrderedSet(MutableSet[Member]):
    """Members in the order in which they were added; adding one that is there leaves it where it is."""

    __slots__ = ("_members",)

    def __init__(self, members: Iterable[Member] = ()) -> None:
        # A dict keeps its order; its values mean nothing.
        self._members = dict.fromkeys(members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __reversed__(self) -> Iterator[Member]:
        return reversed(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"OrderedSet({list(self._members)})"

    def add(self, value: Member) -> None:
        """Add a member at the end, unless it is there."""
        self._members[value] = None

    def discard(self, value: Member) -> None:
        """Remove a member, if it is there."""
        self._members.pop(value, None)

    def update(self, members: Iterable[Member]) -> None:
        """Add members, in their order."""
        self._members.update(dict.fromkeys(members))

    def renew(self, value: Member) -> None:
        """Add a member at the end, or move it there."""
        self.discard(value)
        self.add(value)
