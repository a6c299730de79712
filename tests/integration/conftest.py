# SPDX-License-Identifier: MIT
"""Real Iroh endpoints on loopback for the integration tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.integration.party import Judge, Party, StartParty, party, welcome_all

from blixard.trust.keys import SecretKey


@pytest.fixture
async def start_party() -> AsyncIterator[StartParty]:
    """Give the function that starts parties."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(judge: Judge = welcome_all, *, key: SecretKey | None = None) -> Party:
            return await stack.enter_async_context(party(judge, key or SecretKey.generate()))

        yield start
