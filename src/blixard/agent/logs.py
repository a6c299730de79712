# SPDX-License-Identifier: MIT
"""What the node logs, as key-value lines (logfmt) or JSON, on standard error."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone

# What every LogRecord has; the rest is what the caller gave with `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    when = datetime.fromtimestamp(record.created, timezone.utc)
    fields: dict[str, object] = {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "msg": record.getMessage(),
    }
    fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        # ASCII alone: no text of a peer can end the line or steer a terminal.
        return json.dumps(_fields(record), default=str)


class LogfmtFormatter(logging.Formatter):
    """`key=value` pairs; a value with a space, a quote, an equals sign or a control character is quoted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " ".join(f"{key}={_quoted(value)}" for key, value in _fields(record).items())


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


MOST_WAITING = 256 * 1024
"""Bytes of lines that wait for room on a full disk; of more, the oldest are lost."""


class PatientHandler(logging.Handler):
    """Writes whole lines; those that cannot be written wait, in their order.

    Attributes:
        problem: why lines wait; None when none does.
    """

    def __init__(self, write: Callable[[bytes], int]) -> None:
        """`write` writes some bytes from the start of what it is given, and returns how many."""
        super().__init__()
        self._write = write
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self.problem: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after those that wait."""
        try:
            self._add(record)
        except Exception:
            self.handleError(record)
            return
        self._try_all()

    def flush(self) -> None:
        """Try to write the lines that wait; called when the process ends."""
        self.write_again()

    def write_again(self) -> None:
        """Try to write the lines that wait."""
        with self.lock or contextlib.nullcontext():
            self._try_all()

    def _add(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        self._waiting.append(line)
        self._size += len(line)
        while self._size > MOST_WAITING and len(self._waiting) > 2:
            # The first may be written in part.
            self._size -= len(self._waiting[1])
            del self._waiting[1]
            self._lost += 1

    def _try_all(self) -> None:
        try:
            self._drain()
            if self._lost:
                lost, self._lost = self._lost, 0
                text = "log lines were lost while they could not be written"
                self._add(logging.makeLogRecord({"msg": text, "levelname": "WARNING", "lines": lost}))
                self._drain()
        except OSError as error:
            self.problem = f"log: cannot be written: {error.strerror or error}"
        else:
            self.problem = None

    def _drain(self) -> None:
        while self._waiting:
            written = self._write(self._waiting[0])
            self._size -= written
            self._waiting[0] = self._waiting[0][written:]
            if not self._waiting[0]:
                self._waiting.popleft()


_STDERR = 2

_output = PatientHandler(lambda data: os.write(_STDERR, data))
"""The one log of this process; lines that wait stay in it when it is set up anew."""


def set_up(level: str, style: str) -> None:
    """Log in `style` ("logfmt" or "json") to standard error: what is ours at `level`, others' warnings always."""
    _output.setFormatter(JsonFormatter() if style == "json" else LogfmtFormatter())
    root = logging.getLogger()
    if _output not in root.handlers:
        logging.basicConfig(handlers=[_output], level=logging.WARNING, force=True)
    logging.getLogger("blixard").setLevel(level.upper())


def output() -> PatientHandler:
    """Return the handler that `set_up` logs to."""
    return _output
