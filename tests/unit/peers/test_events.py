# SPDX-License-Identifier: MIT
"""Delivery of events to subscribers that may be slow."""

from __future__ import annotations

import asyncio

from tests.unit.peers.people import NOON, endpoint_id

from blixard.peers.events import Event, EventBus


def event(number: int) -> Event:
    return Event("discovered", NOON, number, endpoint_id(1))


async def test_each_subscriber_gets_each_event_in_order() -> None:
    bus = EventBus()
    one, other = bus.subscribe(), bus.subscribe()
    for number in range(3):
        bus.publish(event(number))
    bus.close()
    assert [each.node_id async for each in one] == [each.node_id async for each in other] == [0, 1, 2]


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    bus = EventBus()
    slow = bus.subscribe(length=2)
    for number in range(5):
        bus.publish(event(number))
    bus.close()
    assert [each.node_id async for each in slow] == [3, 4]
    assert slow.dropped == 3


async def test_a_subscriber_that_waits_is_woken() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    waiting = asyncio.ensure_future(subscription.__anext__())
    await asyncio.sleep(0)
    bus.publish(event(7))
    assert (await waiting).node_id == 7


async def test_a_closed_subscription_ends_and_gets_no_more() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    bus.publish(event(1))
    subscription.close()
    subscription.close()
    bus.publish(event(2))
    assert [each.node_id async for each in subscription] == [1]
