# SPDX-License-Identifier: MIT
"""How the commands print: lines and tables for people, one JSON document for programs, progress on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from blixard.errors import one_line

_CLEAR_LINE = "\r\x1b[K"


def print_json(document: object) -> None:
    """Print one JSON document; in ASCII, since texts in it may come from peers."""
    print(json.dumps(document, indent=2))


def print_line(text: str) -> None:
    """Print one line, whatever is in `text`."""
    print(one_line(text, limit=4096))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings in aligned columns; None shows as a dash."""
    texts = [list(headings), *(["-" if cell is None else one_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in texts) for column in range(len(headings))]
    for line in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def seconds(value: float | None) -> str | None:
    """Return a duration as people read it."""
    if value is None:
        return None
    if value < 120:
        return f"{value:.1f} s"
    for unit, length, most in (("min", 60, 7200), ("h", 3600, 172_800)):
        if value < most:
            return f"{value / length:.0f} {unit}"
    return f"{value / 86400:.0f} days"


@contextmanager
def progress(what: str) -> Iterator[Callable[[Any], None]]:
    """Give a function that shows `{"done", "of"}` on standard error while work goes on; only on a terminal."""

    def show(step: Any) -> None:
        sys.stderr.write(f"{_CLEAR_LINE}{what}: {step['done']} of {step['of']}")
        sys.stderr.flush()

    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        yield show
    finally:
        sys.stderr.write(_CLEAR_LINE)
        sys.stderr.flush()
