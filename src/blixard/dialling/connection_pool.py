# SPDX-License-Identifier: MIT
"""The live connections, one for each peer, and which of two of one pair stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.dialling.breaker import LEASE
from blixard.dialling.protocols import DUPLICATE
from blixard.ordered_set import OrderedSet
from blixard.tasks import spawn

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import Connection
    from blixard.model.ids import EndpointId


SIMULTANEOUS = LEASE
"""Seconds within which two connections may stem from both sides dialling at once. A node dials only while it has
no connection, so a dial that arrives later means that the peer has lost the older one."""


def newer_stays(
    *, own: EndpointId | None, peer: EndpointId, older_is_ours: bool, newer_is_ours: bool, older_age: float
) -> bool:
    """Tell whether the newer of two connections stays.

    Of two that both sides dialled at once, the one that the greater endpoint id dialled stays. Otherwise the
    newer does: its dialler no longer has the older one.

    Args:
        own: this node's id; None for a stranger, whom nobody dials.
        peer: the other node's id.
        older_is_ours: whether this node dialled the older one.
        newer_is_ours: whether this node dialled the newer one.
        older_age: seconds since the older one was made.
    """
    if own is None or older_is_ours == newer_is_ours or older_age > SIMULTANEOUS:
        return True
    return newer_is_ours == (own > peer)


CLOSE_WAIT = 5.0
"""Seconds that a stop waits for dials to end, and then for connections to say that they are closed."""

_OnLost = Callable[["EndpointId", str], None]


@dataclass
class _Pooled:
    """A live connection, who dialled it, and the task that waits for its end."""

    connection: Connection
    is_ours: bool
    since: float
    watcher: asyncio.Task[None] | None = None


class ConnectionPool:
    """Holds one connection for each peer, watches it, and decides when a second one comes."""

    def __init__(self, *, own: EndpointId | None, clock: Clock, on_lost: _OnLost) -> None:
        """`on_lost` is called with the peer and the reason when a connection ends by itself, not when it is dropped."""
        self._own = own
        self._clock = clock
        self._on_lost = on_lost
        self._pooled: dict[EndpointId, _Pooled] = {}
        self._watchers: OrderedSet[asyncio.Task[None]] = OrderedSet()

    def __contains__(self, endpoint_id: object) -> bool:
        return endpoint_id in self._pooled

    def get(self, endpoint_id: EndpointId) -> Connection | None:
        """Return the live connection to a peer."""
        pooled = self._pooled.get(endpoint_id)
        return None if pooled is None else pooled.connection

    def all(self) -> list[Connection]:
        """Return all live connections."""
        return [pooled.connection for pooled in self._pooled.values()]

    def offer(self, connection: Connection, *, is_ours: bool) -> bool:
        """Hold a connection; False when it was closed because the one that is there stays."""
        endpoint_id = connection.endpoint_id
        now = self._clock.now()
        pooled = self._pooled.get(endpoint_id)
        if pooled is not None:
            if not newer_stays(
                own=self._own,
                peer=endpoint_id,
                older_is_ours=pooled.is_ours,
                newer_is_ours=is_ours,
                older_age=now - pooled.since,
            ):
                connection.close(DUPLICATE)
                return False
            pooled.connection.close(DUPLICATE)
        pooled = self._pooled[endpoint_id] = _Pooled(connection, is_ours, now)
        pooled.watcher = spawn(self._watch(endpoint_id, pooled), f"connection with {endpoint_id.short}")
        self._watchers.add(pooled.watcher)
        pooled.watcher.add_done_callback(self._watchers.discard)
        return True

    def drop(self, endpoint_id: EndpointId, reason: str) -> None:
        """Close the connection to a peer, if there is one."""
        pooled = self._pooled.pop(endpoint_id, None)
        if pooled is not None:
            pooled.connection.close(reason)

    async def close(self, reason: str) -> None:
        """Close all connections and wait, not for ever, until they are closed."""
        for endpoint_id in tuple(self._pooled):
            self.drop(endpoint_id, reason)
        watchers = list(self._watchers)
        if not watchers:
            return
        _, pending = await asyncio.wait(watchers, timeout=CLOSE_WAIT)
        for watcher in pending:
            watcher.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _watch(self, endpoint_id: EndpointId, pooled: _Pooled) -> None:
        reason = await pooled.connection.closed()
        # One that was dropped or replaced is no longer here, and its end is no loss.
        if self._pooled.get(endpoint_id) is pooled:
            del self._pooled[endpoint_id]
            self._on_lost(endpoint_id, reason)
