# SPDX-License-Identifier: MIT
"""What a peer that was let in can make a node do: little, and then its connection ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

import iroh
import pytest
from tests.attacks.callers import Caller, callers
from tests.integration.nodes import Node
from tests.integration.party import StartParty

MakeNode = Callable[[int], Node]
Misdeed = Callable[[iroh.Connection], Coroutine[None, None, None]]

PATIENCE = 60.0


async def send_datagrams(connection: iroh.Connection) -> None:
    """Send pings for as long as there is a connection."""
    number = 0
    while True:
        number += 1
        connection.send_datagram(b"i" + number.to_bytes(8, "big"))
        await asyncio.sleep(0)


async def open_one_way_streams(connection: iroh.Connection) -> None:
    """Fill streams that nobody reads."""
    for _ in range(50):
        stream = await connection.open_uni()
        await stream.write_all(b"x" * 262144)


async def open_more_streams(connection: iroh.Connection) -> None:
    """Say hello again and again over one connection."""
    for _ in range(50):
        stream = await connection.open_bi()
        await stream.send().write_all(b"x" * 262144)


MISDEEDS: dict[Misdeed, str] = {
    send_datagrams: "too many datagrams",
    open_one_way_streams: "too many streams",
    open_more_streams: "too many streams",
}


async def let_in(caller: Caller) -> iroh.Connection:
    connection, welcome = await caller.say(caller.entry(100, [caller.address]))
    assert welcome.admitted
    return connection


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_peer_that_floods_its_connection_loses_it_with_the_reason(node: MakeNode, misdeed: Misdeed) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 1) as (caller,):
        connection = await let_in(caller)
        doing = asyncio.create_task(misdeed(connection))
        try:
            assert MISDEEDS[misdeed] in await asyncio.wait_for(connection.closed(), PATIENCE)
        finally:
            doing.cancel()
            with contextlib.suppress(iroh.IrohError, asyncio.CancelledError):
                await doing


async def test_a_caller_that_opens_many_streams_before_its_hello_is_closed(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 1) as (caller,):
        connection = await caller.connect()
        with contextlib.suppress(iroh.IrohError):
            await open_one_way_streams(connection)
        assert "too many streams" in await asyncio.wait_for(connection.closed(), PATIENCE)


async def test_one_key_has_one_connection_in_the_mesh_however_often_it_comes(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 1) as (caller,):
        made = [await let_in(caller) for _ in range(5)]
        ended = await asyncio.wait_for(asyncio.gather(*(each.closed() for each in made[:-1])), PATIENCE)
        assert all("duplicate" in reason for reason in ended)
        assert made[-1].close_reason() is None


async def test_a_node_that_is_dialled_cannot_flood_its_caller_with_streams(start_party: StartParty) -> None:
    caller, called = await start_party(), await start_party()
    link = await caller.connector.dial(called.as_peer(), timeout=PATIENCE)
    back = await called.arrived.get()
    with contextlib.suppress(iroh.IrohError):
        await open_one_way_streams(back._connection)
    assert "too many streams" in await asyncio.wait_for(back.closed(), PATIENCE)
    await asyncio.wait_for(link.closed(), PATIENCE)
