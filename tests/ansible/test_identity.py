# SPDX-License-Identifier: MIT
"""A host that was restored with its key, and without the account that the service runs as."""

from __future__ import annotations

from pathlib import Path

from tests.ansible.conftest import NewFleet

from blixard.trust.keys import create_secret_key

PLAYBOOK = """\
- hosts: blixard
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: blixard
        tasks_from: gather
    - ansible.builtin.import_role:
        name: blixard
        tasks_from: identity
        rolespec_validate: false
"""


def test_a_key_that_is_not_the_accounts_is_foreseen_to_be_given_to_it(new_fleet: NewFleet, tmp_path: Path) -> None:
    """In check mode, since the accounts of this machine are not ours to make."""
    fleet = new_fleet(2)
    playbook = tmp_path / "identity.yml"
    playbook.write_text(PLAYBOOK)
    keys = {host: fleet.root / host / "iroh-secret-key" for host in fleet.hosts}
    for path in keys.values():
        create_secret_key(path)
    own = {"blixard_user": keys["node2"].owner(), "blixard_group": keys["node2"].group()}
    fleet.group["blixard_service_manager"] = "systemd"
    fleet.hosts["node1"] |= {"blixard_user": "restored", "blixard_group": "restored"}
    fleet.hosts["node2"] |= own

    would = fleet.play(playbook, "--check")

    assert (would.code, would.changed) == (0, {"node1": 1, "node2": 0}), would.output
    assert f"{keys['node1']} belongs to {own['blixard_user']}:{own['blixard_group']}: " in would.words
    assert f"{keys['node1'].parent} would be given to restored:restored" in would.words
