# SPDX-License-Identifier: MIT
"""The guard over the voters: the rest always has a majority, and starting nodes is never in the way of that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blixard.fleet.quorum import risk, spare

FIVE = ["node1", "node2", "node3", "node4", "node5"]


def _risk(down: set[str], taking: set[str], voters: list[str] = FIVE) -> str | None:
    return risk(voters, down=down, taking=taking, mend="set blixard_serial to 2 or less")


def test_a_minority_of_the_voters_may_be_away() -> None:
    assert [spare(FIVE[:size]) for size in range(6)] == [0, 0, 0, 1, 1, 2]
    assert _risk(set(), {"node1", "node2"}) is None
    assert _risk({"node1"}, {"node2"}) is None


def test_one_more_is_refused_with_names_numbers_and_what_to_change() -> None:
    assert _risk(set(), {"node1", "node2", "node3"}) == (
        "node1, node2, node3 would be down at once: 3 of 5 voters, and their quorum bears 2;"
        " set blixard_serial to 2 or less"
    )
    assert _risk({"node4", "node5"}, {"node1"}) == (
        "node1 would be down at once while node4, node5 are down already: 3 of 5 voters, and their quorum bears 2;"
        " set blixard_serial to 2 or less"
    )


def test_nodes_that_do_not_vote_and_nodes_that_are_down_are_free_to_go() -> None:
    assert _risk({"node1", "node2", "node3"}, {"node1", "reader"}) is None
    assert _risk(set(), set(FIVE), voters=[]) is None


@given(st.integers(1, 9), st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)))
def test_what_is_allowed_leaves_a_majority_or_takes_no_voter_away(size: int, down: set[int], taking: set[int]) -> None:
    voters = [f"node{number}" for number in range(1, size + 1)]
    away, going = ({f"node{number}" for number in numbers} for numbers in (down, taking))

    allowed = _risk(away, going, voters) is None

    left = set(voters) - away - going
    majority = 2 * len(left) > size
    assert allowed == (majority or not (going & set(voters)) - away)
