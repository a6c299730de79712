# SPDX-License-Identifier: MIT
"""One run at a time on one record: a lock that lasts exactly as long as the run's process.

Each task of a run is a process of its own, and a run may end at any of them, by a failure, by an interrupt or by power.
So a small process of its own holds the lock (flock(2), which the kernel gives back) and waits for the run to end. What
stands in the file is for people; a file that a lost machine left behind locks nobody out.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import select
import socket
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from blixard.errors import InputError, one_line
from blixard.model.times import format_time

MAX_BYTES = 4096
"""More of the file than this is nothing of ours."""

_HELD = "held"


def take(path: Path, run: int) -> None:
    """Have the run whose process is `run` hold the lock at `path` until it ends; once more is no trouble.

    Args:
        path: the lock's file; made where it is missing, with the folders above it, and removed at the end.
        run: process id of the run on this machine.

    Raises:
        InputError: another run holds it, or it cannot be made.
    """
    holder = subprocess.Popen(  # noqa: S603  (our own program and arguments)
        [sys.executable, "-m", "blixard.fleet.run_lock", str(path), str(run)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # An interrupt of the run is not one of the lock, which ends after it.
        start_new_session=True,
        # Without this, `-m` would also import what lies in the working directory.
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    assert holder.stdout is not None  # noqa: S101  (for the type checker: it is a pipe)
    with holder.stdout:
        said = holder.stdout.readline(MAX_BYTES).decode(errors="replace").strip()
    if said != _HELD:
        holder.wait()
        mend = "wait until it ends; runs on fleets with records of their own do not wait for each other"
        raise InputError(
            said or "cannot be locked", file=str(path), mend=mend if said.startswith("another run") else ""
        )
    # It is nobody's child to wait for: the task that started it ends before it does.
    holder.returncode = 0


def _hold(path: Path, run: int) -> None:
    """Be the process that holds the lock: say so, or who does; then wait for the run to end."""
    if not hasattr(os, "pidfd_open"):
        print("cannot be locked: this controller cannot tell when a run ends, which takes Linux 5.3 or newer")
        return
    ended = os.pidfd_open(run)
    is_new_folder = not path.parent.exists()
    lock = _open_locked(path)
    if isinstance(lock, dict):
        is_ours = _is_here(lock) and lock.get("process") == run
        print(_HELD if is_ours else f"another run is at work on this record: {_words(lock)}")
        return
    try:
        _write(lock, run)
        print(_HELD, flush=True)
        # Whoever started this reads to the end of the line; nobody reads more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        select.select([ended], [], [])  # readable when the process is gone
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
            if is_new_folder:
                path.parent.rmdir()  # which the run has put nothing into
        os.close(lock)


def _open_locked(path: Path) -> int | dict[str, Any]:
    """Return the descriptor of the locked file, or who has locked it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.pread(file, MAX_BYTES, 0).decode(errors="replace"))
            if not _has_ended(holder):
                os.close(file)
                return holder
            fcntl.flock(file, fcntl.LOCK_EX)  # it lets go at this moment
        # The one before may have removed the file between these two steps; then it is no longer the one of this name.
        if os.fstat(file).st_nlink:
            return file
        os.close(file)


def _write(lock: int, run: int) -> None:
    now = format_time(datetime.now(timezone.utc).replace(microsecond=0))
    who = {"user": _user(), **_here(), "process": run, "since": now}
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(who).encode() + b"\n", 0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _holder(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}  # it has the lock and has not written yet
    return said if isinstance(said, dict) else {}


def _here() -> dict[str, Any]:
    """Where process ids mean what they mean to this one: two containers may have one name, and each a process 7."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return {"machine": socket.gethostname(), "namespace": namespace}


def _is_here(holder: dict[str, Any]) -> bool:
    return all(holder.get(key) == value for key, value in _here().items())


def _has_ended(holder: dict[str, Any]) -> bool:
    """Tell whether a run of this machine is over."""
    run = holder.get("process")
    return _is_here(holder) and isinstance(run, int) and not _is_there(run)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _words(holder: dict[str, Any]) -> str:
    if not holder:
        return "it began just now"
    user, machine, process, since = (
        one_line(str(holder.get(key)), 100) for key in ("user", "machine", "process", "since")
    )
    return f"{user} on {machine}, process {process}, since {since}"


if __name__ == "__main__":
    try:
        _hold(Path(sys.argv[1]), int(sys.argv[2]))
    except OSError as error:
        print(f"cannot be locked: {error.strerror}")
