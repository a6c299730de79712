# SPDX-License-Identifier: MIT
"""Asking the running node over its control socket.

Standard library only and no asyncio: Ansible modules run this on every host, so it must start fast.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from blixard.documents.account import as_owner_of, user_name
from blixard.documents.data_dir_files import SOCKET_NAME as SOCKET_NAME
from blixard.errors import BlixardError, InputError

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""All that is read of a node, progress included."""

_MAX_PROGRESS = 100_000
"""Twice the peers that a node can have: it tells of each one."""


class AgentNotRunning(BlixardError):
    """No node answers on the control socket of this data directory."""


class AgentError(BlixardError):
    """The node answered that it cannot do what was asked."""


def short_socket_path(directory: int) -> str:
    """Return a path of the control socket that fits the 108 bytes which the kernel allows for one.

    `directory` is an open descriptor of the data directory, which may have a name of any length.
    """
    return f"/proc/self/fd/{directory}/{SOCKET_NAME}"


def ask(
    data_dir: Path | str,
    op: str,
    params: dict[str, Any] | None = None,
    *,
    timeout: float = 10.0,
    progress: Callable[[Any], None] | None = None,
) -> Any:
    """Send one request to the node that runs in `data_dir` and return its answer.

    Root asks as the account that owns the directory, and whoever asks is answered by that account or by root alone:
    a socket is a name like any other, and may lead elsewhere.

    Args:
        data_dir: the node's data directory.
        op: `info`, `status`, `check`, `discover`, `refresh`, `reload`, `stop`, or one of `raft.operations`.
        params: what the operation takes.
        timeout: seconds to wait for the whole answer; with `progress`, for each line.
        progress: called with what the node says before it answers; without, it says nothing before.

    Raises:
        AgentNotRunning: nobody listens there.
        AgentError: the node answered with an error, not in time, or more than an answer can be; or it is none.
        InputError: this user may not ask it.
    """
    request = {**(params or {}), "op": op, "progress": progress is not None}
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout)
        with as_owner_of(data_dir):
            _connect(link, data_dir)
        for answer in _exchange(link, request, data_dir, timeout):
            if "progress" not in answer:
                return _result(answer, data_dir)
            if progress is not None:
                progress(answer["progress"])
    raise AgentNotRunning(f"the node in {data_dir} went away before it had answered")


def _denied(data_dir: Path | str) -> InputError:
    mend = "ask as the node's user or as root"
    return InputError("is not for this user", file=str(data_dir), mend=mend)


def _connect(link: socket.socket, data_dir: Path | str) -> None:
    try:
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            link.connect(short_socket_path(directory))
            owner = os.fstat(directory).st_uid
        finally:
            os.close(directory)
    except PermissionError:
        raise _denied(data_dir) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AgentNotRunning(f"no node runs in {data_dir}: {reason}") from None
    _, user, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if user not in (owner, os.geteuid(), 0):
        whose = f"{user_name(user)}'s, and the directory is {user_name(owner)}'s"
        raise AgentError(f"what listens in {data_dir} is {whose}")


def _exchange(
    link: socket.socket, request: dict[str, Any], data_dir: Path | str, timeout: float
) -> Iterator[dict[str, Any]]:
    """Yield what the node says, line by line, until it ends the talk."""
    try:
        link.sendall(json.dumps(request).encode() + b"\n")
        for number, line in enumerate(_lines(link, data_dir, timeout, anew=bool(request["progress"]))):
            if number > _MAX_PROGRESS:
                raise _too_much(data_dir)
            yield _parsed(line, data_dir)
    except TimeoutError:
        raise AgentError(f"the node in {data_dir} did not answer in {timeout:g} s") from None
    except OSError as error:
        raise AgentNotRunning(f"the node in {data_dir} went away: {error.strerror}") from None


def _lines(link: socket.socket, data_dir: Path | str, timeout: float, *, anew: bool) -> Iterator[bytes]:
    """Yield whole lines. All of it has `timeout` seconds, and so has each line where the time is to start `anew`."""
    until = time.monotonic() + timeout
    parts: list[bytes] = []
    size = 0
    while (left := until - time.monotonic()) > 0:
        link.settimeout(left)
        block = link.recv(1 << 16)
        if not block:
            return
        size += len(block)
        if size > _MAX_ANSWER_BYTES:
            raise _too_much(data_dir)
        *ends, rest = block.split(b"\n")
        for end in ends:
            yield b"".join([*parts, end])
            parts.clear()
            until = time.monotonic() + timeout if anew else until
        parts.append(rest)
    raise TimeoutError


def _too_much(data_dir: Path | str) -> AgentError:
    return AgentError(f"what listens in {data_dir} says more than a node's answer can be")


def _parsed(line: bytes, data_dir: Path | str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & {"result", "error", "progress"}:
        raise AgentError(f"what listens in {data_dir} is no node: its answer cannot be read")
    return answer


def _result(answer: dict[str, Any], data_dir: Path | str) -> Any:
    if "error" in answer:
        raise AgentError(f"the node in {data_dir} says: {answer['error']}")
    return answer["result"]
