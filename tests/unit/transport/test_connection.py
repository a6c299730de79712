# SPDX-License-Identifier: MIT
"""A connection that has this node send far more than it receives is ended."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import iroh
import pytest
from tests.unit.peers.people import endpoint_id, key

from blixard.transport.connection import IrohConnection
from blixard.transport.connector import bind_endpoint, bound_port


class Line:
    """What iroh says about a connection on which nothing is ever received, with the bytes of a given moment."""

    def __init__(self, sent: int, received: int) -> None:
        self._bytes = SimpleNamespace(udp_tx_bytes=sent, udp_rx_bytes=received)
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def stats(self) -> SimpleNamespace:
        return self._bytes

    def paths(self) -> list[object]:
        return []

    def send_datagram(self, datagram: bytes) -> None:
        pass

    async def read_datagram(self) -> bytes:
        return bytes(await self._ended, "utf-8")

    async def closed(self) -> str:
        return await asyncio.shield(self._ended)

    def close(self, code: int, reason: bytes) -> None:
        self._ended.set_result(reason.decode())


@pytest.mark.parametrize(("received", "most"), [(0, 32_768), (1_000, 35_768)])
async def test_a_peer_may_cost_three_times_what_it_sends_and_32_kib(received: int, most: int) -> None:
    for sent, reason in ((most, "asked"), (most + 1, "sends this node's packets to too many addresses")):
        line = cast("iroh.Connection", cast("Any", Line(sent, received)))
        connection = IrohConnection(line, endpoint_id(2), outgoing=False, node_id=2, admitted=True)
        connection.start_beats()
        for _ in range(3):
            await asyncio.sleep(0)  # the first beat is made, its ping is never answered
        connection.close("asked")
        assert await connection.closed() == reason


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0"])
async def test_an_endpoint_says_the_port_of_the_family_that_it_was_bound_to(bind: str) -> None:
    endpoint = await bind_endpoint(key(1), bind)
    try:
        port = bound_port(endpoint, bind.startswith("["))
        assert f"{bind[:-1]}{port}" in endpoint.bound_sockets()
    finally:
        await endpoint.close()
