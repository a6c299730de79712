# SPDX-License-Identifier: MIT
"""`blixard raft export`: what is there already is not taken away by a registry that has not got it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.run import blixard, refused
from tests.unit.documents.samples import attested

from blixard.documents.peers_file import build_peers, format_peers, read_peers
from blixard.documents.record import read_record, write_record


@pytest.fixture
def there(tmp_path: Path) -> tuple[Path, Path]:
    """A record of two members, and its peers file."""
    record, peers = tmp_path / "record", tmp_path / "peers.json"
    record.mkdir()
    entries = {"web1": attested(1), "web2": attested(2)}
    write_record(record, {}, entries)
    peers.write_bytes(format_peers(build_peers(entries.values())))
    return record, peers


def export(monkeypatch: pytest.MonkeyPatch, entries: dict[str, Any], *words: str | Path) -> Any:
    found = [{"name": name, "entry": entry.to_json()} for name, entry in entries.items()]
    answer = {"outcome": "done", "line": None, "entries": found}
    monkeypatch.setattr("blixard.cli.raft_command.ask", lambda *_, **__: dict(answer))
    return blixard("raft", "export", "--data-dir", "/", *words)


def test_an_empty_registry_takes_nobody_out_of_a_record_or_a_peers_file(
    monkeypatch: pytest.MonkeyPatch, there: tuple[Path, Path]
) -> None:
    record, peers = there
    for words, where in ((("--registry-dir", record), record), (("--peers", peers), peers)):
        line = refused(export(monkeypatch, {}, *words), 1)
        assert line.startswith(f"blixard: 2 members of {where} would leave (")
    assert set(read_record(record)) == {"web1", "web2"}
    assert [peer.node_id for peer in read_peers(peers)] == [1, 2]


def test_a_member_that_is_meant_to_go_goes_and_one_with_another_name_stays(
    monkeypatch: pytest.MonkeyPatch, there: tuple[Path, Path]
) -> None:
    record, peers = there
    words = ("--registry-dir", record, "--peers", peers)
    assert export(monkeypatch, {"web1": attested(1), "renamed": attested(2)}, *words).code == 0
    assert set(read_record(record)) == {"web1", "renamed"}
    assert export(monkeypatch, {"web1": attested(1)}, *words).code == 1
    assert export(monkeypatch, {"web1": attested(1)}, *words, "--max-removals", "1").code == 0
    assert (set(read_record(record)), [peer.node_id for peer in read_peers(peers)]) == ({"web1"}, [1])
