# SPDX-License-Identifier: MIT
"""A voter's metrics come from its status."""

from __future__ import annotations

from tests.unit.agent.test_metrics import read

from blixard.agent.metrics import exposition
from blixard.agent.raft_node import raft_families
from blixard.documents.schemas import load_schema


def test_the_metrics_of_a_voter_say_what_its_status_says() -> None:
    (status,) = load_schema("raft-status")["examples"]
    series = read(exposition(raft_families({**status, "refused": {"malformed": 3}})))
    assert series["blixard_raft_up", ()] == 1
    assert series["blixard_raft_is_leader", ()] == 1
    assert series["blixard_raft_term", ()] == status["term"]
    assert series["blixard_raft_voters", ()] == 3
    assert series["blixard_raft_voters_alive", ()] == 2
    assert series["blixard_raft_refused_frames_total", (("kind", "malformed"),)] == 3
