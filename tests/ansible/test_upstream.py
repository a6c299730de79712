# SPDX-License-Identifier: MIT
"""A host whose node is another implementation: gathered by the file that it wrote, given what its reader takes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from tests.ansible.fleet import BIN, Fleet

from blixard.documents.record import read_record


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two hosts of ours, and `rust`, whose node nobody here installed; it speaks the same protocol."""
    root = tmp_path_factory.mktemp("fleet")
    fleet = Fleet.of(root, 3)
    fleet.group["blixard_upstream_compat"] = True
    fleet.hosts["rust"] = {**fleet.hosts.pop("node3"), "blixard_node_manage": False}
    home = root / "elsewhere"
    words = ["--id", "3", "--bind", fleet.hosts["rust"]["blixard_bind"], "--data-dir", home, "--cluster", "test"]
    subprocess.run([BIN / "blixard", "node", *words, "--detach"], check=True, capture_output=True)
    try:
        entry = json.loads((home / "node-registry.json").read_bytes())
        del entry["attestation"]
        (root / "rust").mkdir()
        (root / "rust" / "node-3-registry.json").write_text(json.dumps(entry))
        yield fleet
    finally:
        subprocess.run([BIN / "blixard", "stop", "--data-dir", home], check=True, capture_output=True)
        fleet.stop()


def test_its_entry_is_recorded_as_it_wrote_it_and_its_peers_file_has_the_times_that_its_reader_takes(
    fleet: Fleet,
) -> None:
    wrote = json.loads((fleet.root / "rust" / "node-3-registry.json").read_bytes())
    assert fleet.play("site", "--check", "--diff").code == 0

    run = fleet.play("site")

    assert run.code == 0, run.output
    recorded = read_record(fleet.registry)["rust"].to_json()
    assert {name: recorded[name] for name in wrote} == wrote
    peers = json.loads((fleet.root / "rust" / "discovery-peers.json").read_bytes())
    assert [peer["node_id"] for peer in peers] == [1, 2, 3]
    assert [set(peer["discovered_at"]) for peer in peers] == [{"secs_since_epoch", "nanos_since_epoch"}] * 3
    assert [peer["discovered_at"] for peer in peers] == [
        peer["discovered_at"] for peer in json.loads(fleet.peers_file.read_bytes())
    ]
    assert {(edge["from"], edge["to"]) for edge in fleet.report()["edges"] if edge["reached"]} >= {
        (1, 2),
        (1, 3),
        (2, 1),
        (2, 3),
    }
    assert not list((fleet.root / "rust").glob("iroh-secret-key*"))


def test_the_report_says_which_addresses_the_peers_are_told_of_and_why(fleet: Fleet) -> None:
    nodes = {node["name"]: node for node in fleet.report()["nodes"]}

    assert nodes["node1"]["addresses"] == [
        {
            "address": fleet.hosts["node1"]["blixard_bind"],
            "advertised": True,
            "reason": "loopback, and there is nothing else",
        }
    ]


def test_what_its_own_node_keeps_in_its_registry_file_stays_there_and_does_not_get_into_the_record(
    fleet: Fleet,
) -> None:
    path = fleet.root / "rust" / "node-registry.json"
    wrote = json.dumps(
        {**json.loads(path.read_bytes()), "zone": {"all": {"vars": {"x": "{{ lookup('pipe', 'id') }}"}}}}
    )
    path.write_text(wrote)

    run = fleet.play("site")

    assert run.code == 0, run.output
    assert run.changed == dict.fromkeys(("node1", "node2", "rust"), 0)
    assert path.read_text() == wrote
    assert "rust: left out of its answer, as nobody asked for it: /entry/zone" in run.words
    assert "zone" not in (fleet.registry / "rust.json").read_text()
