# SPDX-License-Identifier: MIT
"""What hosts said of themselves is kept on the controller, and Ansible never takes it for inventory."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.ansible.fleet import PROJECT, Fleet
from tests.unit.documents.samples import NOW, entry, key

from blixard.documents.peers_file import read_peers
from blixard.trust.attestation import attest

STRICT = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
PLAYBOOKS = sorted(path.stem for path in (PROJECT / "playbooks").glob("*.yml"))


def _entry(number: int) -> dict[str, Any]:
    return attest(entry(number), key(number), cluster="test", now=NOW).to_json()


def _hostile(canary: Path) -> dict[str, Any]:
    """Return what would be an inventory that runs a command, were it read as one."""
    pipe = f"{{{{ lookup('pipe', 'touch {canary}') }}}}"
    return {"all": {"vars": {"blixard_cluster": pipe, "blixard_max_removals": pipe}, "hosts": {"planted": {}}}}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Give a fleet of two, for runs on the controller alone, whose inventory is a folder of its own."""
    folder = tmp_path / "prod"
    folder.mkdir()
    fleet = Fleet.of(folder, 2)
    del fleet.group["blixard_report_file"]
    return fleet


def _record(folder: Path, more: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"node{number}.json").write_text(json.dumps({**_entry(number), **more}))


def test_nothing_in_the_hidden_folder_is_read_as_inventory_or_variables(fleet: Fleet, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = _hostile(canary)
    kept = fleet.registry.parent
    _record(fleet.registry, hostile)
    for name in ("hosts.yml", "deep/er/hosts.json", "group_vars/all.json", "host_vars/node1.json", "hosts.json"):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text(json.dumps(hostile["all"]["vars"] if "vars" in name else hostile))

    first = fleet.play("peers", environment=STRICT, sources=[fleet.root])

    assert first.code == 0, first.output
    assert "node1.json in the record: dropped what the record does not keep: all" in first.words
    assert [peer.node_id for peer in read_peers(fleet.peers_file)] == [1, 2]
    assert all("all" not in json.loads(path.read_bytes()) for path in fleet.registry.iterdir())

    second = fleet.play("peers", "--check", "--diff", environment=STRICT, sources=[fleet.root])

    assert second.code == 0, second.output
    assert "WARNING" not in first.output.replace("[WARNING]: node", "") + second.output
    assert "planted" not in first.output + second.output
    assert not canary.exists()


def test_what_an_older_release_left_in_the_inventory_stops_the_run_until_the_command_that_is_told_moves_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    assert fleet.play("peers").code == 0
    _record(fleet.root / "registry", {})
    fleet.registry.parent.joinpath("discovery-peers.json").rename(fleet.root / "discovery-peers.json")
    (fleet.root / "registry" / "node1.json").write_text(json.dumps({**_entry(1), **_hostile(canary)}))
    before = fleet.files()

    for playbook in PLAYBOOKS:
        arguments = ("-e", "blixard_decommission=node1") if playbook == "decommission" else ()
        run = fleet.play(playbook, *arguments, sources=[fleet.root])
        assert run.code != 0
        assert "holds the fleet's registry and discovery-peers.json of an older release" in run.words, run.output
        assert fleet.files() == before
    assert not canary.exists()

    start = run.words.index("(cd ")
    subprocess.run(
        ["sh", "-euc", run.words[start : run.words.index(".blixard/)", start) + len(".blixard/)")]], check=True
    )
    moved = fleet.play("peers", environment=STRICT, sources=[fleet.root])
    assert moved.code == 0, moved.output
    assert [peer.node_id for peer in read_peers(fleet.peers_file)] == [1, 2]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_an_inventory_without_a_place_is_refused_before_a_host_is_touched(fleet: Fleet, playbook: str) -> None:
    told = ("-e", "blixard_hosts=all", "-e", "blixard_decommission=node1", "-e", "ansible_connection=local")

    run = fleet.play(playbook, *told, sources=["node1,"])

    assert run.code != 0
    assert "set blixard_fleet_dir, as in -e blixard_fleet_dir=PATH" in run.words
    assert "changed=0 unreachable=0 failed=1 skipped=0" in run.words
    assert fleet.files() == {}


def test_a_place_in_the_inventory_folder_that_is_not_hidden_is_refused_and_one_that_is_set_elsewhere_is_taken(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.group["blixard_record_dir"] = f"{fleet.root}/registry"
    _record(fleet.root / "registry", {})
    before = fleet.files()

    refused = fleet.play("peers", sources=[fleet.root])
    assert refused.code != 0
    assert f"blixard_record_dir: {fleet.root}/registry is where Ansible takes it for inventory" in refused.words
    assert fleet.files() == before

    # Beside an inventory that is a file it is parsed by nobody, and the old name of the variable is as good.
    fleet.group["blixard_registry_dir"] = fleet.group.pop("blixard_record_dir")
    taken = fleet.play("peers")
    assert taken.code == 0
    assert "blixard_registry_dir is called blixard_record_dir now" in taken.words
    away = tmp_path / "away"
    _record(away / "registry", {})
    del fleet.group["blixard_registry_dir"]
    told = ("-e", f"blixard_fleet_dir={away}", "-e", "blixard_hosts=all", "-e", "blixard_cluster=test")
    assert fleet.play("peers", *told, sources=["node1,node2,"]).code == 0
    assert [peer.node_id for peer in read_peers(away / "discovery-peers.json")] == [1, 2]
