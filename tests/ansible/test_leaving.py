# SPDX-License-Identifier: MIT
"""Hosts that leave a fleet whose peers file is not signed: by decommission, dead or alive, and by the inventory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import UNREACHABLE, Fleet, Run

from blixard.agent.control_client import ask
from blixard.documents.entry_states import state_of
from blixard.documents.peers_file import read_peers
from blixard.documents.record import read_record


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 4)
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def first(bare: Fleet) -> Run:
    return bare.play("site")


@pytest.fixture
def fleet(bare: Fleet, first: Run) -> Fleet:
    assert first.code == 0, first.output
    return bare


def _peers(fleet: Fleet, host: str) -> dict[int, str]:
    """What a node knows of its peers: state by node id."""
    peers: list[dict[str, Any]] = ask(fleet.root / host, "status")["peers"]
    return {peer["node_id"]: peer["state"] for peer in peers}


def test_a_decommission_is_foreseen_in_check_mode_and_writes_nothing(fleet: Fleet) -> None:
    before = fleet.settled()

    would = fleet.play("decommission", "-e", "blixard_decommission=node4", "--check", "--diff")

    assert would.code == 0, would.output
    assert "+0 −1 ~0 peers" in would.output
    assert fleet.settled() == before


def test_the_former_name_of_a_renamed_host_does_not_leave_with_its_node(fleet: Fleet) -> None:
    node4 = fleet.hosts.pop("node4")
    fleet.hosts["alpha"] = {**node4, "blixard_data_dir": "{{ inventory_dir }}/node4"}
    before = fleet.settled()

    for arguments in (("--check",), ()):
        lost = fleet.play("decommission", "-e", "blixard_decommission=node4", *arguments)
        assert lost.code != 0
        assert "node4: has the Iroh id of alpha, which stays; if node4 is its former name" in lost.words
        assert fleet.settled() == before

    fleet.hosts["node4"] = {**node4, **UNREACHABLE}
    kept = fleet.play("decommission", "-e", "blixard_decommission=node4")
    assert kept.code != 0
    assert "keep node4 in the inventory with blixard_state: absent, and run site.yml" in kept.words
    assert fleet.settled() == before

    fleet.hosts["node4"] = {**node4, "blixard_state": "absent"}
    renamed = fleet.play("site", "--check", "--diff")
    assert renamed.code == 0, renamed.output
    del fleet.hosts["alpha"]
    fleet.hosts["node4"] = node4


def test_a_node_that_does_not_go_is_refused_by_all_others_at_once_and_loses_its_open_connections(fleet: Fleet) -> None:
    """Its host cannot be reached and its node runs on, as that of somebody would who does not want to leave."""
    assert _peers(fleet, "node4") == dict.fromkeys((1, 2, 3), "connected")
    node4 = fleet.pid("node4")
    fleet.hosts["node4"] |= UNREACHABLE

    run = fleet.play("decommission", "-e", "blixard_decommission=node4")

    assert run.code == 0, run.output
    assert "node4 cannot be reached: it has left all the same, and its key is still on it" in run.words
    for host, others in (("node1", (2, 3)), ("node2", (1, 3)), ("node3", (1, 2))):
        assert _peers(fleet, host) == dict.fromkeys(others, "connected")
    assert "connected" not in _peers(fleet, "node4").values()
    told = ask(fleet.root / "node4", "check", {"timeout_s": 1.0, "sample": None}, timeout=30)
    assert [edge["admitted"] for edge in told["edges"]] == [False] * 3
    assert state_of(read_record(fleet.registry)["node4"]) == "absent"

    for name in UNREACHABLE:
        fleet.hosts["node4"].pop(name)
    again = fleet.play("decommission", "-e", "blixard_decommission=node4")
    assert again.code == 0, again.output
    assert not list((fleet.root / "node4").iterdir())
    assert not Path(f"/proc/{node4}").exists()
    del fleet.hosts["node4"]


def test_a_dead_host_leaves_all_the_same_and_the_rest_is_converged(fleet: Fleet) -> None:
    fleet.kill("node3")
    fleet.hosts["node3"] |= UNREACHABLE

    run = fleet.play("decommission", "-e", "blixard_decommission=node3")

    assert run.code == 0, run.output
    assert "node3 cannot be reached: it has left all the same" in run.words
    assert [peer.node_id for peer in read_peers(fleet.root / "node1" / "discovery-peers.json")] == [1, 2]
    assert (_peers(fleet, "node1"), _peers(fleet, "node2")) == ({2: "connected"}, {1: "connected"})
    del fleet.hosts["node3"]
    assert fleet.play("site").changed == {"node1": 0, "node2": 0}


def test_nobody_leaves_when_those_who_stay_have_no_quorum_unless_nobody_votes(fleet: Fleet) -> None:
    fleet.kill("node2")
    before = fleet.settled()

    for arguments in (("--check", "--diff"), ()):
        run = fleet.play("decommission", "-e", "blixard_decommission=node1", *arguments)
        assert run.code != 0
        assert (
            "node2 is down, and the quorum of those who would stay (node2) bears 0; let them leave one after"
            in run.words
        )
        assert fleet.settled() == before

    nobody_votes = ("-e", '{"blixard_voters": []}')
    assert fleet.play("decommission", "-e", "blixard_decommission=node1", *nobody_votes, "--check").code == 0
    assert fleet.play("decommission", "-e", "blixard_decommission=node2").code == 0, "the dead may always leave"
    assert _peers(fleet, "node1") == {}


def test_two_of_ten_hosts_taken_out_of_the_inventory_stay_until_pruning_and_its_guard_let_them_go(
    new_fleet: NewFleet,
) -> None:
    fleet = new_fleet(10)
    assert fleet.play("site").code == 0
    before = fleet.settled()
    for host in ("node4", "node9"):
        del fleet.hosts[host]

    pruning = ("-e", "blixard_prune=true", "-e", "blixard_max_removals=1")
    for playbook, *arguments in (("site", "--check", "--diff"), ("site",), ("peers", "--check"), ("peers",)):
        run = fleet.play(playbook, *arguments, *pruning)
        assert run.code != 0
        assert "2 hosts would be removed (node4, node9), at most 1 may be at once; raise max_removals" in run.words
        assert fleet.settled() == before
    for arguments in (["--check", "--diff"], []):
        run = fleet.play("site", "-e", "blixard_max_removals=1", *arguments)
        assert run.code != 0
        assert "2 members are not in the inventory (node4, node9), and at most 1 may leave at once" in run.words
        assert fleet.settled() == before

    kept = fleet.play("site")
    assert (kept.code, kept.changed) == (0, dict.fromkeys(fleet.hosts, 0)), kept.output
    assert "node4, node9: in the record, but not in the inventory. They stay members" in kept.words
    assert fleet.settled() == before
    assert fleet.report()["summary"]["reached"] == 8 * 9

    pruned = fleet.play("site", "-e", "blixard_prune=true", "-e", "blixard_max_removals=2", "--diff")
    assert pruned.code == 0, pruned.output
    assert "+0 −2 ~0 peers" in pruned.output
    assert [peer.node_id for peer in read_peers(fleet.peers_file)] == [1, 2, 3, 5, 6, 7, 8, 10]
    assert set(_peers(fleet, "node1")) == {2, 3, 5, 6, 7, 8, 10}
    assert {
        name: state_of(entry) for name, entry in read_record(fleet.registry).items() if name not in fleet.hosts
    } == {
        "node4": "absent",
        "node9": "absent",
    }
