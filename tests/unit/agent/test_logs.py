# SPDX-License-Identifier: MIT
"""Log lines: they parse back, stay one line, and never show a key."""

from __future__ import annotations

import errno
import json
import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.agent.logs import MOST_WAITING, JsonFormatter, LogfmtFormatter, PatientHandler
from blixard.trust.keys import SecretKey

names = st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True).filter(
    lambda name: (
        name not in vars(logging.makeLogRecord({})) and name not in ("message", "asctime", "time", "level", "taskName")
    )
)
fields = st.dictionaries(names, st.text() | st.integers() | st.booleans(), max_size=4)


def record(message: str, **extra: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 1_700_000_000.5, **extra})


def logfmt(line: str) -> dict[str, str]:
    """Read a line of key=value pairs, values in JSON's quotes where they must be."""
    pairs = re.findall(r'([^\s=]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?: |$)', line)
    assert " ".join(f"{key}={value}" for key, value in pairs) == line
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}


@given(st.text(), fields)
def test_logfmt_lines_parse_back(message: str, extra: dict[str, Any]) -> None:
    line = LogfmtFormatter().format(record(message, **extra))
    assert line.isprintable()
    wanted = {"time": "2023-11-14T22:13:20.500Z", "level": "info", "msg": message}
    assert logfmt(line) == wanted | {name: str(value) for name, value in extra.items()}


@given(st.text(), fields)
def test_json_lines_parse_back(message: str, extra: dict[str, Any]) -> None:
    line = JsonFormatter().format(record(message, **extra))
    assert line.isprintable()
    assert line.isascii()
    assert json.loads(line) == {"time": "2023-11-14T22:13:20.500Z", "level": "info", "msg": message} | extra


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\x9bb", "a\u2028b", "\u202egnp.exe", "\ud800", "a\x7fb"])
@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()], ids=["logfmt", "json"])
def test_no_text_can_end_the_line_or_steer_the_terminal(formatter: logging.Formatter, text: str) -> None:
    assert formatter.format(record(text, peer=text)).isprintable()


def test_plain_words_are_not_quoted_and_names_stay_readable() -> None:
    line = LogfmtFormatter().format(record("connected", node=2, place="Zürich", reason="no answer", empty=""))
    assert (
        line == 'time=2023-11-14T22:13:20.500Z level=info msg=connected node=2 place=Zürich reason="no answer" empty=""'
    )


@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()], ids=["logfmt", "json"])
def test_a_traceback_stays_on_the_line(formatter: logging.Formatter) -> None:
    try:
        raise RuntimeError("what broke")
    except RuntimeError:
        line = formatter.format(record("control request failed", exc_info=sys.exc_info()))
    assert line.isprintable()
    assert "what broke" in line


@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()], ids=["logfmt", "json"])
def test_a_secret_key_is_never_shown(formatter: logging.Formatter) -> None:
    key = SecretKey.generate()
    line = formatter.format(record(f"made {key}", key=key, keys=[key], known={"key": key}))
    assert "hidden" in line
    assert key.to_bytes().hex() not in line


LOGGER = """
import logging, sys
from blixard.agent.logs import set_up
set_up("info", "logfmt")
set_up("info", sys.argv[1])
logging.getLogger("blixard.node").info("ours", extra={"node": 1})
logging.getLogger("blixard.node").debug("too fine")
logging.getLogger("asyncio").warning("theirs")
logging.getLogger("asyncio").info("of no interest")
"""


@pytest.mark.parametrize(("style", "first"), [("logfmt", "time="), ("json", "{")])
def test_the_last_setting_holds_for_all_loggers_and_says_everything_once(style: str, first: str) -> None:
    process = subprocess.run([sys.executable, "-c", LOGGER, style], capture_output=True, text=True, check=True)
    lines = process.stderr.splitlines()
    assert process.stdout == ""
    assert [word for line in lines for word in ("ours", "theirs") if word in line] == ["ours", "theirs"]
    assert len(lines) == 2
    assert all(line.startswith(first) for line in lines)


class Disk:
    """Takes as many bytes as it has room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, data: bytes) -> int:
        taken = data[: self.room - len(self.data)]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.data += taken
        return len(taken)

    @property
    def lines(self) -> list[str]:
        return [logfmt(line)["msg"] for line in self.data.decode().splitlines()]


def handler_on(disk: Disk) -> PatientHandler:
    handler = PatientHandler(disk.write)
    handler.setFormatter(LogfmtFormatter())
    return handler


def test_lines_that_find_no_room_wait_and_come_whole_and_in_order() -> None:
    disk = Disk(room=100)
    handler = handler_on(disk)
    for number in range(5):
        handler.emit(record(f"line-{number}"))
    assert str(handler.problem) == "log: cannot be written: No space left on device"
    assert len(disk.data) == 100, "the second line is there in part"
    disk.room = 10_000
    handler.write_again()
    assert not handler.problem
    assert disk.lines == [f"line-{number}" for number in range(5)]


def test_of_too_many_lines_that_wait_the_oldest_are_lost_and_counted() -> None:
    disk = Disk(room=10)
    handler = handler_on(disk)
    for number in range(20):
        handler.emit(record(f"{number:04}" + "x" * (MOST_WAITING // 10)))
    disk.room = 10 * MOST_WAITING
    handler.emit(record("last"))
    numbers = [int(line[:4]) for line in disk.lines[:-2]]
    assert (numbers[0], numbers[-1], numbers[1:]) == (0, 19, list(range(numbers[1], 20)))
    assert sum(map(len, disk.lines)) <= MOST_WAITING
    lost = logfmt(disk.data.decode().splitlines()[-1])
    assert disk.lines[-2:] == ["last", "log lines were lost while they could not be written"]
    assert int(lost["lines"]) + len(numbers) == 20
