# SPDX-License-Identifier: MIT
"""One run at a time on one record: a lock that lasts exactly as long as the run's process.

Each task of a run is a process of its own, and a run may end at any of them, by a failure, by an interrupt or by power.
So a small process of its own holds the lock (flock(2), which the kernel gives back) and waits for the run to end. What
stands in the file is for people; a file that a lost machine left behind locks nobody out.

Where several controllers share the record in etcd, the same process also holds the lock that is there, and renews it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.lock_holder import holder, in_words
from blixard.errors import BlixardError, InputError

if TYPE_CHECKING:
    from blixard.publishing.etcd_locks import RunLock
    from blixard.sources.etcd_client import Etcd

MAX_BYTES = 4096
"""More of the file than this is nothing of ours."""

_HELD = "held"
_WAITING = "waits: "


def take(path: Path, run: int, *, place: str = "", wait: float = 0, say: Callable[[str], object] | None = None) -> str:
    """Have the run whose process is `run` hold the lock at `path` until it ends; once more is no trouble.

    Args:
        path: the lock's file; made where it is missing, with the folders above it, and removed at the end.
        run: process id of the run on this machine.
        place: `etcd://HOST:PORT/PREFIX`, to be locked besides; empty for none. Once more makes sure that it still is.
        wait: seconds to wait for another run that has locked the place.
        say: is told, in one line, for whom this waits.

    Returns:
        what the run's publications are told of the lock at the place, see `held_of`; empty without a place.

    Raises:
        InputError: another run holds one of them, or it cannot be made; or the lock at the place was lost.
    """
    process = subprocess.Popen(  # noqa: S603  (our own program and arguments)
        [sys.executable, "-m", "blixard.fleet.run_lock", str(path), str(run), place, str(wait)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # An interrupt of the run is not one of the lock, which ends after it.
        start_new_session=True,
        # Without this, `-m` would also import what lies in the working directory.
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    assert process.stdout is not None  # noqa: S101  (for the type checker: it is a pipe)
    with process.stdout as lines:
        while (said := lines.readline(MAX_BYTES).decode(errors="replace").strip()).startswith(_WAITING):
            if say is not None:
                say(said)
    word, _, held = said.partition(" ")
    if word != _HELD:
        process.wait()
        if place and said.startswith(f"{place}:"):
            raise InputError(said)
        mend = "wait until it ends; runs on fleets with records of their own do not wait for each other"
        raise InputError(
            said or "cannot be locked", file=str(path), mend=mend if said.startswith("another run") else ""
        )
    # It is nobody's child to wait for: the task that started it ends before it does.
    process.returncode = 0
    return held


def _hold(path: Path, run: int, place: str, wait: float) -> None:
    """Be the process that holds the lock: say so, or who does; then wait for the run to end."""
    if not hasattr(os, "pidfd_open"):
        print("cannot be locked: this controller cannot tell when a run ends, which takes Linux 5.3 or newer")
        return
    ended = functools.partial(_ends_within, os.pidfd_open(run))
    is_new_folder = not path.parent.exists()
    lock = _open_locked(path)
    if isinstance(lock, dict):
        is_ours = _is_here(lock) and lock.get("process") == run
        print(_still_held(lock, place) if is_ours else f"another run is at work on this record: {in_words(lock)}")
        return
    shared = None
    try:
        who = {**holder(run, datetime.now(timezone.utc)), **_here()}
        _write(lock, who)
        shared, held = _take_shared(place, who, wait, ended) if place else (None, "")
        _write(lock, {**who, "held": held} if held else who)
        print(f"{_HELD} {held}", flush=True)
        # Whoever started this reads to the end of the line; nobody reads more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if shared is not None:
            shared.keep(ended)  # when it is lost, the run's next publication is refused, and its next batch
        ended(None)
    finally:
        if shared is not None:
            shared.release()
        with contextlib.suppress(OSError):
            path.unlink()
            if is_new_folder:
                path.parent.rmdir()  # which the run has put nothing into
        os.close(lock)


def _ends_within(process: int, seconds: float | None) -> bool:
    """Tell whether a process ends within so many seconds; None for however long it takes."""
    return bool(select.select([process], [], [], seconds)[0])


def _take_shared(
    place: str, who: dict[str, object], wait: float, ended: Callable[[float], bool]
) -> tuple[RunLock | None, str]:
    """Take the lock at a place in etcd; return it with what is told of it, or None where the run began under it."""
    # Imported here: a run on a record of its own needs none of it.
    from blixard.publishing.base import RUN_LOCK
    from blixard.publishing.etcd_locks import RunLock

    outer = os.environ.get(RUN_LOCK, "")
    client = _client(place)
    if _checked(client, outer):
        return None, outer
    lock = RunLock(client, who)
    lock.wait_for(wait, ended, lambda said: print(f"{_WAITING}{said}", flush=True))
    return lock, lock.held


def _still_held(said: dict[str, Any], place: str) -> str:
    """Return that the run has what it asks for once more, as this process says it."""
    if not place:
        return _HELD
    held = str(said.get("held", ""))
    client = _client(place)
    return f"{_HELD} {held}" if _checked(client, held) else f"{client.place}: was not locked when this run began"


def _client(place: str) -> Etcd:
    from blixard.agent.node_config import etcd_of_environment
    from blixard.sources.etcd_client import Etcd, EtcdPlace

    return Etcd(EtcdPlace.parse(place), etcd_of_environment(os.environ))


def _checked(client: Etcd, held: str) -> bool:
    """Tell whether `held` is of this place; then make sure that it is held."""
    from blixard.publishing.base import held_of
    from blixard.publishing.etcd_locks import RunFence

    lease = held_of(held).get(str(client.place))
    if lease is not None:
        RunFence(client, lease).check()
    return lease is not None


def _open_locked(path: Path) -> int | dict[str, Any]:
    """Return the descriptor of the locked file, or who has locked it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _written(os.pread(file, MAX_BYTES, 0).decode(errors="replace"))
            if not _has_ended(other):
                os.close(file)
                return other
            fcntl.flock(file, fcntl.LOCK_EX)  # it lets go at this moment
        # The one before may have removed the file between these two steps; then it is no longer the one of this name.
        if os.fstat(file).st_nlink:
            return file
        os.close(file)


def _write(lock: int, who: dict[str, object]) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(who).encode() + b"\n", 0)


def _written(text: str) -> dict[str, Any]:
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
    return {"machine": os.uname().nodename, "namespace": namespace}


def _is_here(said: dict[str, Any]) -> bool:
    return all(said.get(key) == value for key, value in _here().items())


def _has_ended(said: dict[str, Any]) -> bool:
    """Tell whether a run of this machine is over."""
    run = said.get("process")
    return _is_here(said) and isinstance(run, int) and not _is_there(run)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


if __name__ == "__main__":
    try:
        _hold(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
    except OSError as error:
        print(f"cannot be locked: {error.strerror}")
    except BlixardError as error:
        print(error)
