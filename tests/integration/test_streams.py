# SPDX-License-Identifier: MIT
"""Streams of a mesh connection, on two real endpoints: who serves them, and what ends them or the connection."""

from __future__ import annotations

import asyncio

import iroh
import pytest
from tests.integration.party import Party, StartParty

from blixard.dialling.protocols import Connection, DialError, Stream
from blixard.errors import InputError
from blixard.transport.connection import IrohConnection
from blixard.transport.hello import DISCOVERY_ALPN
from blixard.transport.streams import MAX_STREAMS, NO_HANDLERS

TIMEOUT = 20.0
MOST = 100_000


async def echo(_: Connection, stream: Stream) -> None:
    """Send every frame back, to the last."""
    while (frame := await stream.receive(most=MOST)) is not None:
        await stream.send(frame)
    await stream.finish()


async def hold(_: Connection, stream: Stream) -> None:
    """Answer nothing until the other end has finished."""
    await stream.receive(most=MOST)


ECHO = {"echo/1": echo}


async def joined(a: Party, b: Party) -> tuple[IrohConnection, IrohConnection]:
    """The two ends of a connection of the mesh: of the one that dialled, of the other."""
    dialled = await a.connector.dial(b.as_peer(), timeout=TIMEOUT)
    return dialled, await b.arrived.get()


async def pair(start_party: StartParty) -> tuple[IrohConnection, IrohConnection]:
    return await joined(await start_party(handlers=ECHO), await start_party(handlers=ECHO))


async def round_trip(connection: IrohConnection, *frames: bytes) -> list[bytes | None]:
    stream = await connection.open_stream("echo/1")
    for frame in frames:
        await stream.send(frame)
    await stream.finish()
    return [await asyncio.wait_for(stream.receive(most=MOST), TIMEOUT) for _ in range(len(frames) + 1)]


async def test_either_end_opens_streams_and_frames_arrive_whole_and_in_order(start_party: StartParty) -> None:
    frames = (b"", b"one", bytes(range(256)) * 300)
    for end in await pair(start_party):
        assert end.protocols == {"echo/1"}
        assert await round_trip(end, *frames) == [*frames, None]


async def test_the_end_that_was_dialled_may_open_a_stream_before_the_dialler_has_read_its_welcome(
    start_party: StartParty,
) -> None:
    a, b = await start_party(handlers=ECHO), await start_party(handlers=ECHO)

    async def first_word() -> list[bytes | None]:
        return await round_trip(await b.arrived.get(), b"first")

    early = asyncio.create_task(first_word())
    await a.connector.dial(b.as_peer(), timeout=TIMEOUT)
    assert await asyncio.wait_for(early, TIMEOUT) == [b"first", None]


async def test_streams_one_after_the_other_have_no_limit(start_party: StartParty) -> None:
    dialled, _ = await pair(start_party)
    for _ in range(5 * MAX_STREAMS):
        assert await round_trip(dialled, b"x") == [b"x", None]


async def test_more_streams_at_once_than_a_peer_may_have_end_the_connection(start_party: StartParty) -> None:
    holding = {"echo/1": hold}
    dialled, _ = await joined(await start_party(handlers=holding), await start_party(handlers=holding))
    # They are held: a stream that nobody holds any more is finished.
    opened = await asyncio.gather(
        *(dialled.open_stream("echo/1") for _ in range(2 * MAX_STREAMS)), return_exceptions=True
    )
    assert "too many streams" in await asyncio.wait_for(dialled.closed(), TIMEOUT)
    assert len(opened) > MAX_STREAMS


@pytest.mark.parametrize("who", ["neither", "other"])
async def test_a_stream_to_a_peer_that_speaks_no_common_protocol_ends_the_connection(
    start_party: StartParty, who: str
) -> None:
    theirs = {"other/1": echo} if who == "other" else NO_HANDLERS
    dialled, accepted = await joined(await start_party(handlers=ECHO), await start_party(handlers=theirs))
    assert dialled.protocols == accepted.protocols == frozenset()
    await dialled.open_stream("echo/1")
    assert "too many streams" in await asyncio.wait_for(dialled.closed(), TIMEOUT)


