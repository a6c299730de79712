# SPDX-License-Identifier: MIT
"""A check by a machine that has no time for it: it does not say that peers are down which are well."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from random import Random

from tests.integration.party import Party, StartParty

from blixard.agent.connectivity import Checker, Edge
from blixard.clock import SystemClock
from blixard.dialling.pace import LATE, lateness
from blixard.model.entry import DiscoveredPeer

NODES = 64
TIMEOUT = 0.3
HELD = TIMEOUT + 2 * LATE


@contextlib.asynccontextmanager
async def held_up() -> AsyncIterator[None]:
    """Keep the event loop from its work, again and again."""

    async def hold() -> None:
        while True:
            time.sleep(HELD)  # noqa: ASYNC251
            await asyncio.sleep(0)

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()


async def checked(by: Party, peers: list[DiscoveredPeer], *, timeout: float) -> list[Edge]:
    clock = SystemClock()
    async with lateness(clock) as watched:
        checker = Checker(by.connector, clock=clock, rng=Random(1), own_node_id=NODES + 1, was_late=watched.since)
        return await checker.check(peers, timeout=timeout)


async def test_a_loop_that_is_held_up_blames_no_peer_and_one_that_goes_on_reaches_all(start_party: StartParty) -> None:
    checking = await start_party()
    parties = [await start_party() for _ in range(NODES)]
    peers = [party.as_peer(node_id=number) for number, party in enumerate(parties, 1)]

    async with held_up():
        busy = await checked(checking, peers, timeout=TIMEOUT)
    untold = [edge for edge in busy if not edge.outcome.reached]
    assert untold
    assert {edge.outcome.error.kind for edge in untold if edge.outcome.error} == {"too_slow"}

    edges = await checked(checking, peers, timeout=10.0)
    assert [str(edge.outcome.error) for edge in edges if not edge.outcome.reached] == []
