# SPDX-License-Identifier: MIT
"""What differs between two peers files, for `--diff`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.documents.samples import entry

from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.record import write_record
from blixard.fleet.peers_shown import peers_shown


def peers(*numbers: int) -> bytes:
    return format_peers(build_peers([entry(number) for number in numbers]))


def test_peers_that_come_and_go_are_named_as_their_hosts(tmp_path: Path) -> None:
    write_record(tmp_path, {}, {"web": entry(1), "db": entry(2)})
    shown = peers_shown(peers(1, 3).decode(), peers(1, 2), tmp_path)
    assert shown is not None
    counts, *lines = shown.splitlines()
    assert counts == "+1 −1 ~0 peers"
    assert [line.rsplit(" ", 1)[0] for line in lines] == ["+ db (node 2)", "− node 3"]


def test_a_host_without_a_file_gets_all_peers_and_one_without_a_record_gets_their_numbers(tmp_path: Path) -> None:
    for record in (None, tmp_path / "missing"):
        shown = peers_shown(None, peers(1), record)
        assert shown is not None
        assert shown.splitlines()[1].startswith("+ node 1 ")


def test_what_is_no_peers_file_or_has_the_same_peers_is_left_to_the_lines_of_the_file() -> None:
    assert peers_shown("{", peers(1)) is None
    assert peers_shown("[]", b"{}") is None
    assert peers_shown(peers(1).decode() + "\n", peers(1)) is None
