# SPDX-License-Identifier: MIT
"""What becomes of what sources have said when the configuration names other ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from blixard.sources.base import Failed, Found

if TYPE_CHECKING:
    from blixard.peers.claims import Origin
    from blixard.peers.table import Change, PeerTable
    from blixard.sources.base import Answer


class SourceReconciler:
    """Passes answers on to the table, and lets go of former sources when their successors have answered well.

    So a new location that is mistyped, or a server that is down, erases nobody.
    """

    def __init__(self, table: PeerTable) -> None:
        self._table = table
        self._former: set[str] = set()
        self._awaited: set[str] = set()
        self._distrusted: set[str] = set()

    def begin(self, *, came: Collection[str], gone: Collection[str], distrusted: Collection[str]) -> list[Change]:
        """Some sources are asked from now on, others no longer.

        Args:
            came: names of the sources that are new.
            gone: names of those that are no longer asked.
            distrusted: names of new ones of which an earlier one of the same name, if there was any, was believed for a
                signature that counts no longer: what that one has said goes with the first answer, good or bad.
        """
        self._former = (self._former | set(gone)) - set(came)
        self._awaited = (self._awaited | set(came)) - set(gone)
        self._distrusted = (self._distrusted | set(distrusted)) - set(gone)
        return self._let_go()

    def take(self, origin: Origin, answer: Answer, now: float) -> list[Change]:
        """Take in a source's answer."""
        changes: list[Change] = []
        if origin.name in self._distrusted:
            self._distrusted.discard(origin.name)
            told = answer.remembered if isinstance(answer, Failed) else answer
            if isinstance(told, Found):
                changes = self._table.apply(origin, Found(told.sightings, told.problems, final=True), now)
            else:
                changes = self._table.retire(origin.name)
        changes += self._table.apply(origin, answer, now)
        if not isinstance(answer, Failed):
            self._awaited.discard(origin.name)
        return changes + self._let_go()

    def _let_go(self) -> list[Change]:
        if self._awaited:
            return []
        former, self._former = sorted(self._former), set()
        return [change for name in former for change in self._table.retire(name)]
