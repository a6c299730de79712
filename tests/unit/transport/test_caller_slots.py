# SPDX-License-Identifier: MIT
"""Who keeps its place when too many call."""

from __future__ import annotations

import pytest
from tests.simulation.network import endpoint

from blixard.transport.caller_slots import CallerSlots

HERE, THERE, FLOODER = "192.0.2.1", "192.0.2.2", "203.0.113.9"
ALICE, BOB = endpoint(0, 1), endpoint(0, 2)


@pytest.fixture
def lobby() -> CallerSlots[str]:
    """Four places, two for one id."""
    return CallerSlots(most=4, per_id=2)


def test_whoever_comes_is_let_in_and_the_oldest_of_the_largest_crowd_goes(lobby: CallerSlots[str]) -> None:
    assert lobby.enter("honest", HERE) is None
    assert [lobby.enter(f"flood {number}", FLOODER) for number in range(3)] == [None, None, None]
    assert lobby.enter("flood 3", FLOODER) == "flood 0"
    assert lobby.enter("another", THERE) == "flood 1"
    assert "honest" in lobby
    assert len(lobby) == 4


def test_an_honest_caller_from_the_flooders_host_goes_only_after_all_who_came_before_it(
    lobby: CallerSlots[str],
) -> None:
    for number in range(4):
        lobby.enter(f"flood {number}", FLOODER)
    assert lobby.enter("honest", FLOODER) == "flood 0"
    assert [lobby.enter(f"flood {number}", FLOODER) for number in (4, 5, 6)] == ["flood 1", "flood 2", "flood 3"]
    assert "honest" in lobby
    assert lobby.enter("flood 7", FLOODER) == "honest"


def test_one_that_the_operator_names_stays_as_long_as_there_are_strangers(lobby: CallerSlots[str]) -> None:
    lobby.enter("member", FLOODER)
    lobby.identify("member", ALICE, is_known=True)
    for number in range(20):
        lobby.enter(f"flood {number}", FLOODER)
    assert "member" in lobby


def test_a_stranger_takes_no_place_of_one_that_the_operator_names(lobby: CallerSlots[str]) -> None:
    for number in range(4):
        lobby.enter(f"member {number}", HERE, endpoint_id=endpoint(0, 10 + number), is_known=True)
    assert lobby.enter("stranger", THERE, endpoint_id=BOB) == "stranger"
    assert lobby.enter("member", THERE, endpoint_id=ALICE, is_known=True) == "member 0"


def test_one_id_has_few_places_and_its_newest_call_counts(lobby: CallerSlots[str]) -> None:
    for name in ("first", "second"):
        lobby.enter(name, HERE)
        assert lobby.identify(name, ALICE, is_known=False) is None
    lobby.enter("third", HERE)
    assert lobby.identify("third", ALICE, is_known=False) == "first"
    assert lobby.enter("fourth", THERE, endpoint_id=ALICE) == "second"
    assert len(lobby) == 2


def test_one_id_that_calls_too_often_takes_no_place_of_another(lobby: CallerSlots[str]) -> None:
    lobby.enter("other", THERE, endpoint_id=BOB)
    for name in ("first", "second"):
        lobby.enter(name, HERE, endpoint_id=ALICE)
    assert lobby.enter("third", HERE, endpoint_id=ALICE) == "first"
    assert "other" in lobby


def test_members_do_not_make_a_crowd_of_a_stranger_from_their_host() -> None:
    lobby: CallerSlots[str] = CallerSlots(most=5, per_id=2)
    for number in range(2):
        lobby.enter(f"member {number}", HERE, endpoint_id=endpoint(0, 10 + number), is_known=True)
    lobby.enter("stranger", HERE)
    lobby.enter("flood 0", FLOODER)
    lobby.enter("flood 1", FLOODER)
    assert lobby.enter("flood 2", FLOODER) == "flood 0"


def test_one_that_leaves_takes_its_own_place_along(lobby: CallerSlots[str]) -> None:
    for name in ("first", "second", "third"):
        lobby.enter(name, HERE)
    lobby.leave("second")
    assert [name in lobby for name in ("first", "second", "third")] == [True, False, True]


def test_it_is_crowded_when_more_than_half_of_the_places_are_taken_and_no_longer_when_they_are_free(
    lobby: CallerSlots[str],
) -> None:
    for name in "ab":
        lobby.enter(name, HERE)
    assert not lobby.is_crowded
    lobby.enter("c", HERE)
    crowded = [lobby.is_crowded]
    lobby.leave("a")
    lobby.leave("a")
    assert [*crowded, lobby.is_crowded] == [True, False]


def test_one_that_left_before_its_handshake_was_done_takes_no_place_by_it(lobby: CallerSlots[str]) -> None:
    lobby.enter("gone", HERE)
    lobby.leave("gone")
    assert lobby.identify("gone", ALICE, is_known=True) is None
    assert len(lobby) == 0
