# SPDX-License-Identifier: MIT
"""Both ends of the control socket, over a real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from blixard.agent.control_client import SOCKET_NAME, AgentError, AgentNotRunning, ask
from blixard.agent.control_server import MAX_REQUEST_BYTES, ControlServer, Tell
from blixard.errors import BlixardError, InputError


async def echo(request: Mapping[str, Any], _: Tell) -> dict[str, Any]:
    return dict(request)


async def refuse(_: Mapping[str, Any], __: Tell) -> None:
    raise InputError("is wrong", place="/sample", mend="write another")


async def fail(_: Mapping[str, Any], __: Tell) -> None:
    raise RuntimeError("secret detail")


async def count(_: Mapping[str, Any], tell: Tell) -> str:
    for done in range(3):
        tell({"done": done, "of": 3})
        await asyncio.sleep(0)
    return "counted"


async def hang(_: Mapping[str, Any], __: Tell) -> None:
    await asyncio.Event().wait()


async def nothing(_: Mapping[str, Any], __: Tell) -> None:
    return None


OPERATIONS = {"echo": echo, "refuse": refuse, "fail": fail, "count": count, "hang": hang, "stop": nothing}


@contextlib.asynccontextmanager
async def serving(data_dir: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(data_dir, OPERATIONS)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def asked(data_dir: Path, op: str, **more: Any) -> Any:
    return await asyncio.to_thread(ask, data_dir, op, **more)


async def said(data_dir: Path, data: bytes) -> dict[str, Any]:
    """Send raw bytes, end the talk, and return the answer."""
    directory = os.open(data_dir, os.O_RDONLY)
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
    finally:
        os.close(directory)
    writer.write(data)
    writer.write_eof()
    answer: dict[str, Any] = json.loads(await reader.read())
    writer.close()
    return answer


async def test_a_request_comes_with_its_parameters_and_the_answer_comes_back(tmp_path: Path) -> None:
    async with serving(tmp_path):
        answer = await asked(tmp_path, "echo", params={"sample": 3, "name": "Zürich\n"})
        assert answer == {"op": "echo", "sample": 3, "name": "Zürich\n", "progress": False}
        assert await asked(tmp_path, "stop") is None


async def test_a_parameter_cannot_take_the_place_of_the_operation(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert (await asked(tmp_path, "echo", params={"op": "stop"}))["op"] == "echo"


async def test_a_data_directory_may_have_a_name_longer_than_the_address_of_a_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * 120) / ("e" * 120)
    data_dir.mkdir(parents=True)
    async with serving(data_dir):
        assert (await asked(data_dir, "echo"))["op"] == "echo"
    assert list(data_dir.iterdir()) == []


async def test_the_socket_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with serving(tmp_path):
            assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


async def test_the_socket_of_a_killed_node_is_replaced_and_the_own_one_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as leftover:
        leftover.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(AgentNotRunning, match="Connection refused"):
        await asked(tmp_path, "echo")
    async with serving(tmp_path):
        assert (await asked(tmp_path, "echo"))["op"] == "echo"
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_a_socket_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).mkdir()
    with pytest.raises(InputError, match=r"agent\.sock: is a folder, not a socket; move it away"):
        await ControlServer(tmp_path, OPERATIONS).start()


async def test_a_server_that_was_stopped_can_be_started_again(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, OPERATIONS)
    await server.stop()
    await server.start()
    await server.stop()
    await server.start()
    assert (await asked(tmp_path, "echo"))["op"] == "echo"
    await server.stop()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_descriptor_stays_open_after_a_stop(tmp_path: Path) -> None:
    async with serving(tmp_path):
        await asked(tmp_path, "echo")
    before = open_descriptors()
    for _ in range(3):
        async with serving(tmp_path):
            await asked(tmp_path, "echo")
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "one line of JSON"),
        (b'{"op":"echo"}', "one line of JSON"),
        (b"\n", "is empty"),
        (b"garbage\n", "is not JSON"),
        (b"\xff\xfe\n", "is not UTF-8"),
        (b"[]\n", "a request is an object"),
        (b"[" * 5000 + b"]" * 5000 + b"\n", "nested deeper"),
        (b"{}\n", "/op: unknown operation; one of echo, "),
        (b'{"op":"nonsense"}\n', "/op: unknown operation"),
        (b'{"op":["echo"]}\n', "/op: unknown operation"),
        (b'{"op":"echo","op":"stop"}\n', "twice"),
    ],
)
async def test_a_request_that_is_none_is_answered_with_the_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    async with serving(tmp_path):
        assert reason in (await said(tmp_path, line))["error"]
        assert (await asked(tmp_path, "echo"))["op"] == "echo"


async def test_a_line_without_end_is_cut_off_and_the_next_one_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(AgentError, match=f"one line of JSON of at most {MAX_REQUEST_BYTES} bytes"):
            await asked(tmp_path, "echo", params={"padding": "x" * MAX_REQUEST_BYTES})
        assert (await asked(tmp_path, "echo"))["op"] == "echo"


async def test_who_connects_and_says_nothing_holds_up_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(tmp_path / SOCKET_NAME))
            assert (await asked(tmp_path, "echo"))["op"] == "echo"


async def test_who_goes_away_before_the_answer_is_no_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as hasty:
                hasty.connect(str(tmp_path / SOCKET_NAME))
                hasty.sendall(b'{"op":"count","progress":true}\n')
        assert (await asked(tmp_path, "echo"))["op"] == "echo"
    assert caplog.records == []


async def test_an_error_for_people_reaches_whoever_asked(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(AgentError, match="says: /sample: is wrong; write another"):
            await asked(tmp_path, "refuse")


async def test_a_fault_of_the_program_is_logged_and_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path):
        with pytest.raises(AgentError, match="says: internal error, see the node's log"):
            await asked(tmp_path, "fail")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "secret detail" in caplog.text


async def test_progress_is_told_to_who_wants_it(tmp_path: Path) -> None:
    steps: list[Any] = []
    async with serving(tmp_path):
        assert await asked(tmp_path, "count", progress=steps.append) == "counted"
        assert await asked(tmp_path, "count") == "counted"
    assert steps[0] == {"done": 0, "of": 3}
    assert [step["done"] for step in steps] == sorted({step["done"] for step in steps})


async def test_a_node_that_does_not_answer_in_time_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(AgentError, match=r"the node in .* did not answer in 0\.05 s"):
            await asked(tmp_path, "hang", timeout=0.05)


async def test_a_stop_ends_the_talks_that_are_under_way(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hang_visibly(_: Mapping[str, Any], __: Tell) -> None:
        begun.set()
        await asyncio.Event().wait()

    server = ControlServer(tmp_path, {"hang": hang_visibly})
    await server.start()
    asking = asyncio.create_task(asked(tmp_path, "hang"))
    await begun.wait()
    await server.stop()
    with pytest.raises(AgentNotRunning, match="went away before it had answered"):
        await asking


@contextlib.contextmanager
def impostor(data_dir: Path, answer: bytes) -> Iterator[None]:
    """Somebody else's program that listens on the node's socket and says `answer`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data_dir / SOCKET_NAME))
        listener.listen()

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(4096)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


