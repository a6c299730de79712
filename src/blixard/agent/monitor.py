# SPDX-License-Identifier: MIT
"""A running node's metrics: gathered at each scrape from its parts, and from the events in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from blixard import __version__
from blixard.agent.metrics import EventCounts, exposition, node_families, peer_families, source_families
from blixard.agent.options import Bind
from blixard.agent.scrape import PATH, serving_metrics

if TYPE_CHECKING:
    from blixard.agent.node import Node
    from blixard.peers.events import Subscription

log = logging.getLogger("blixard.metrics")


@contextlib.asynccontextmanager
async def monitored(node: Node) -> AsyncIterator[None]:
    """Serve the metrics of `node` while the context lasts, if it is to have any.

    Raises:
        InputError: the address for them cannot be had.
    """
    bind = node.config.metrics
    if bind is None:
        yield
        return
    counts = EventCounts()
    counting = asyncio.create_task(_count(node.manager.subscribe(), counts))
    try:
        async with serving_metrics(bind, lambda: _text(node, counts)) as port:
            log.info("metrics served", extra={"url": f"http://{Bind(bind.ip, port)}{PATH}"})
            yield
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


async def _count(events: Subscription, counts: EventCounts) -> None:
    async for event in events:
        counts.add(event)


def _text(node: Node, counts: EventCounts) -> bytes:
    config = node.config
    return exposition(
        itertools.chain(
            node_families(
                config.node_id,
                config.cluster,
                __version__,
                node.doorkeeper.refused,
                len(node.manager.not_remembered()),
            ),
            peer_families(node.manager.status()),
            source_families(node.manager.source_status(), node.clock.wall()),
            counts.families(),
        )
    )
