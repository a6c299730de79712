# SPDX-License-Identifier: MIT
"""What is printed: it stays on its line, whoever wrote the text, and progress is for terminals alone."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.cli.output import print_json, print_line, print_table, progress, seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_and_nothing_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NODE", "STATE"), [(1, "connected"), (12345, None)])
    assert capsys.readouterr().out == "NODE   STATE\n1      connected\n12345  -\n"


@given(st.lists(st.tuples(st.text(), st.text()), max_size=3))
def test_no_text_can_leave_its_line(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        print_table(("A", "B"), rows)
        print_line("".join(map("".join, rows)))
        print_json(rows)
    table = out.getvalue().split("\n")
    assert all(line.isprintable() for line in table)
    assert json.loads("\n".join(table[len(rows) + 2 :])) == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (0.0, "0.0 s"),
        (119.94, "119.9 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 days"),
        (40 * 86400, "40 days"),
    ],
)
def test_a_duration_reads_as_people_say_it(value: float | None, text: str | None) -> None:
    assert seconds(value) == text


def test_progress_is_shown_on_a_terminal_and_wiped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def work() -> None:
        with progress("peers checked") as show:
            show({"done": 3, "of": 9})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert terminal.getvalue() == "\r\x1b[Kpeers checked: 3 of 9\r\x1b[K"


def test_no_progress_is_written_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with progress("peers checked") as show:
        show({"done": 3, "of": 9})
    assert file.getvalue() == ""
