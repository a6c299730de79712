# SPDX-License-Identifier: MIT
"""Asking the running node over its control socket.

Standard library only and no asyncio: Ansible modules run this on every host, so it must start fast.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from blixard.errors import BlixardError, InputError

SOCKET_NAME = "agent.sock"
MAX_ANSWER_BYTES = 64 * 1024 * 1024


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

    Args:
        data_dir: the node's data directory.
        op: `info`, `status`, `check`, `discover`, `refresh`, `reload` or `stop`.
        params: what the operation takes.
        timeout: seconds to wait for the next line; each progress line starts them anew.
        progress: called with what the node says before it answers; without, it says nothing before.

    Raises:
        AgentNotRunning: nobody listens there.
        AgentError: the node answered with an error, or not in time.
        InputError: this user may not ask it.
    """
    try:
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        raise _denied(data_dir) from None
    except OSError as error:
        raise AgentNotRunning(f"no node runs in {data_dir}: {error.strerror}") from None
    request = {**(params or {}), "op": op, "progress": progress is not None}
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
            link.settimeout(timeout)
            _connect(link, directory, data_dir)
            for answer in _exchange(link, request, data_dir):
                if "progress" not in answer:
                    return _result(answer, data_dir)
                if progress is not None:
                    progress(answer["progress"])
    finally:
        os.close(directory)
    raise AgentNotRunning(f"the node in {data_dir} went away before it had answered")


def _denied(data_dir: Path | str) -> InputError:
    mend = "ask as the node's user or as root"
    return InputError("is not for this user", file=str(data_dir), mend=mend)


def _connect(link: socket.socket, directory: int, data_dir: Path | str) -> None:
    try:
        link.connect(short_socket_path(directory))
    except PermissionError:
        raise _denied(data_dir) from None
    except OSError as error:
        raise AgentNotRunning(f"no node runs in {data_dir}: {error.strerror}") from None


def _exchange(link: socket.socket, request: dict[str, Any], data_dir: Path | str) -> Iterator[dict[str, Any]]:
    """Yield what the node says, line by line, until it ends the talk."""
    try:
        link.sendall(json.dumps(request).encode() + b"\n")
        with link.makefile("rb") as stream:
            while (line := stream.readline(MAX_ANSWER_BYTES)).endswith(b"\n"):
                yield _parsed(line, data_dir)
    except TimeoutError:
        raise AgentError(f"the node in {data_dir} did not answer in {link.gettimeout():g} s") from None
    except OSError as error:
        raise AgentNotRunning(f"the node in {data_dir} went away: {error.strerror}") from None


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
