# SPDX-License-Identifier: MIT
"""Two machines with one key are found out before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet

KEY = "/var/lib/blixard/iroh-secret-key"


def test_a_clone_is_refused_by_both_names_and_nothing_is_written(fleet: Fleet) -> None:
    clone, original = fleet.nodes["clone"], fleet.nodes["node1"]
    clone.run("systemctl stop blixard && rm -f /var/lib/blixard/node-registry.json")
    clone.run(f"printf '%s\\n' {original.run(f'cat {KEY}')} >{KEY}")
    record, peers = fleet.record_files(), fleet.peers_file.read_bytes()
    (fleet.registry / "clone.json").unlink()

    run = fleet.playbook("site.yml")

    assert run.returncode != 0
    assert "clone and node1 have the same Iroh id" in run.output
    assert {name: data for name, data in record.items() if name != "clone"} == fleet.record_files()
    assert fleet.peers_file.read_bytes() == peers
    assert clone.unit("ActiveState") == ["inactive"]


def test_the_others_do_not_notice(fleet: Fleet) -> None:
    fleet.settles_connected("node1", "node2")


def test_with_a_key_of_its_own_it_is_a_member(fleet: Fleet) -> None:
    fleet.nodes["clone"].run(f"rm {KEY}")

    # Its former key leaves with that, and nobody leaves unseen.
    refused = fleet.playbook("site.yml")
    assert refused.returncode != 0
    assert "would leave (node 3), and at most 0 may leave at once" in refused.output
    run = fleet.playbook("site.yml", "-e", "blixard_max_removals=1")

    assert run.returncode == 0
    fleet.settles_connected()
    ids = {entry["iroh_node_id"] for entry in fleet.record().values()}
    assert len(ids) == 3
