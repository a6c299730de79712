# SPDX-License-Identifier: MIT
"""How many hosts of one machine check at once."""

from __future__ import annotations

from typing import Any

import pytest

from blixard.fleet.waves import CHECKS_A_CORE, cores_here, waves

CORES = 2
MOST = CHECKS_A_CORE * CORES


def fleet(count: int, **variables: Any) -> dict[str, dict[str, Any]]:
    """So many hosts with the same variables."""
    return {f"node{number}": dict(variables) for number in range(1, count + 1)}


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_connection": "local"},
        {"ansible_connection": "ansible.builtin.local"},
        {"ansible_connection": "containers.podman.podman"},
        {"ansible_connection": "community.docker.docker"},
        {"ansible_host": "127.0.0.1", "ansible_port": 2222},
        {"ansible_host": "LOCALHOST"},
        {"ansible_host": "[::1]"},
        {"ansible_host": "server.example.org"},
        {"ansible_host": "192.0.2.7", "ansible_connection": "ssh"},
    ],
)
def test_hosts_of_one_machine_check_by_as_many_as_its_cores_bear(variables: dict[str, Any]) -> None:
    hosts = fleet(MOST + 1, **variables)
    assert waves(hosts, CORES) == dict.fromkeys(hosts, MOST)


def test_so_few_hosts_of_one_machine_that_it_bears_them_all_are_left_alone() -> None:
    assert waves(fleet(MOST, ansible_connection="local"), CORES) == {}


@pytest.mark.parametrize("variables", [{}, {"ansible_connection": "ssh"}, {"ansible_connection": None}])
def test_hosts_on_machines_of_their_own_are_never_held_back(variables: dict[str, Any]) -> None:
    assert waves(fleet(500, **variables), CORES) == {}


def test_of_a_mixed_fleet_only_those_that_share_a_machine_are_held_back() -> None:
    crowd = {name: {"ansible_host": "server"} for name in (f"guest{number}" for number in range(MOST + 1))}
    local = {"here": {"ansible_connection": "local"}, "there": {"ansible_host": "localhost"}}
    assert waves({**fleet(50), **local, **crowd}, CORES) == dict.fromkeys(crowd, MOST)


def test_the_controller_has_cores() -> None:
    assert cores_here() >= 1
