# SPDX-License-Identifier: MIT
"""`blixard discover`: where each fact came from, and what was refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.run import blixard, refused
from tests.unit.documents.samples import attested, entry, peer

from blixard.documents.peers_file import write_peers
from blixard.documents.registry_file import write_registry
from blixard.documents.schemas import validate


def test_every_address_is_shown_with_its_source(tmp_path: Path) -> None:
    registry, peers = tmp_path / "one.json", tmp_path / "peers.json"
    write_registry(registry, attested(1, direct_addresses=("192.168.1.1:7001",)))
    write_peers(peers, [peer(2), peer(3)])
    ran = blixard("discover", "--registry", registry, "--peers", peers)
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines()]
    assert [(line[0], line[2], line[3]) for line in lines[1:]] == [
        ("1", "192.168.1.1:7001", str(registry)),
        ("2", "192.168.1.2:7001", str(peers)),
        ("3", "192.168.1.3:7001", str(peers)),
    ]


def test_a_source_that_fails_is_named_on_stderr_and_the_others_are_shown(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_text("{")
    write_registry(good, entry(1))
    ran = blixard("discover", "--registry", bad, "--registry", good)
    line = refused(ran, 1)
    assert line.startswith(f"blixard: source registry:{bad}: {bad}: is not JSON")
    assert ran.out.splitlines()[1].startswith("1 ")


def test_the_json_document_says_everything(tmp_path: Path) -> None:
    write_registry(tmp_path / "one.json", entry(1))
    found = json.loads(blixard("discover", "--registry", tmp_path / "one.json", "--json").out)
    validate("discovery-findings", found)
    assert found.keys() == {"peers", "sources", "dropped"}
    assert [each["node_id"] for each in found["peers"]] == [1]
    assert found["sources"][0]["state"] == "found"


def test_the_files_of_a_data_directory_are_looked_at_where_no_node_runs(tmp_path: Path) -> None:
    write_registry(tmp_path / "node-registry.json", attested(1))
    write_peers(tmp_path / "discovery-peers.json", [peer(2)])
    found = json.loads(blixard("discover", "--data-dir", tmp_path, "--json").out)
    assert [each["node_id"] for each in found["peers"]] == [1, 2]


def test_where_no_node_runs_the_variables_of_a_node_count_unless_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        write_registry(tmp_path / f"{number}.json", attested(number))
    (tmp_path / "data").mkdir()
    write_registry(tmp_path / "data" / "node-registry.json", attested(4))
    write_peers(tmp_path / "peers.json", [peer(5)])
    monkeypatch.setenv("BLIXARD_NODE_REGISTRIES", f"{tmp_path}/1.json,{tmp_path}/2.json")
    monkeypatch.setenv("BLIXARD_JOIN", f"{tmp_path}/3.json")
    monkeypatch.setenv("BLIXARD_PEERS_FILE", f"{tmp_path}/peers.json")

    def nodes(*words: str | Path) -> set[int]:
        found = json.loads(blixard("discover", "--json", *words).out)
        return {each["node_id"] for each in found["peers"]}

    assert nodes() == {1, 2, 3, 5}
    assert nodes("--data-dir", tmp_path / "data") == {1, 2, 3, 4, 5}
    assert nodes("--registry", tmp_path / "3.json") == {3}
    assert nodes("--peers", tmp_path / "peers.json") == {5}


def test_nowhere_to_look_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    assert "nowhere to look; name a place with --data-dir" in refused(blixard("discover"), 2)
    assert f"{tmp_path}/none: is no directory" in refused(blixard("discover", "--data-dir", tmp_path / "none"), 2)
    assert f"{tmp_path}/none: does not exist" in refused(blixard("discover", "--peers", tmp_path / "none"), 2)
