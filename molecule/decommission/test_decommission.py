# SPDX-License-Identifier: MIT
"""Who has left is refused by all others at once, leaves nothing behind, and does not come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node, Run

LEFT = '{"blixard_decommission": ["leaver", "dead"]}'
STAYING = {"node1": 1, "node2": 2, "node3": 5}
# The inventory after they were taken out of it.
WITHOUT_THEM = '{"blixard_hosts": ["node1", "node2", "node3"]}'
TRACES = (
    "/etc/blixard/node-config.json",
    "/etc/systemd/system/blixard.service",
    "/etc/ansible/facts.d/blixard.fact",
    "/opt/blixard/venv",
    "/var/lib/blixard/iroh-secret-key",
    "/var/lib/blixard/discovery-peers.json",
    "/var/lib/blixard/node-registry.json",
)


@pytest.fixture(scope="module")
def before(fleet: Fleet) -> Any:
    """The record while all five are members."""
    return fleet.record()


@pytest.fixture(scope="module")
def departure(fleet: Fleet, before: Any) -> Run:
    fleet.engine("kill", "dead")
    return fleet.playbook("decommission.yml", "-e", LEFT)


def traces(node: Node) -> list[str]:
    return [path for path in TRACES if node.host.file(path).exists]


def test_a_dead_host_leaves_all_the_same_and_the_run_says_so(departure: Run) -> None:
    assert departure.returncode == 0
    assert "dead cannot be reached: it has left all the same" in " ".join(departure.output.split())


def test_those_who_stay_know_nobody_but_themselves(fleet: Fleet, departure: Run) -> None:
    assert {peer["node_id"] for peer in fleet.peers()} == set(STAYING.values())
    for name in STAYING:
        node = fleet.nodes[name]
        assert node.document("discovery-peers.json") == fleet.peers()
        assert {peer["node_id"] for peer in node.status()["peers"]} == set(STAYING.values()) - {node.node_id}


def test_they_dropped_the_one_that_left_while_its_node_still_ran(fleet: Fleet, departure: Run) -> None:
    """Its own log has their goodbyes, and what it was told when it called again, before it was stopped."""
    log = fleet.nodes["leaver"].run("journalctl --no-pager --output=cat").splitlines()
    stopped = next(number for number, line in enumerate(log) if line.startswith("Stopping blixard.service"))
    for node_id in STAYING.values():
        assert [line for line in log[:stopped] if f" node={node_id} " in line and "msg=disconnected" in line], log


def test_the_record_keeps_them_as_absent(fleet: Fleet, before: Any, departure: Run) -> None:
    for name in ("leaver", "dead"):
        assert fleet.record()[name] == before[name] | {"state": "absent"}


def test_nothing_of_the_node_is_left_on_its_host(fleet: Fleet, departure: Run) -> None:
    leaver = fleet.nodes["leaver"]
    assert traces(leaver) == []
    assert leaver.unit("ActiveState", "LoadState") == ["inactive", "not-found"]
    assert leaver.run("ps -o pid= -u blixard || true") == ""


def test_a_dead_host_that_comes_back_is_refused_by_all(fleet: Fleet, departure: Run) -> None:
    fleet.engine("start", "dead")
    dead = fleet.nodes["dead"]
    refused = dict.fromkeys(STAYING.values(), "refused")
    fleet.settles(lambda: dead.states(refused), refused)
    for name in STAYING:
        assert fleet.nodes[name].states({4}) == {4: None}


def test_its_old_key_does_not_bring_it_back(fleet: Fleet, departure: Run) -> None:
    record, peers = fleet.record_files(), fleet.peers_file.read_bytes()

    run = fleet.playbook("site.yml", "-e", '{"blixard_hosts": ["node1", "node2", "node3", "dead"]}')

    assert run.returncode != 0
    assert "dead: Iroh id" in run.output
    assert "does not come back" in run.output
    assert (fleet.record_files(), fleet.peers_file.read_bytes()) == (record, peers)


def test_the_same_run_again_cleans_the_host_that_is_back(fleet: Fleet, departure: Run) -> None:
    again = fleet.playbook("decommission.yml", "-e", LEFT)

    assert again.returncode == 0
    assert again.hosts("changed") == {"dead"}
    assert traces(fleet.nodes["dead"]) == []


def test_the_next_run_changes_nothing_and_brings_nobody_back(fleet: Fleet, departure: Run) -> None:
    record, peers = fleet.record_files(), fleet.peers_file.read_bytes()

    run = fleet.playbook("site.yml", "-e", WITHOUT_THEM)

    assert run.returncode == 0
    assert not run.hosts("changed")
    assert (fleet.record_files(), fleet.peers_file.read_bytes()) == (record, peers)
    fleet.settles_connected(*STAYING)
