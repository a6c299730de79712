# SPDX-License-Identifier: MIT
"""The node as a background process where no service manager runs it: lock and pid file, start, stop."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from blixard.agent.data_dir import make_data_dir
from blixard.documents.account import as_owner_of
from blixard.documents.data_dir_files import LOG_FILE_NAME as LOG_FILE_NAME
from blixard.documents.data_dir_files import PID_FILE_NAME as PID_FILE_NAME
from blixard.documents.files import open_own
from blixard.errors import BlixardError, InputError

READY_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0


class NodeFailed(BlixardError):
    """A node that was started in the background ended at once; `exit_code` is its own."""

    def __init__(self, reason: str, exit_code: int = 1) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class PidFile:
    """The open pid file of a node.

    Attributes:
        problem: why this process's id is not in it; None when it is.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self.problem: str | None = None

    def write_again(self) -> None:
        """Write this process's id. A full disk is no reason not to run."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.problem = str(_unwritable(self._path, error))
        else:
            self.problem = None


@contextmanager
def only_node_here(data_dir: Path) -> Iterator[PidFile]:
    """Hold the lock of `data_dir` and keep this process's id in its pid file.

    The lock is what counts: the kernel frees it however the process ends, so a stale pid file never
    keeps a node from starting, and one that cannot be written does not either.

    Raises:
        InputError: another node runs there, or the directory cannot be written.
    """
    path = data_dir / PID_FILE_NAME
    descriptor = _open_to_write(path, os.O_RDWR)
    try:
        if not _lock(descriptor):
            mend = f"stop it first: blixard stop --data-dir {data_dir}"
            raise InputError("another node runs here", file=str(data_dir), mend=mend)
        pid_file = PidFile(descriptor, path)
        pid_file.write_again()
        yield pid_file
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _open_to_write(path: Path, flags: int) -> int:
    try:
        return open_own(path, flags | os.O_CREAT)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    mend = "make room there" if is_full else "give the node a data directory that it may write"
    return InputError(f"cannot be written: {error.strerror}", file=str(path), mend=mend)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES
        return False
    return True


def running_pid(data_dir: Path) -> int | None:
    """Return the process id of the node that runs in `data_dir`, or None.

    The kernel is asked who holds the lock (fcntl(2), F_GETLK): no lock is taken for it, so that asking
    never stands in the way of a node that starts at this moment.

    Raises:
        InputError: this user may not look, or the pid file is a link or somebody else's.
    """
    try:
        descriptor = open_own(data_dir / PID_FILE_NAME)
    except PermissionError:
        mend = "ask as the node's user or as root"
        raise InputError("is not for this user", file=str(data_dir), mend=mend) from None
    except OSError:
        return None
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    """Return the id of the process that holds the lock of an open pid file."""
    layout = "hhqqi"  # struct flock: type, whence, start, length, process id
    asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)[: len(asked)])
    # 0 is a holder that this process cannot see, such as one in another container.
    return None if kind == fcntl.F_UNLCK or pid <= 0 else int(pid)


def start_detached(arguments: Sequence[str], data_dir: Path) -> int:
    """Start `blixard ARGUMENTS` (a `node` command) in a session of its own and return its process id once it is ready.

    The node tells that it is ready as it would tell systemd, by sd_notify(3). Its log goes to
    `agent.log` in `data_dir`.

    Raises:
        InputError: the data directory cannot be made or written.
        NodeFailed: the node ended or was not ready in time, with the last line that it logged.
    """
    make_data_dir(data_dir)
    log_path = data_dir / LOG_FILE_NAME
    with (
        tempfile.TemporaryDirectory(prefix="blixard-") as room,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ready,
    ):
        address = str(Path(room) / "notify")
        ready.bind(address)
        log = _open_to_write(log_path, os.O_RDWR | os.O_APPEND)
        try:
            start = os.fstat(log).st_size
            process = subprocess.Popen(  # noqa: S603  (our own program and arguments)
                [sys.executable, "-m", "blixard", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Without the second, `-m` would also import what lies in the working directory.
                env={**os.environ, "NOTIFY_SOCKET": address, "PYTHONSAFEPATH": "1"},
            )
            _wait_until_ready(process, ready, lambda: _last_line(log_path, log, start))
        finally:
            os.close(log)
        return process.pid


def _wait_until_ready(process: subprocess.Popen[bytes], ready: socket.socket, last_line: Callable[[], str]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    gone = os.pidfd_open(process.pid)
    try:
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([ready.fileno(), gone], [], [], left)
            if ready.fileno() in readable and b"READY=1" in ready.recv(4096):
                return
            if gone in readable:
                code = process.wait()
                raise NodeFailed(f"the node did not start: {last_line()}", max(code, 1))
    finally:
        os.close(gone)
    _end(process)
    raise NodeFailed(f"the node was not ready after {READY_TIMEOUT:.0f} s: {last_line()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path, descriptor: int, start: int) -> str:
    lines = os.pread(descriptor, 1 << 20, start).decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("blixard: ") if lines else f"it logged nothing in {log}"


def stop(data_dir: Path) -> bool:
    """End the node that runs in `data_dir` with SIGTERM and wait until it is gone; False if none ran.

    Root does it as the account that owns the directory, and to a process of that account alone.

    Raises:
        BlixardError: it is still there after `STOP_TIMEOUT` seconds.
        InputError: this user may not, or who holds the pid file is no node of this user.
    """
    with as_owner_of(data_dir):
        pid = running_pid(data_dir)
        if pid is None:
            return False
        try:
            gone = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return _terminate(gone, pid, data_dir)
        finally:
            os.close(gone)


def _terminate(gone: int, pid: int, data_dir: Path) -> bool:
    try:
        _check_owner(pid, data_dir)
        if running_pid(data_dir) != pid:
            return True  # it ended by itself in between, and its id may be another's by now
        signal.pidfd_send_signal(gone, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return True
    except PermissionError:
        raise _not_ours(data_dir, pid) from None
    if not select.select([gone], [], [], STOP_TIMEOUT)[0]:
        raise BlixardError(f"node process {pid} did not end in {STOP_TIMEOUT:.0f} s; look at it, or kill -9 it")
    return True


def _check_owner(pid: int, data_dir: Path) -> None:
    """Refuse a process of another user: root that works as an account may still signal its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("Uid:"))
    if set(line.split()[1:]) != {str(os.geteuid())}:
        raise _not_ours(data_dir, pid)


def _not_ours(data_dir: Path, pid: int) -> InputError:
    mend = f"stop it as that user, or look at it and end it by hand: kill {pid}"
    return InputError("its node runs as another user", file=str(data_dir), mend=mend)


def notify(message: str) -> None:
    """Send `message` (such as `READY=1`) to the service manager, if there is one.

    Source: sd_notify(3). A manager that went away is no reason for the node to fail.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as link:
        link.connect(address)
        link.sendall(message.encode())


def reloading() -> str:
    """Return the message that a reload begins; `READY=1` ends it. Source: systemd.service(5), notify-reload."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watchdog_interval() -> float | None:
    """Return how often (seconds) to send `WATCHDOG=1`: half of what the manager asks, or None."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or owner != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000 or None
