# SPDX-License-Identifier: MIT
"""The watch over a connection, in virtual time: silence, answers, datagrams and bytes.

The QUIC connection is a stand-in for iroh's, since no real one falls silent on demand; tests/integration has real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import iroh
import pytest
from tests.simulation.virtual_time import VirtualClock, run
from tests.unit.documents.samples import key

from blixard.dialling.protocols import DialError
from blixard.transport.connection import IrohConnection
from blixard.transport.connector import bind_endpoint, bound_port
from blixard.transport.streams import StreamGate


class Quic:
    """A connection whose other end answers pings while `is_alive`."""

    def __init__(self) -> None:
        self.is_alive = True
        self.pings: list[float] = []
        self.nonces: list[bytes] = []
        self.answers: list[bytes] = []
        self.ways: list[Any] = []
        self.sent = 0
        self.received = 0
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def paths(self) -> list[Any]:
        return self.ways

    def stats(self) -> Any:
        return SimpleNamespace(udp_tx_bytes=self.sent, udp_rx_bytes=self.received)

    def send_datagram(self, datagram: bytes) -> None:
        if datagram[:1] == b"i":
            self.pings.append(asyncio.get_running_loop().time())
            self.nonces.append(datagram[1:])
        else:
            self.answers.append(datagram)
        if self.is_alive and datagram[:1] == b"i":
            self.incoming.put_nowait(b"o" + datagram[1:])

    async def read_datagram(self) -> bytes:
        return await self.incoming.get()

    async def closed(self) -> str:
        return await self.end

    def close(self, code: int, reason: bytes) -> None:
        assert code == 0
        if not self.end.done():
            self.end.set_result(reason.decode())


def watched(quic: Quic, clock: VirtualClock, *, outgoing: bool = True, beats: bool = True) -> IrohConnection:
    connection = IrohConnection(
        cast(iroh.Connection, quic),
        key(2).public(),
        outgoing=outgoing,
        node_id=2,
        admitted=True,
        clock=clock,
        remote="192.0.2.2:7001",
    )
    if beats:
        connection.start(cast(StreamGate, None), {})
    return connection


async def how_it_ends(change: Callable[[Quic], None], after: float) -> tuple[str, float]:
    """Change the other end `after` seconds; return how the connection ended, and how long after the change."""
    clock = VirtualClock()
    quic = Quic()
    connection = watched(quic, clock)
    await clock.sleep(after)
    assert not quic.end.done()
    started = clock.now()
    change(quic)
    return await connection.closed(), clock.now() - started


def test_a_connection_that_answers_stays_for_days() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        connection = watched(quic, clock)
        await clock.sleep(2 * 24 * 3600.0)
        assert not quic.end.done()
        connection.close("stopped")
        assert await connection.closed() == "stopped"

    run(main())


def test_a_peer_that_falls_silent_is_given_up_after_two_whole_beats_and_before_the_third_is_over() -> None:
    def die(quic: Quic) -> None:
        quic.is_alive = False

    reason, seconds = run(how_it_ends(die, 100.0))
    assert reason.startswith("no beat for")
    assert 8.0 <= seconds <= 15.0


def test_the_end_that_was_dialled_hears_the_beats_and_pings_itself_only_once_in_a_while() -> None:
    async def main(beat: float) -> int:
        clock = VirtualClock()
        quic = Quic()
        watched(quic, clock, outgoing=False)
        for _ in range(int(600 / beat)):
            await clock.sleep(beat)
            quic.incoming.put_nowait(b"i" + bytes(8))
        return len(quic.pings)

    assert run(main(5.0)) <= 11
    assert run(main(12.0)) >= 50, "beats that fail to come are asked for"


def test_the_end_that_was_dialled_measures_the_round_trip_at_once() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic, started = Quic(), clock.now()
        connection = watched(quic, clock, outgoing=False)
        await clock.sleep(0.1)
        assert quic.pings == [started]
        assert connection.rtt_ms == 0.0

    run(main())


def test_the_end_that_was_dialled_gives_a_silent_peer_up_as_soon_as_the_other_end_does() -> None:
    async def main() -> tuple[str, float]:
        clock = VirtualClock()
        quic = Quic()
        connection = watched(quic, clock, outgoing=False)
        for _ in range(20):
            await clock.sleep(5.0)
            quic.incoming.put_nowait(b"i" + bytes(8))
        quic.is_alive = False
        started = clock.now()
        return await connection.closed(), clock.now() - started

    reason, seconds = run(main())
    assert reason.startswith("no beat for")
    assert 8.0 <= seconds <= 15.0


def test_anything_that_is_heard_is_a_sign_of_life_though_no_ping_is_answered() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        quic.is_alive = False
        watched(quic, clock)
        for _ in range(20):
            await clock.sleep(10.0)
            quic.incoming.put_nowait(b"x")
        assert not quic.end.done()

    run(main())


def test_a_flood_of_datagrams_ends_the_connection() -> None:
    def flood(quic: Quic) -> None:
        for _ in range(1000):
            quic.incoming.put_nowait(b"x")

    assert run(how_it_ends(flood, 1.0)) == ("too many datagrams", 0.0)


@pytest.mark.parametrize(("received", "most"), [(0, 32_768), (1_000, 35_768)])
def test_a_peer_may_cost_three_times_what_it_sends_and_32_kib(received: int, most: int) -> None:
    async def main(sent: int) -> str | None:
        clock = VirtualClock()
        quic = Quic()
        watched(quic, clock)
        quic.received, quic.sent = received, sent
        await clock.sleep(6.0)
        return quic.end.result() if quic.end.done() else None

    assert run(main(most)) is None
    assert run(main(most + 1)) == "sends this node's packets to too many addresses"


def test_a_connection_may_send_much_when_it_receives_much() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        quic.received, quic.sent = 10_000_000, 29_000_000
        watched(quic, clock)
        await clock.sleep(3600.0)
        assert not quic.end.done()

    run(main())


def test_a_ping_that_is_lost_is_sent_again_and_the_round_trip_is_what_the_clock_says() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        quic.is_alive = False
        connection = watched(quic, clock)
        pinging = asyncio.create_task(connection.ping(5.0))
        await clock.sleep(0.6)
        quic.is_alive = True
        milliseconds = await pinging
        # Sent at 0, 0.25 and 0.75 seconds; the third is answered.
        assert round(milliseconds) == 750
        assert connection.rtt_ms == milliseconds

    run(main())


def test_a_late_answer_to_a_ping_is_none_to_the_next_one() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        quic.is_alive = False
        connection, started = watched(quic, clock, beats=False), clock.now()
        with pytest.raises(DialError, match=r"no answer to a ping in 0\.2 s"):
            await connection.ping(0.2)
        assert clock.now() - started == pytest.approx(0.2)
        (late,) = quic.nonces
        second = asyncio.create_task(connection.ping(1.0))
        await clock.sleep(0.1)
        assert quic.nonces[-1] != late
        quic.incoming.put_nowait(b"o" + late)
        await clock.sleep(0.1)
        assert not second.done()
        quic.incoming.put_nowait(b"o" + quic.nonces[-1])
        assert round(await second) == 200

    run(main())


def test_a_ping_is_answered_with_what_it_brought_and_nothing_else_is() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        watched(quic, clock, beats=False)
        for datagram in (b"i12345678", b"i1234567", b"i123456789", b"x12345678", b"o12345678", b"i", b""):
            quic.incoming.put_nowait(datagram)
        await clock.sleep(0.1)
        assert quic.answers == [b"o12345678"]
        assert not quic.end.done()

    run(main())


def test_the_path_is_that_of_the_ways_which_is_selected() -> None:
    def way(*, selected: bool, relay: bool) -> SimpleNamespace:
        return SimpleNamespace(is_selected=selected, is_relay=relay)

    async def main() -> None:
        quic = Quic()
        connection = watched(quic, VirtualClock(), beats=False)
        assert (connection.path, connection.remote) == (None, "192.0.2.2:7001")
        seen = []
        for is_relay in (True, False):
            quic.ways = [way(selected=False, relay=not is_relay), way(selected=True, relay=is_relay)]
            seen.append(connection.path)
        assert seen == ["relay", "direct"]

    run(main())


def test_the_other_end_is_told_the_reason_in_200_bytes_at_most() -> None:
    async def main() -> None:
        quic = Quic()
        connection = watched(quic, VirtualClock())
        connection.close("x" * 300)
        assert quic.end.result() == "x" * 200
        assert await connection.closed() == "x" * 300

    run(main())


def test_a_flood_that_takes_its_time_is_one_all_the_same() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        watched(quic, clock, beats=False)
        for number in range(101):
            assert not quic.end.done(), number
            quic.incoming.put_nowait(b"?")
            await clock.sleep(0.009)
        assert quic.end.result() == "too many datagrams"

    run(main())


def test_a_hundred_datagrams_in_about_a_second_are_no_flood_and_one_more_is() -> None:
    async def main() -> None:
        clock = VirtualClock()
        quic = Quic()
        connection = watched(quic, clock, beats=False)
        for _ in range(5):
            for _ in range(100):
                quic.incoming.put_nowait(b"?")
            await clock.sleep(1.5)
            assert not quic.end.done()
        for _ in range(101):
            quic.incoming.put_nowait(b"?")
        assert await connection.closed() == "too many datagrams"

    run(main())


def test_a_connection_that_has_ended_leaves_no_task_whoever_ended_it() -> None:
    def end_here(connection: IrohConnection, _: Quic) -> None:
        connection.close("stopped")

    def end_there(_: IrohConnection, quic: Quic) -> None:
        quic.close(0, b"gone")

    async def main() -> None:
        clock = VirtualClock()
        before = asyncio.all_tasks()
        for number in range(20):
            quic = Quic()
            quic.is_alive = number % 4 < 2
            connection = watched(quic, clock)
            await clock.sleep(1.0)
            (end_here if number % 2 else end_there)(connection, quic)
            await connection.closed()
            await clock.sleep(0.0)
        assert asyncio.all_tasks() == before

    run(main())


def test_a_ping_that_was_answered_leaves_no_task_behind() -> None:
    async def main() -> None:
        clock = VirtualClock()
        connection = watched(Quic(), clock)
        await clock.sleep(1.0)
        before = asyncio.all_tasks()
        for _ in range(20):
            await connection.ping(3600.0)
        await clock.sleep(0.01)
        assert asyncio.all_tasks() == before

    run(main())


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0"])
async def test_an_endpoint_says_the_port_of_the_family_that_it_was_bound_to(bind: str) -> None:
    endpoint = await bind_endpoint(key(1), bind)
    try:
        port = bound_port(endpoint, bind.startswith("["))
        assert f"{bind[:-1]}{port}" in endpoint.bound_sockets()
    finally:
        await endpoint.close()


def test_a_connection_that_beats_faster_notices_a_silent_peer_sooner() -> None:
    async def main() -> float:
        clock = VirtualClock()
        quic = Quic()
        connection = watched(quic, clock)
        await clock.sleep(100.0)
        connection.beat_every(1.0)
        await clock.sleep(10.0)
        assert not quic.end.done()
        quic.is_alive = False
        died = clock.now()
        assert "no beat for 2.6 s" in await connection.closed()
        return clock.now() - died

    assert run(main()) <= 2.6