@pytest.mark.parametrize("answer", [b"", b'{"result": {"half', b'{"progress": 1}\n'])
def test_a_node_that_goes_away_in_the_middle_of_its_answer_is_not_running(tmp_path: Path, answer: bytes) -> None:
    with impostor(tmp_path, answer), pytest.raises(AgentNotRunning, match="went away before it had answered"):
        ask(tmp_path, "info")


@pytest.mark.parametrize("answer", [b"hello\n", b"[]\n", b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_whoever_answers_nonsense_is_no_node(tmp_path: Path, answer: bytes) -> None:
    with impostor(tmp_path, answer), pytest.raises(AgentError, match="is no node: its answer cannot be read"):
        ask(tmp_path, "info")


@pytest.mark.parametrize("name", ["none", "file", "file/data", "empty"])
def test_no_node_runs_where_there_is_no_socket(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(AgentNotRunning, match=f"no node runs in {tmp_path / name}: "):
        ask(tmp_path / name, "info")


STRANGER = """
import os, sys
from blixard.agent.control_client import ask
from blixard.errors import BlixardError
os.setuid(65534)
try:
    ask(sys.argv[1], "echo")
except BlixardError as error:
    print(error.exit_code, error)
"""


@pytest.fixture
def open_room() -> Iterator[Path]:
    """Give a directory whose parents every user may pass, unlike those of tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["socket only", "directory too"])
async def test_another_user_is_told_that_the_node_is_not_for_them(open_room: Path, mode: int) -> None:
    await asyncio.to_thread(open_room.chmod, mode)
    async with serving(open_room):
        process = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", STRANGER, str(open_room)], capture_output=True, text=True, check=True
        )
    assert process.stdout == f"2 {open_room}: is not for this user; ask as the node's user or as root\n"


def test_the_client_starts_fast_because_it_imports_next_to_nothing() -> None:
    code = "import sys; old = {*sys.modules}; import blixard.agent.control_client; print(*sorted({*sys.modules} - old))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "iroh", "logging", "dataclasses", "argparse", "blixard.model.entry"} & set(loaded)


def test_errors_of_the_client_are_for_people() -> None:
    assert issubclass(AgentNotRunning, BlixardError)
    assert issubclass(AgentError, BlixardError)
