# SPDX-License-Identifier: MIT
"""What a node could not write: tried again until it is there, and said until then."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from blixard.sources.worker import StillBusy, Worker

if TYPE_CHECKING:
    from blixard.clock import Clock

log = logging.getLogger("blixard.node")

RETRY_INTERVAL = 5.0
"""Seconds between two attempts: after room was made on a full disk, all is written this soon."""


class Kept(Protocol):
    """Something that the node keeps in a file."""

    @property
    def problem(self) -> str | None:
        """Why it is not written, on one line; None when it is."""
        ...

    def write_again(self) -> None:
        """Try to write what could not be written; may be called from a thread of its own."""
        ...


class Unwritten:
    """Watches over all that a node keeps."""

    def __init__(self, kept: Callable[[], Iterable[Kept]], clock: Clock) -> None:
        """`kept` gives all that is kept, as it is now."""
        self._kept = kept
        self._clock = clock
        self._worker: Worker[None] = Worker()
        self._said: list[str] = []

    def lines(self) -> list[str]:
        """Return a line for each thing that is not written."""
        return [each.problem for each in self._kept() if each.problem is not None]

    async def keep_trying(self) -> None:
        """Try again what is not written, until cancelled."""
        while True:
            self._tell()
            await self._clock.sleep(RETRY_INTERVAL)
            for each in self._kept():
                if each.problem is not None:
                    # A file system that hangs holds up nothing but this.
                    with contextlib.suppress(StillBusy):
                        await self._worker.run(each.write_again)

    def _tell(self) -> None:
        now = self.lines()
        for line in now:
            if line not in self._said:
                log.warning("not written, it is tried again", extra={"error": line})
        if self._said and not now:
            log.info("all that could not be written is written")
        self._said = now
