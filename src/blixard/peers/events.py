# SPDX-License-Identifier: MIT
"""Events of the discovery manager, and their delivery to subscribers that may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from blixard.ordered_set import OrderedSet

if TYPE_CHECKING:
    from datetime import datetime

    from blixard.model.ids import EndpointId

EventKind = Literal[
    "discovered",
    "updated",
    "removed",
    "connecting",
    "connected",
    "disconnected",
    "failed",
    "quarantined",
    "circuit_opened",
    "circuit_half_open",
    "circuit_closed",
]

QUEUE_LENGTH = 1024
"""Events that wait for one subscriber; a full mesh of 64 peers that breaks and heals makes about 500."""


@dataclass(frozen=True)
class Event:
    """Something that happened to one peer.

    Attributes:
        kind: what happened.
        at: the wall clock then, UTC.
        node_id: the peer.
        endpoint_id: the peer.
        details: more, by kind: `source` (discovered, removed), `error` and `message` (failed), `reason`
            (disconnected), `address` (quarantined), `path` (connected), `seconds` until the next attempt at the latest
            (failed, disconnected, circuit_opened), `trips` in a row (circuit_opened).
    """

    kind: EventKind
    at: datetime
    node_id: int
    endpoint_id: EndpointId
    details: Mapping[str, object] = field(default_factory=dict)


class Subscription:
    """An async iterator over the events from now on. It ends when it or the manager is closed.

    Attributes:
        dropped: how many events were thrown away, oldest first, because the subscriber was too slow.
    """

    def __init__(self, bus: EventBus, length: int) -> None:
        self._bus = bus
        self._queue: deque[Event] = deque(maxlen=length)
        self._ready = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()

    def close(self) -> None:
        """Take no more events; those that wait can still be read. Closing twice does nothing."""
        self._closed = True
        self._ready.set()
        self._bus.forget(self)

    def put(self, event: Event) -> None:
        """Add an event; called by the bus."""
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(event)
        self._ready.set()


class EventBus:
    """Hands each event to all subscriptions, and never waits for one."""

    def __init__(self) -> None:
        # Subscribers are served in the order in which they came.
        self._subscriptions: OrderedSet[Subscription] = OrderedSet()

    def subscribe(self, length: int = QUEUE_LENGTH) -> Subscription:
        """Return a new subscription that holds at most `length` unread events."""
        subscription = Subscription(self, length)
        self._subscriptions.add(subscription)
        return subscription

    def publish(self, event: Event) -> None:
        """Queue `event` for everyone."""
        for subscription in tuple(self._subscriptions):
            subscription.put(event)

    def forget(self, subscription: Subscription) -> None:
        """Drop a subscription."""
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
