# SPDX-License-Identifier: MIT
"""A run limited to one host changes that host's entry and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet

OF_A_NODE = (
    "/var/lib/blixard/iroh-secret-key",
    "/etc/blixard/node-config.json",
    "/etc/systemd/system/blixard.service",
    "/opt/blixard/venv",
)


def test_a_change_on_one_host_leaves_all_other_entries_to_the_byte(fleet: Fleet) -> None:
    before = fleet.record_files()

    run = fleet.playbook("site.yml", "--limit", "node3", "-e", "blixard_bind=0.0.0.0:7100")

    assert run.returncode == 0
    after = fleet.record_files()
    assert {name for name in before if before[name] != after[name]} == {"node3"}
    assert b":7100" in after["node3"]
    assert [peer["node_id"] for peer in fleet.peers()] == [1, 2, 3]


def test_the_others_stay_connected_to_it_though_they_were_not_told(fleet: Fleet) -> None:
    fleet.settles_connected()


def test_a_run_on_another_host_keeps_what_was_changed(fleet: Fleet) -> None:
    before = fleet.record_files()

    run = fleet.playbook("site.yml", "--limit", "node1")

    assert run.returncode == 0
    assert fleet.record_files() == before
    assert fleet.nodes["node1"].document("discovery-peers.json") == fleet.peers()


def test_a_key_changes_and_a_host_leaves_though_nobody_logs_in_as_root(fleet: Fleet) -> None:
    assert fleet.playbook("site.yml").returncode == 0
    rotated = fleet.playbook("rotate.yml", "-e", "blixard_rotate=node1", "-e", "blixard_rotate_min_age=0")
    assert rotated.returncode == 0

    left = fleet.playbook("decommission.yml", "-e", "blixard_decommission=node3")

    assert left.returncode == 0
    assert [peer["node_id"] for peer in fleet.peers()] == [1, 2]
    assert [path for path in OF_A_NODE if fleet.nodes["node3"].host.file(path).exists] == []
