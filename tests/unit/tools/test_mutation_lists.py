# SPDX-License-Identifier: MIT
"""What the mutation tool reads: files and tests that there are, and judged lines that are still so."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def _lines(name: str) -> list[str]:
    return [line for line in (ROOT / "tools" / name).read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("line", _lines("mutation.list"))
def test_a_file_and_its_tests_are_there(line: str) -> None:
    file, _, tests = line.partition(" = ")
    assert tests
    assert [each for each in (file, *tests.split()) if not (ROOT / each).is_file()] == []


def test_a_line_that_was_judged_stands_in_its_file_as_it_did() -> None:
    source: list[str] = []
    gone = []
    for line in _lines("mutation.equivalent"):
        if line.startswith("["):
            file, _, _ = line.strip("[]").partition(" ")
            source = [each.strip() for each in (ROOT / file).read_text().splitlines()]
        elif line.startswith("- ") and line[2:] not in source:
            gone.append(f"{file}: {line[2:]}")
    assert gone == [], "see docs/testing.md, 'Whether the tests notice faults'"
