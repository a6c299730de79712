# SPDX-License-Identifier: MIT
"""One node a data directory: the lock, the pid file, starting in the background, stopping."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.conftest import Hold

from blixard.agent.data_dir import make_data_dir
from blixard.agent.process import (
    LOG_FILE_NAME,
    PID_FILE_NAME,
    NodeFailed,
    only_node_here,
    running_pid,
    start_detached,
    stop,
)
from blixard.errors import InputError


def test_the_pid_file_names_the_process_that_holds_the_directory(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path)
    assert (tmp_path / PID_FILE_NAME).read_text() == f"{process.pid}\n"
    assert (tmp_path / PID_FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert running_pid(tmp_path) == process.pid


def test_a_second_node_in_the_same_directory_is_refused_and_harms_nothing(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path)
    with (
        pytest.raises(InputError, match=r"another node runs here; stop it first: blixard stop --data-dir"),
        only_node_here(tmp_path),
    ):
        pass
    assert running_pid(tmp_path) == process.pid


def test_the_directory_is_free_again_after_a_clean_end(tmp_path: Path) -> None:
    with only_node_here(tmp_path):
        pass
    assert running_pid(tmp_path) is None
    assert (tmp_path / PID_FILE_NAME).read_text() == ""
    with only_node_here(tmp_path):
        pass


def test_the_pid_file_of_a_killed_node_keeps_nobody_out(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path)
    process.kill()
    process.wait()
    assert (tmp_path / PID_FILE_NAME).read_text() == f"{process.pid}\n"
    assert running_pid(tmp_path) is None
    assert stop(tmp_path) is False
    with only_node_here(tmp_path):
        assert (tmp_path / PID_FILE_NAME).read_text() == f"{os.getpid()}\n"


def test_nothing_runs_where_there_is_no_directory(tmp_path: Path) -> None:
    assert running_pid(tmp_path / "none") is None
    assert stop(tmp_path / "none") is False


def test_stop_ends_the_node_and_returns_when_it_is_gone(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path)
    gone = os.pidfd_open(process.pid)
    try:
        assert stop(tmp_path) is True
        assert select.select([gone], [], [], 0)[0]
    finally:
        os.close(gone)
    assert process.wait() == -signal.SIGTERM


def test_stop_says_so_when_the_node_does_not_end(tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    process = hold(tmp_path, "stubborn")
    monkeypatch.setattr("blixard.agent.process.STOP_TIMEOUT", 0.1)
    with pytest.raises(Exception, match=rf"node process {process.pid} did not end in .*kill -9"):
        stop(tmp_path)


@pytest.mark.parametrize("use", [make_data_dir, lambda path: only_node_here(path).__enter__()])
def test_a_directory_that_cannot_be_made_or_written_is_named_with_what_to_do(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        use(tmp_path / "file" / "data")
    assert str(caught.value).startswith(str(tmp_path / "file" / "data"))
    assert caught.value.mend


def test_a_data_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "data" / "node1")
    make_data_dir(tmp_path / "data" / "node1")
    assert (tmp_path / "data" / "node1").stat().st_mode & 0o777 == 0o700


@contextmanager
def taken_port() -> Iterator[int]:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def node_arguments(data_dir: Path, port: int = 0) -> list[str]:
    return ["node", "--id", "1", "--bind", f"127.0.0.1:{port}", "--data-dir", str(data_dir)]


def test_a_node_in_the_background_runs_when_start_returns_and_ends_when_stopped(tmp_path: Path) -> None:
    pid = start_detached(node_arguments(tmp_path), tmp_path)
    try:
        assert running_pid(tmp_path) == pid
        assert os.getsid(pid) == pid
        assert 'msg="node ready"' in (tmp_path / LOG_FILE_NAME).read_text()
    finally:
        assert stop(tmp_path) is True
    assert os.waitpid(pid, 0)[1] == 0


def test_a_node_that_cannot_start_is_reported_by_its_last_line_and_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE_NAME).write_text("a line of an earlier life\n")
    with taken_port() as port, pytest.raises(NodeFailed) as caught:
        start_detached(node_arguments(tmp_path, port), tmp_path)
    assert str(caught.value).startswith(f"the node did not start: /bind: cannot bind 127.0.0.1:{port}: ")
    assert caught.value.exit_code == 2
    assert "earlier life" in (tmp_path / LOG_FILE_NAME).read_text()


def test_a_node_that_is_killed_while_it_starts_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(NodeFailed, match="the node did not start: it logged nothing in") as caught:
        start_detached(node_arguments(tmp_path), tmp_path)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("deaf", ["", "trap '' TERM"], ids=["ends when told", "must be killed"])
def test_a_node_that_is_never_ready_is_ended_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{deaf}\necho thinking hard\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr("blixard.agent.process.READY_TIMEOUT", 3.0)
    monkeypatch.setattr("blixard.agent.process.STOP_TIMEOUT", 0.2)
    with pytest.raises(NodeFailed, match="the node was not ready after 3 s: thinking hard"):
        start_detached(node_arguments(tmp_path), tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no safe path")
def test_nothing_in_the_working_directory_is_taken_for_a_part_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    monkeypatch.chdir(tmp_path)
    start_detached(node_arguments(tmp_path / "data"), tmp_path / "data")
    assert stop(tmp_path / "data") is True


def test_start_says_so_when_the_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        start_detached(node_arguments(tmp_path / "file" / "data"), tmp_path / "file" / "data")
