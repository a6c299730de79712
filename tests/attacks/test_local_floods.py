# SPDX-License-Identifier: MIT
"""Floods of the metrics address and of the control socket: whoever means it is answered, and little is spent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from blixard.agent import control_server, metrics_server
from blixard.agent.control_client import SOCKET_NAME, ask
from blixard.agent.control_server import ControlServer, Operation, Tell
from blixard.agent.metrics_server import serving_metrics
from blixard.agent.options import Bind

GET = b"GET /metrics HTTP/1.1\r\nHost: localhost:9101\r\n\r\n"
TEXT = b"one 1\n"


async def scraped(port: int, host: str = "127.0.0.1") -> bytes:
    """What a monitoring system gets."""
    reader, writer = await asyncio.open_connection(host, port, local_addr=(host, 0))
    writer.write(GET)
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def silent(port: int, many: int, host: str = "127.0.0.1") -> list[asyncio.StreamWriter]:
    """Connections that ask for nothing."""
    return [(await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0)))[1] for _ in range(many)]


class Meter:
    """Metrics that count how often they are written."""

    def __init__(self, text: bytes = TEXT) -> None:
        self.written = 0
        self.text = text

    def __call__(self) -> bytes:
        self.written += 1
        return self.text


@contextlib.asynccontextmanager
async def metrics(meter: Callable[[], bytes]) -> AsyncIterator[int]:
    async with serving_metrics(Bind.parse("127.0.0.1:0"), meter) as port:
        yield port


async def test_a_scraper_is_answered_while_another_holds_hundreds_of_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIMEOUT", 3600.0)
    async with metrics(Meter()) as port:
        held = await silent(port, 300)
        for _ in range(5):
            assert await scraped(port) == TEXT
        for writer in held:
            writer.close()


async def test_who_has_most_connections_loses_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIMEOUT", 3600.0)
    async with metrics(Meter()) as port:
        reader, honest = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
        held = await silent(port, 100)
        honest.write(GET)
        assert (await reader.read()).endswith(TEXT)
        for writer in (*held, honest):
            writer.close()


async def test_the_connections_that_are_held_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIMEOUT", 3600.0)
    async with metrics(Meter()) as port:
        before = descriptors()
        held = await silent(port, 200)
        assert await scraped(port) == TEXT
        mine = len(held)
        assert descriptors() - before - mine <= 20
        for writer in held:
            writer.close()


async def test_a_flood_of_requests_is_answered_from_one_text() -> None:
    meter = Meter()
    async with metrics(meter) as port:
        answers = await asyncio.gather(*(scraped(port) for _ in range(12)))
        answers += [await scraped(port) for _ in range(100)]
    assert set(answers) == {TEXT}
    assert meter.written < 56


async def test_a_reader_that_does_not_read_is_left_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIMEOUT", 0.2)
    meter = Meter(b"x" * 50_000_000)
    async with metrics(meter) as port:
        with socket.create_connection(("127.0.0.1", port)) as stuck:
            stuck.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(stuck, GET)
            await until(lambda: meter.written)
            await until(lambda: not buffered())


@pytest.mark.parametrize("head", [b"x" * 100_000, b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 10_000, b"\r\n"])
async def test_an_endless_head_ends(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIMEOUT", 0.5)
    async with metrics(Meter()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            assert TEXT not in await reader.read()
        writer.close()
        assert await scraped(port) == TEXT


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (a number, for whoever counts)


def buffered() -> int:
    """How many bytes the servers of this process keep for whoever does not read them."""
    gc.collect()
    kind = "_SelectorSocketTransport"
    return sum(each.get_write_buffer_size() for each in gc.get_objects() if type(each).__name__ == kind)


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110  (what is awaited is in the kernel)
        await asyncio.sleep(0.02)


class Node:
    """A control server whose check lasts until it is let go."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.running = self.most = self.ended = self.told = 0
        self.server = ControlServer(data_dir, self.table())
        self.go = asyncio.Event()

    async def check(self, _: Mapping[str, Any], tell: Tell) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while not self.go.is_set():
                tell("x" * 1000)
                await asyncio.sleep(0.01)
            return "checked"
        finally:
            self.running -= 1
            self.ended += 1

    async def echo(self, request: Mapping[str, Any], _: Tell) -> object:
        return request.get("word")

    async def much(self, _: Mapping[str, Any], __: Tell) -> str:
        self.told += 1
        return "x" * 5_000_000

    def table(self) -> dict[str, Operation]:
        return {"check": self.check, "echo": self.echo, "much": self.much}

    def connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.connect(str(self.data_dir / SOCKET_NAME))
        return link

    def say(self, **request: Any) -> socket.socket:
        link = self.connect()
        link.sendall(json.dumps(request).encode() + b"\n")
        return link

    async def answers(self) -> bool:
        return bool(await asyncio.to_thread(ask, self.data_dir, "echo", {"word": "yes"}) == "yes")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path)
    await made.server.start()
    try:
        yield made
    finally:
        await made.server.stop()


async def test_who_asks_is_answered_while_others_connect_and_say_nothing(node: Node) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(150):
            held.enter_context(node.connect())
            await asyncio.sleep(0)
        assert await node.answers()


async def test_checks_at_once_are_few_and_end_with_whoever_asked(node: Node) -> None:
    links = [node.say(op="check", progress=True) for _ in range(10)]
    await until(lambda: node.running == 4)
    assert await node.answers()
    for link in links[:8]:
        link.close()
    await until(lambda: node.running == 2 and node.ended >= 4)
    assert node.most <= 4
    for link in links[8:]:
        link.close()
    await until(lambda: node.running == 0)


async def test_a_check_waits_for_its_turn_and_is_then_made(node: Node) -> None:
    links = [node.say(op="check") for _ in range(6)]
    await until(lambda: node.running == 4)
    node.go.set()
    for link in links:
        said = await asyncio.to_thread(link.makefile("rb").readline)
        assert json.loads(said) == {"result": "checked"}
        link.close()


async def test_who_only_ends_his_own_side_gets_his_answer(node: Node) -> None:
    with node.say(op="check") as link:
        link.shutdown(socket.SHUT_WR)
        await until(lambda: node.running == 1)
        node.go.set()
        assert json.loads(await asyncio.to_thread(link.makefile("rb").readline)) == {"result": "checked"}


async def test_more_talks_than_there_may_be_are_told_to_come_back(node: Node) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(32):
            held.enter_context(node.say(op="check"))
        await until(lambda: node.running == 4)
        late = held.enter_context(node.say(op="echo"))
        assert "try again" in json.loads(await asyncio.to_thread(late.makefile("rb").readline))["error"]
    await until(lambda: node.running == 0)
    assert await node.answers()


async def test_an_answer_that_nobody_reads_is_thrown_away(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "ANSWER_TIMEOUT", 0.2)
    with contextlib.ExitStack() as held:
        for _ in range(32):
            held.enter_context(node.say(op="much"))
        await until(lambda: node.told == 32)
        await until(lambda: not buffered())
        await until(lambda: not node.server._talks)
        assert await node.answers()


async def test_progress_that_nobody_reads_costs_no_memory(node: Node) -> None:
    with node.say(op="check", progress=True):
        await until(lambda: node.running == 1)
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert buffered() < 100_000
