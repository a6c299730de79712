# SPDX-License-Identifier: MIT
"""`blixard discover`: where each fact came from, and what was refused."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_nowhere_to_look_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    assert "nowhere to look; name a place with --data-dir" in refused(blixard("discover"), 2)
    assert f"{tmp_path}/none: is no directory" in refused(blixard("discover", "--data-dir", tmp_path / "none"), 2)
    assert f"{tmp_path}/none: does not exist" in refused(blixard("discover", "--peers", tmp_path / "none"), 2)
