# SPDX-License-Identifier: MIT
"""Voters by the role: they form one cluster, and a rolling change moves the leader first and keeps what was stored."""

from __future__ import annotations

from typing import Any

from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import Fleet
from tests.integration.nodes import eventually
from tests.raft.load import entry

from blixard.agent.control_client import AgentError, AgentNotRunning, ask

HOSTS = ["node1", "node2", "node3"]


def states(fleet: Fleet) -> dict[str, dict[str, Any]]:
    return {host: ask(fleet.root / host, "raft-status") for host in HOSTS}


def leader_of(fleet: Fleet) -> str:
    """Wait until all voters agree on a leader, and return its host."""

    def agreed() -> str | None:
        try:
            found = states(fleet)
        except (AgentNotRunning, AgentError):
            return None
        leaders = {each["leader"] for each in found.values() if each["is_open"]}
        return f"node{leaders.pop()}" if len(leaders) == 1 and leaders != {None} else None

    return str(eventually(agreed))


def test_voters_form_one_cluster_and_a_rolling_change_keeps_a_leader_and_what_was_stored(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)
    fleet.group |= {"blixard_raft": True, "blixard_voters": HOSTS}
    first = fleet.play("site")
    assert first.code == 0, first.output
    leader = leader_of(fleet)
    put = {"name": "host77", "entry": entry(77, 1, cluster="test").to_json()}
    eventually(lambda: ask(fleet.root / leader, "raft-put", put)["outcome"] == "done")
    genesis = {each["genesis"] for each in states(fleet).values()}
    assert len(genesis) == 1

    fleet.group["blixard_metrics"] = "127.0.0.1:0"
    changed = fleet.play("site")

    assert changed.code == 0, changed.output
    assert "Hand over" in changed.output
    # Up to the next task: an attempt that the other was not ready for is told of, and made again.
    assert f"changed: [{leader}]" in changed.output.partition("Node | Hand over")[2].partition("Run | Write")[0]
    assert {each["genesis"] for each in states(fleet).values()} == genesis
    got = ask(fleet.root / leader_of(fleet), "raft-get", {"node_id": 77})
    assert got["outcome"] == "done"
    again = fleet.play("site")
    assert set(again.changed.values()) == {0}, again.output
