# SPDX-License-Identifier: MIT
"""A bound on log lines that strangers can cause: whoever makes up a new identity for each call fills no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

    from blixard.clock import Clock

MINUTE = 60.0


class LineLimit:
    """Lets `most` lines a minute through; the first that it keeps back is replaced by a line that says so."""

    def __init__(self, clock: Clock, *, most: int, log: logging.Logger, notice: str) -> None:
        self._clock = clock
        self._most = most
        self._log = log
        self._notice = notice
        self._since: float | None = None
        self._lines = 0

    def has_room(self) -> bool:
        """Tell whether one more line may be written, and count it."""
        now = self._clock.now()
        if self._since is None or now - self._since >= MINUTE:
            self._since, self._lines = now, 0
        self._lines += 1
        if self._lines == self._most + 1:
            self._log.warning(self._notice)
        return self._lines <= self._most
