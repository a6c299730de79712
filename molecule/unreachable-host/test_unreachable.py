# SPDX-License-Identifier: MIT
"""Hosts that are down lose nothing and stop nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet


def test_a_fresh_rollout_goes_on_without_a_host_that_never_answered(fleet: Fleet) -> None:
    run = fleet.playbook("site.yml")

    assert run.returncode != 0
    assert "node4" in run.hosts("unreachable")
    assert set(fleet.record()) == {"node1", "node2", "node3"}
    fleet.settles_connected()


def test_a_member_that_is_down_stays_a_member(fleet: Fleet) -> None:
    fleet.engine("stop", "node2")
    before = fleet.record_files()

    run = fleet.playbook("site.yml")

    assert run.returncode != 0
    assert {"node2", "node4"} <= run.hosts("unreachable")
    assert fleet.record_files() == before
    assert [peer["node_id"] for peer in fleet.peers()] == [1, 2, 3]


def test_the_report_names_the_member_that_is_down_and_exactly_the_edges_to_it(fleet: Fleet) -> None:
    failed = {(edge["from"], edge["to"]) for edge in fleet.report()["edges"] if not edge["reached"]}
    assert {edge for edge in failed if edge[0] != 2} == {(1, 2), (3, 2)}
    assert (1, 3) not in failed
    assert (3, 1) not in failed


def test_a_change_reaches_those_that_answer_meanwhile(fleet: Fleet) -> None:
    run = fleet.playbook("site.yml", "--limit", "node2,node3", "-e", "blixard_bind=0.0.0.0:7100")

    assert "node2" in run.hosts("unreachable")
    assert fleet.record()["node3"]["direct_addresses"][0].endswith(":7100")
    assert fleet.record()["node2"]["direct_addresses"][0].endswith(":7001")


def test_a_member_that_comes_back_is_connected_again_without_a_run(fleet: Fleet) -> None:
    fleet.engine("start", "node2")
    fleet.settles_connected()
