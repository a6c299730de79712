# SPDX-License-Identifier: MIT
"""Whom a leader hands over to before its batch is restarted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blixard.fleet.raft_turn import successor

TURNS = [1, 2, 3, 4, 5]


def status(leader: int, *, dead: tuple[int, ...] = (), blank: tuple[int, ...] = (), role: str = "leader") -> str:
    """What the leader of five says, of whom some are dead and some not admitted; voter N has N entries."""
    members: list[dict[str, Any]] = [
        {
            "node_id": node,
            "is_alive": node not in dead,
            "is_admitted": node not in blank,
            "matched_index": None if node == leader else node,
        }
        for node in TURNS
    ]
    return json.dumps({"role": role, "members": members})


def test_before_its_turn_was_anybodys_the_last_one_takes_over_so_that_leadership_moves_once_more_only() -> None:
    assert successor(status(1), TURNS, [1, 2]) == 5
    assert successor(status(1, dead=(5,)), TURNS, [1, 2]) == 4
    assert successor(status(1, blank=(4, 5)), TURNS, [1, 2]) == 3


def test_one_whose_turn_was_takes_over_from_the_last_ones() -> None:
    assert successor(status(5), TURNS, [5]) == 4
    assert successor(status(3), TURNS, [3, 4]) == 2


def test_one_that_this_run_does_not_restart_comes_before_all_others() -> None:
    assert successor(status(1), [1, 2, 3], [1]) == 5


def test_nobody_hands_over_who_does_not_lead_or_has_nobody_to_hand_over_to() -> None:
    assert successor(status(1, role="follower"), TURNS, [1]) is None
    assert successor(status(1, dead=(2, 3, 4, 5)), TURNS, [1]) is None


@pytest.mark.parametrize(
    "text", ["", "no node runs", "[]", "{}", '{"role": "leader"}', '{"role": "leader", "members": [1]}']
)
def test_what_is_no_status_of_a_voter_moves_nobody(text: str) -> None:
    assert successor(text, TURNS, [1]) is None
