# SPDX-License-Identifier: MIT
"""One run at a time: a lock that ends with the process that it was taken for, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blixard.errors import InputError
from blixard.fleet.run_lock import take

Run = subprocess.Popen[bytes]


@pytest.fixture
def begin() -> Iterator[Callable[[], Run]]:
    """Give the function that starts a process which stands for a run, and does nothing until it is ended."""
    begun: list[Run] = []

    def start() -> Run:
        begun.append(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]))
        return begun[-1]

    yield start
    for run in begun:
        run.kill()
        run.wait()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fleet" / "registry.lock"


def test_a_second_run_is_refused_with_who_has_the_record(path: Path, begin: Callable[[], Run]) -> None:
    first, second = begin(), begin()
    take(path, first.pid)
    who = json.loads(path.read_bytes())

    with pytest.raises(InputError) as refused:
        take(path, second.pid)

    who_says = f"{who['user']} on {who['machine']}, process {first.pid}, since {who['since']}"
    assert str(refused.value).startswith(
        f"{path}: another run is at work on this record: {who_says}; wait until it ends"
    )


def test_a_run_may_ask_again_for_what_it_has(path: Path, begin: Callable[[], Run]) -> None:
    run = begin()
    take(path, run.pid)
    take(path, run.pid)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_lock_ends_with_its_run_and_leaves_nothing(
    path: Path, begin: Callable[[], Run], end: signal.Signals
) -> None:
    first, second = begin(), begin()
    take(path, first.pid)
    first.send_signal(end)
    first.wait()
    take(path, second.pid)
    second.kill()
    second.wait()
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    assert not path.parent.exists(), "there was none before"


def test_the_next_run_writes_down_who_it_is(path: Path, begin: Callable[[], Run]) -> None:
    first, second = begin(), begin()
    take(path, first.pid)
    first.kill()
    first.wait()
    take(path, second.pid)
    assert json.loads(path.read_bytes())["process"] == second.pid


def test_what_a_lost_controller_left_behind_locks_nobody_out(path: Path, begin: Callable[[], Run]) -> None:
    path.parent.mkdir()
    path.write_text('{"user": "root", "machine": "gone", "process": 1, "since": "2026-01-01T00:00:00Z"}\n')
    take(path, begin().pid)


def test_what_is_no_lock_file_is_one_line(path: Path, begin: Callable[[], Run]) -> None:
    path.parent.mkdir()
    path.symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"registry\.lock: cannot be locked: Too many levels of symbolic links"):
        take(path, begin().pid)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"registry\.lock: cannot be locked: Is a directory"):
        take(path, begin().pid)