async def test_a_frame_that_is_too_long_or_cut_or_a_name_that_nobody_serves_ends_the_stream_only(
    start_party: StartParty, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="blixard.transport")
    dialled, accepted = await pair(start_party)
    reasons = {
        "names no protocol": ("nobody/1", b""),
        f"more than {MOST}": ("echo/1", (MOST + 1).to_bytes(4, "big")),
        "a frame is cut": ("echo/1", b"\0\0\0\5abc"),
    }
    for protocol, raw in reasons.values():
        stream = await dialled.open_stream(protocol)
        await stream._send.write_all(raw)
        await stream._send.finish()
        with pytest.raises(DialError):
            await asyncio.wait_for(stream.receive(most=MOST), TIMEOUT)
    told = [str(vars(record)["reason"]) for record in caplog.records if record.message == "stream refused"]
    assert all(any(part in line for line in told) for part in reasons)
    assert await round_trip(dialled, b"still here") == [b"still here", None]
    assert await round_trip(accepted, b"and here") == [b"and here", None]


async def test_a_reader_names_what_is_wrong_with_a_frame(start_party: StartParty) -> None:
    dialled, _ = await pair(start_party)
    stream = await dialled.open_stream("echo/1")
    await stream.send(b"four")
    with pytest.raises(InputError, match="a frame of 4 bytes, more than 3"):
        await asyncio.wait_for(stream.receive(most=3), TIMEOUT)


async def test_a_stream_ends_with_its_connection_at_both_ends(start_party: StartParty) -> None:
    dialled, accepted = await pair(start_party)
    stream = await dialled.open_stream("echo/1")
    accepted.close("stopped")
    with pytest.raises(DialError) as ended:
        await asyncio.wait_for(stream.receive(most=MOST), TIMEOUT)
    assert ended.value.kind == "closed"
    await asyncio.wait_for(dialled.closed(), TIMEOUT)
    with pytest.raises(DialError):
        await dialled.open_stream("echo/1")


async def test_streams_before_the_hello_is_answered_are_still_too_many(start_party: StartParty) -> None:
    a, b = await start_party(handlers=ECHO), await start_party(handlers=ECHO)
    where = iroh.EndpointAddr(iroh.EndpointId.from_bytes(b.key.public().raw), None, [b.address])
    connection = await a.endpoint.connect(where, DISCOVERY_ALPN)
    opened = [await connection.open_bi() for _ in range(2)]
    for stream in opened:
        await stream.send().write_all(b"{")
    assert "too many streams" in await asyncio.wait_for(connection.closed(), TIMEOUT)


async def test_a_stream_may_carry_far_more_than_comes_back(start_party: StartParty) -> None:
    async def swallow(_: Connection, stream: Stream) -> None:
        while await stream.receive(most=MOST) is not None:
            pass
        await stream.send(b"all of it")

    handlers = {"echo/1": swallow}
    dialled, _ = await joined(await start_party(handlers=handlers), await start_party(handlers=handlers))
    dialled.beat_every(0.05)
    stream = await dialled.open_stream("echo/1")
    for _ in range(100):
        await stream.send(bytes(MOST))
    await stream.finish()
    assert await asyncio.wait_for(stream.receive(most=MOST), TIMEOUT) == b"all of it"
    for _ in range(5):  # beats, each of which looks at what was sent
        await dialled.ping(TIMEOUT)
        await asyncio.sleep(0.06)
    assert await round_trip_once(dialled) == b"all of it"


async def round_trip_once(connection: IrohConnection) -> bytes | None:
    stream = await connection.open_stream("echo/1")
    await stream.finish()
    return await asyncio.wait_for(stream.receive(most=MOST), TIMEOUT)
