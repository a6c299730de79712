# SPDX-License-Identifier: MIT
"""The playbooks hold the record against what was signed off: an edit stops a run by the name of its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.ansible.fleet import Fleet
from tests.unit.documents.samples import entry, key

from blixard.documents.peers_file import read_peers
from blixard.documents.registry_file import write_registry
from blixard.model.times import EPOCH
from blixard.trust.attestation import attest


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet whose record a fleet key has signed off; no host of it is ever reached here."""
    root = tmp_path_factory.mktemp("fleet")
    fleet = Fleet.of(root, 3)
    fleet.sign_with(root / "fleet-key")
    for number in (1, 2, 3):
        _record(fleet, f"node{number}", number, number)
    first = fleet.play("peers")
    assert first.code == 0, first.output
    return fleet


def _record(fleet: Fleet, name: str, node_id: int, secret: int) -> None:
    says = entry(node_id, iroh_node_id=key(secret).public().base64)
    fleet.registry.mkdir(parents=True, exist_ok=True)
    write_registry(fleet.registry / f"{name}.json", attest(says, key(secret), cluster="test", now=EPOCH))


def _files(fleet: Fleet) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in fleet.root.rglob("*") if path.is_file() and path.name != "hosts.yml"}


def test_a_run_with_the_key_signs_the_record_off_once(fleet: Fleet) -> None:
    manifest = json.loads((fleet.registry / "MANIFEST").read_bytes())
    assert [member["name"] for member in manifest["members"]] == ["node1", "node2", "node3"]
    before = _files(fleet)

    again = fleet.play("peers", "--check", "--diff")
    assert (again.code, fleet.play("peers").code) == (0, 0), again.output
    assert _files(fleet) == before


def test_another_node_under_a_known_name_is_signed_by_nobody(fleet: Fleet) -> None:
    good = _files(fleet)
    _record(fleet, "node2", 2, 66)
    edited = _files(fleet)

    for arguments in (["--check", "--diff"], [], ["-e", "blixard_fleet_key_file="]):
        run = fleet.play("peers", *arguments)
        assert run.code != 0
        assert "node2.json in the record: has the Iroh id" in run.words
        assert _files(fleet) == edited

    for path, data in good.items():
        path.write_bytes(data)
    assert fleet.play("peers", "--check").code == 0


def test_a_member_that_is_taken_out_by_hand_counts_as_a_removal(fleet: Fleet) -> None:
    path = fleet.registry / "node3.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "state": "absent"}))

    run = fleet.play("peers")
    assert run.code != 0
    assert "1 member of" in run.words
    assert "node3 (node 3)" in run.words
    assert len(read_peers(fleet.peers_file)) == 3

    meant = fleet.play("peers", "-e", "blixard_max_removals=1")
    assert meant.code == 0, meant.output
    assert len(read_peers(fleet.peers_file)) == 2
    path.unlink()
    raised = fleet.play("peers")
    assert "the record no longer says that node3 (" in raised.words
