# SPDX-License-Identifier: MIT
"""Real Iroh endpoints and real nodes on loopback for the integration tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.integration.nodes import MakeNode, Node, killed_afterwards
from tests.integration.party import Handlers, Judge, Party, StartParty, party, welcome_all

from blixard.transport.streams import NO_HANDLERS
from blixard.trust.keys import SecretKey


@pytest.fixture
async def start_party() -> AsyncIterator[StartParty]:
    """Give the function that starts parties."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            judge: Judge = welcome_all, *, key: SecretKey | None = None, handlers: Handlers = NO_HANDLERS
        ) -> Party:
            return await stack.enter_async_context(party(judge, key or SecretKey.generate(), handlers))

        yield start


@pytest.fixture
def node(tmp_path: Path) -> Iterator[MakeNode]:
    """Give the function that makes a node with a number; what still runs after the test is killed."""
    made: list[Node] = []

    def make(number: int) -> Node:
        made.append(Node(number, tmp_path))
        return made[-1]

    with killed_afterwards(made):
        yield make
