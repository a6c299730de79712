# SPDX-License-Identifier: MIT
"""Events as log lines: one logger, one message a kind, the rest as fields; and a bound on lines of strangers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from blixard.dialling.breaker import THRESHOLD
from blixard.dialling.protocols import REFUSALS

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.peers.claims import Dropped
    from blixard.peers.events import Event, EventKind

_log = logging.getLogger("blixard.peers")

_MESSAGES: dict[EventKind, tuple[int, str]] = {
    "discovered": (logging.INFO, "peer discovered"),
    "updated": (logging.INFO, "peer updated"),
    "removed": (logging.INFO, "peer removed"),
    "connecting": (logging.DEBUG, "connecting"),
    "connected": (logging.INFO, "connected"),
    "disconnected": (logging.INFO, "disconnected"),
    "failed": (logging.INFO, "connection failed"),
    "quarantined": (logging.WARNING, "address quarantined"),
    "circuit_opened": (logging.INFO, "circuit opened"),
    "circuit_half_open": (logging.DEBUG, "circuit half open"),
    "circuit_closed": (logging.INFO, "circuit closed"),
}

MINUTE = 60.0

_GUEST_LINES = 300
"""Lines a minute about guests: a hundred that come, connect and go."""

# A log record has attributes of these names, which `extra` must not touch.
_RENAMED = {"message": "reason"}


def guest_lines(clock: Clock) -> LineLimit:
    """Return the limit for lines about guests."""
    return LineLimit(clock, most=_GUEST_LINES, log=_log, notice="more about guests is not logged in this minute")


def log_event(event: Event) -> None:
    """Log an event; the fields are in the record's `extra`, for the agent's formatter."""
    level, message = _MESSAGES[event.kind]
    details = event.details
    if event.kind == "failed" and details.get("error") in REFUSALS and details.get("failures") == 1:
        # Said once in a row at a level that is looked at; the repetitions say nothing new.
        level, message = logging.WARNING, "refused by peer"
    elif _is_repetition(event):
        level = logging.DEBUG
    if _log.isEnabledFor(level):
        fields = {_RENAMED.get(name, name): value for name, value in details.items() if value is not None}
        _log.log(level, message, extra={"node": event.node_id, "endpoint": event.endpoint_id.short, **fields})


def _is_repetition(event: Event) -> bool:
    """Tell whether this is one more failed probe of a peer that is lost: its loss was logged."""
    if event.kind == "failed":
        return int(str(event.details["failures"])) > THRESHOLD and event.details["error"] not in REFUSALS
    return event.kind == "circuit_opened" and event.details.get("trips") != 1


def log_dropped(dropped: Dropped) -> None:
    """Log a claim that does not count."""
    fields = {"node": dropped.node_id, "endpoint": dropped.endpoint_id.short, "source": dropped.source}
    _log.warning("claim refused", extra={**fields, "reason": dropped.reason})


class LineLimit:
    """Lets `most` lines a minute through; the first that it keeps back is replaced by a line that says so.

    It is for lines that strangers can cause: whoever makes up a new identity for each call fills no disk.
    """

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
