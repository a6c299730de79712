# SPDX-License-Identifier: MIT
"""What sources that look at files have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from blixard.errors import BlixardError
from blixard.sources.base import Answer, Failed
from blixard.sources.threads import StillBusy, Worker

if TYPE_CHECKING:
    from blixard.sources.base import SourceKind

_STUCK = "the last look at it has not come back; is its file system reachable?"


class LookingSource(ABC):
    """A source whose work is blocking: it looks in a thread, and can tell whether it should look again."""

    def __init__(self, name: str, kind: SourceKind) -> None:
        self.name = name
        self.kind: SourceKind = kind
        self._worker: Worker[Answer | bool] = Worker()

    async def fetch(self) -> Answer:
        """Look now, as `Source.fetch`."""
        try:
            answer = await self._worker.run(self.look)
        except StillBusy:
            return Failed(_STUCK)
        except BlixardError as error:
            return Failed(str(error))
        assert not isinstance(answer, bool)  # noqa: S101 # it comes from `look`
        return answer

    async def changed(self) -> bool:
        """Tell whether to look again, as `Watched.changed`."""
        try:
            return bool(await self._worker.run(self.is_outdated))
        except (StillBusy, BlixardError):
            # The next fetch, which is never far, says what is wrong.
            return False

    @abstractmethod
    def look(self) -> Answer:
        """Look, blocking. May raise BlixardError for what `Failed` would say."""

    @abstractmethod
    def is_outdated(self) -> bool:
        """Tell from file stamps alone, blocking, whether `look` may find something new."""
