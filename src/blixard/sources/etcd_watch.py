# SPDX-License-Identifier: MIT
"""A watch on a range of etcd's keys, in a thread that ends when nobody asks for its news any more."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.errors import BlixardError
from blixard.sources.http_client import Deadline, Limits

if TYPE_CHECKING:
    from blixard.sources.etcd_client import Etcd, Header, KeyValue, WatchMessage

UNASKED = 30
"""Seconds after which a watch ends that nobody asks for news; the manager asks every second."""

UNTAKEN = 10_000
"""Messages that come while nobody takes anything; the watch ends, and everything is read anew."""

ROOM = 64 * 1024 * 1024
"""Bytes of changes that wait to be taken; where there are more, everything is read anew."""


@dataclass(frozen=True)
class News:
    """What a watch has brought since the last time.

    Attributes:
        changed: the last state of each key that changed.
        header: of the last message; None where there was none.
        is_alive: whether the watch goes on, so that nothing is missing.
        end: why it does not.
    """

    changed: dict[bytes, KeyValue]
    header: Header | None
    is_alive: bool
    end: str | None


class EtcdWatch:
    """Listens from a revision on. Changes of one key are merged while they wait to be taken."""

    def __init__(self, client: Etcd, first: bytes, end: bytes, start: int, limits: Limits) -> None:
        """Begin to listen; `client` is for this watch alone."""
        self._lock = threading.Lock()
        self._changed: dict[bytes, KeyValue] = {}
        self._used = self._untaken = 0
        self._header: Header | None = None
        self._unasked = 0
        self._has_begun = False
        self._lived = 0
        self._end: str | None = None
        self._thread = threading.Thread(
            target=self._listen, args=(client, first, end, start, limits), name="blixard-etcd-watch", daemon=True
        )
        self._thread.start()

    def has_news(self) -> bool:
        """Tell whether there is something to take, or the watch has ended after it was good for something."""
        with self._lock:
            self._unasked = 0
            return bool(self._changed) or (self._end is not None and self._lived > 0)

    def take(self) -> News:
        """Return what there is."""
        with self._lock:
            changed, self._changed, self._used, self._untaken = self._changed, {}, 0, 0
            return News(changed, self._header, self._has_begun and self._end is None, self._end)

    def stop(self) -> None:
        """End with the next message, or within a second."""
        with self._lock:
            self._unasked = UNASKED + 1

    def _listen(self, client: Etcd, first: bytes, end: bytes, start: int, limits: Limits) -> None:
        why = "the connection ended"
        try:
            for message in client.watch(first, end, start, Deadline(limits), self._is_wanted):
                if not self._note(message):
                    why = message.end or "too much has changed at once"
                    break
        except BlixardError as error:
            why = str(error)
        except Exception as error:  # a watch that ends is looked after; one that dies silently is not
            why = type(error).__name__
        with self._lock:
            self._end = "nobody asks any more" if self._unasked > UNASKED else why

    def _is_wanted(self) -> bool:
        with self._lock:
            self._lived += 1
            self._unasked += 1
            return self._unasked <= UNASKED

    def _note(self, message: WatchMessage) -> bool:
        """Keep what a message says; False where the watch ends with it."""
        with self._lock:
            self._untaken += 1
            self._has_begun = True
            if message.end is None:
                self._header = message.header
            for event in message.events:
                self._lived += 1
                self._changed[event.key] = event
                self._used += len(event.key) + len(event.value or b"")
            is_bounded = self._used <= ROOM and self._untaken <= UNTAKEN
            return message.end is None and is_bounded and self._unasked <= UNASKED
