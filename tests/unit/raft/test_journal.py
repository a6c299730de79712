# SPDX-License-Identifier: MIT
"""The journal's file: what was synced is there again, whatever stands after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.raft.codec import REGULAR, command
from blixard.raft.journal import Journal


def write(path: Path, entries: int) -> bytes:
    """Make a journal of so many entries; return its bytes."""
    path.unlink(missing_ok=True)
    journal = Journal(path)
    for index in range(1, entries + 1):
        journal.add(command(REGULAR, {"op": "put", "name": "\r\u2028"}), index, 1)
    journal.sync()
    return path.read_bytes()


@given(tail=st.binary(max_size=80).filter(lambda tail: b"\n" not in tail))
def test_whatever_a_write_left_that_never_ended_takes_nothing_away(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    whole = write(path, 3)
    path.write_bytes(whole + tail)
    journal = Journal(path)
    assert len(journal) == 3
    journal.add(command(REGULAR, {"op": "more"}), 4, 2)
    journal.sync()
    assert [entry[1:] for entry in Journal(path)[:]] == [(1, 1), (2, 1), (3, 1), (4, 2)]
    assert path.read_bytes().startswith(whole)


@given(keep=st.integers(0, 400))
def test_a_file_that_was_cut_anywhere_has_the_lines_before_that(
    tmp_path_factory: pytest.TempPathFactory, keep: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    whole = write(path, 3)[:keep]
    path.write_bytes(whole)
    assert len(Journal(path)) == whole.count(b"\n")
