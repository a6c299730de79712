# SPDX-License-Identifier: MIT
"""What must be so on every host of every scenario, and between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node

DATA_DIR = "/var/lib/blixard"
CLI = "/opt/blixard/venv/bin/blixard"
FACTS = "/etc/ansible/facts.d/blixard.fact"
FILES = {
    DATA_DIR: "blixard:blixard 700",
    f"{DATA_DIR}/iroh-secret-key": "blixard:blixard 600",
    f"{DATA_DIR}/agent.sock": "blixard:blixard 600",
    f"{DATA_DIR}/discovery-peers.json": "blixard:blixard 644",
    f"{DATA_DIR}/node-registry.json": "blixard:blixard 644",
    "/etc/blixard/node-config.json": "root:blixard 640",
    "/etc/systemd/system/blixard.service": "root:root 644",
    FACTS: "root:root 644",
}


def test_the_service_runs_and_comes_back_after_a_reboot(node: Node) -> None:
    assert node.unit("ActiveState", "UnitFileState") == ["active", "enabled"]


def test_the_service_is_hardened(node: Node) -> None:
    verdict = node.run("systemd-analyze security blixard.service --no-pager").splitlines()[-1]
    assert float(verdict.rpartition(":")[2].split()[0]) <= 1.5, verdict
    limits = node.unit("MemoryMax", "TasksMax")
    assert all(limit.isdigit() for limit in limits), limits


def test_the_hardening_is_in_force(node: Node) -> None:
    """A container without the capabilities for it drops it without a word, and then nothing here proves anything."""
    (pid,) = node.unit("MainPID")
    mounts = {line.split()[1]: line.split()[3] for line in node.run(f"cat /proc/{pid}/mounts").splitlines()}
    assert mounts["/"].startswith("ro")
    assert mounts[DATA_DIR].startswith("rw")


def test_the_node_runs_as_its_own_account_and_gains_no_rights(node: Node) -> None:
    (pid,) = node.unit("MainPID")
    assert node.run(f"ps -o user= -p {pid}; grep NoNewPrivs /proc/{pid}/status").split() == [
        "blixard",
        "NoNewPrivs:",
        "1",
    ]


def test_files_belong_to_whom_they_should(node: Node) -> None:
    listing = node.run(f"stat --format '%n %U:%G %a' {' '.join(FILES)}").splitlines()
    assert dict(line.split(" ", 1) for line in listing) == FILES


def test_ansible_has_facts_of_the_node(node: Node) -> None:
    facts = json.loads(node.run(f"cat {FACTS}"))
    assert (facts["service"], facts["data_dir"]) == ("blixard", DATA_DIR)
    assert facts["node_id"] == json.loads(node.run(f"cat {DATA_DIR}/node-registry.json"))["cluster_node_id"]


def test_the_node_listens_on_its_port(node: Node) -> None:
    assert f":{node.port} " in node.run("ss --listening --udp --numeric --no-header")


def test_its_registry_and_its_peers_file_are_valid(node: Node) -> None:
    node.run(
        f"{CLI} registry validate {DATA_DIR}/node-registry.json && {CLI} peers validate {DATA_DIR}/discovery-peers.json"
    )


def test_every_host_has_the_controllers_peers_file(node: Node, fleet: Fleet) -> None:
    assert node.run(f"cat {DATA_DIR}/discovery-peers.json") == fleet.peers_file.read_text().rstrip("\n")


def test_the_record_says_of_it_what_the_node_says_of_itself(node: Node, fleet: Fleet) -> None:
    own = node.document("node-registry.json")
    recorded = fleet.record()[node.name]
    assert {key: recorded[key] for key in own} == own


def test_the_node_is_connected_to_every_peer(node: Node, fleet: Fleet) -> None:
    others = {other.node_id: "connected" for other in fleet.up if other is not node}
    fleet.settles(lambda: node.states(others), others)


def test_its_secret_key_is_in_no_log(node: Node) -> None:
    log = node.run("journalctl --no-pager --output=cat")
    assert "blixard" in log
    assert node.run(f"cat {DATA_DIR}/iroh-secret-key") not in log


def test_the_report_has_every_edge_and_all_are_good(fleet: Fleet) -> None:
    edges = {(edge["from"], edge["to"]): edge for edge in fleet.report()["edges"]}
    for one in fleet.ours:
        for other in fleet.up:
            if other is not one:
                edge = edges[one.node_id, other.node_id]
                assert (edge["reached"], edge["id_matched"], edge["admitted"]) == (True, True, True), edge
