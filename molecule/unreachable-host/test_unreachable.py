# SPDX-License-Identifier: MIT
"""Hosts that are down lose nothing and stop nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet


def test_a_fresh_rollout_goes_on_without_a_host_that_never_answered(fleet: Fleet) -> None:
    run = fleet.playbook("site.yml")

    assert run.returncode != 0
    assert run.hosts("unreachable") == {"node4"}
    assert set(fleet.record()) == {"node1", "node2", "node3"}
    fleet.settles_connected()


def test_a_member_that_is_down_stays_a_member_while_others_change(fleet: Fleet) -> None:
    fleet.engine("kill", "node2")
    before = fleet.record_files()

    run = fleet.playbook("site.yml", "-e", "blixard_metrics=127.0.0.1:9100")

    assert run.returncode != 0
    assert run.hosts("unreachable") == {"node2", "node4"}
    assert fleet.record_files() == before
    assert [peer["node_id"] for peer in fleet.peers()] == [1, 2, 3]
    for name in ("node1", "node3"):
        assert "9100" in fleet.nodes[name].run("cat /etc/blixard/node-config.json")


def test_the_report_names_the_member_that_is_down_and_exactly_the_edges_to_it(fleet: Fleet) -> None:
    reached = {(edge["from"], edge["to"]): edge["reached"] for edge in fleet.report()["edges"]}
    assert reached[1, 3]
    assert reached[3, 1]
    assert not reached[1, 2]
    assert not reached[3, 2]
    down = [node["name"] for node in fleet.report()["nodes"] if node["agent"] != "running"]
    assert down == ["node2", "node4"]


def test_a_member_that_comes_back_is_connected_again_without_a_run(fleet: Fleet) -> None:
    fleet.engine("start", "node2")
    fleet.settles_connected()


def test_the_next_run_brings_it_up_to_date_and_restarts_nobody_else(fleet: Fleet) -> None:
    before = fleet.record_files()
    others = [fleet.nodes[name] for name in ("node1", "node3")]
    started = [node.unit("ExecMainStartTimestampMonotonic") for node in others]

    run = fleet.playbook("site.yml", "-e", "blixard_metrics=127.0.0.1:9100")

    assert run.hosts("unreachable") == {"node4"}
    assert "9100" in fleet.nodes["node2"].run("cat /etc/blixard/node-config.json")
    assert [node.unit("ExecMainStartTimestampMonotonic") for node in others] == started
    after = fleet.record_files()
    # A container that starts again may get another address.
    assert {name for name in before if before[name] != after[name]} <= {"node2"}
    fleet.settles_connected()
