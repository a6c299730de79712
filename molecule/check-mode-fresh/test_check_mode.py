# SPDX-License-Identifier: MIT
"""Check mode writes nothing, before and after the real run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet


# All that a host has, but for what is made at every boot, logs, and where Ansible keeps its modules for a moment.
LISTING = """
find / -xdev -regextype egrep -regex '/(proc|sys|run|tmp|var/log|var/lib/systemd|root/[.]ansible)' -prune \
    -o ! -path / ! -path /root -printf '%p %y %m %U %G %s %T@\\n' | sort
"""


def test_a_rehearsal_on_fresh_hosts_is_green_and_writes_nothing(fleet: Fleet) -> None:
    before = {node.name: node.run(LISTING) for node in fleet.up}

    rehearsal = fleet.playbook("site.yml", "--check", "--diff")

    assert rehearsal.returncode == 0
    assert {node.name: node.run(LISTING) for node in fleet.up} == before
    assert not fleet.record()
    assert not fleet.peers_file.exists()


def test_the_real_run_does_what_was_rehearsed(fleet: Fleet) -> None:
    assert fleet.playbook("site.yml").returncode == 0
    assert set(fleet.record()) == {"node1", "node2"}


def test_a_rehearsal_on_a_converged_fleet_sees_nothing_to_do(fleet: Fleet) -> None:
    rehearsal = fleet.playbook("site.yml", "--check", "--diff")
    assert rehearsal.returncode == 0
    assert not rehearsal.hosts("changed")
