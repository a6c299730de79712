# SPDX-License-Identifier: MIT
"""The guard over the voters: the rest always has a majority, and starting nodes is never in the way of that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.errors import InputError
from blixard.fleet.quorum import Voters, batches, plan, safer, spare

FIVE = ("node1", "node2", "node3", "node4", "node5")
MEND = "set blixard_serial to 2 or less"


def _voters(names: Sequence[str] = FIVE, *, declared: bool = True) -> Voters:
    return Voters({name: number for number, name in enumerate(names, start=1)}, declared)


def _risk(down: set[str], taking: set[str], voters: Voters | None = None) -> str | None:
    return (voters or _voters()).risk(down=down, taking=taking, mend=MEND)


def _leaving(down: set[str], leaving: set[str], names: Sequence[str] = FIVE) -> str | None:
    return _voters(names, declared=False).leaving_risk(down=down, leaving=leaving, mend="wait")


def test_a_minority_of_the_voters_may_be_away() -> None:
    assert [spare(FIVE[:size]) for size in range(6)] == [0, 0, 0, 1, 1, 2]
    assert _risk(set(), {"node1", "node2"}) is None
    assert _risk({"node1"}, {"node2"}) is None


def test_one_more_is_refused_with_names_numbers_and_what_to_change() -> None:
    assert _risk(set(), {"node1", "node2", "node3"}) == (
        f"node1, node2, node3 would be down at once: 3 of 5 voters, and their quorum bears 2; {MEND}"
    )
    assert _risk({"node4", "node5"}, {"node1"}) == (
        "node1 would be down at once while node4, node5 are down already: 3 of 5 voters, and their quorum bears 2;"
        f" {MEND}"
    )


def test_nodes_that_do_not_vote_and_nodes_that_are_down_are_free_to_go() -> None:
    assert _risk({"node1", "node2", "node3"}, {"node1", "reader"}) is None
    assert _risk(set(), set(FIVE), _voters(())) is None


def test_of_one_or_two_voters_none_can_be_spared_so_they_go_one_at_a_time_with_a_warning() -> None:
    for declared in (True, False):
        two = _voters(FIVE[:2], declared=declared)
        assert _risk(set(), {"node1", "node2"}, two)
        assert _risk(set(), {"node1"}, two) is None
        assert two.warning(down=(), taking=["node1"]) == (
            "the quorum of 2 voters bears 0 of them being away: node1 will be down all the same, one node at a time,"
            " and so long nothing can be voted on"
        )
    assert _risk(set(), {"node1"}, _voters(FIVE[:1])) is None


def test_members_that_nobody_declared_to_vote_go_one_at_a_time_where_no_more_can_be_spared() -> None:
    members = _voters(FIVE[:3], declared=False)
    assert _risk({"node3"}, {"node1"}, _voters(FIVE[:3]))
    assert _risk({"node3"}, {"node1"}, members) is None
    assert _risk({"node3"}, {"node1", "node2"}, members)
    warning = members.warning(down=["node3"], taking=["node1"])
    assert warning is not None
    assert ", and node3 is down: node1 will be down all the same" in warning
    assert members.warning(down=(), taking=["node1"]) is None


names = st.integers(1, 9).map(lambda size: tuple(f"node{number}" for number in range(1, size + 1)))
some = st.sets(st.integers(1, 9).map("node{}".format))


@given(names, some, some)
def test_what_is_allowed_leaves_a_majority_or_takes_no_voter_away(
    voters: tuple[str, ...], down: set[str], taking: set[str]
) -> None:
    allowed = _risk(down, taking, _voters(voters)) is None

    left = set(voters) - down - taking
    majority = 2 * len(left) > len(voters)
    going = (taking & set(voters)) - down
    assert allowed == (majority or not going or (len(voters) < 3 and len(going) == 1))


@given(names, some, some, st.booleans())
def test_batches_without_a_wish_take_no_more_down_together_than_the_quorum_bears(
    voters: tuple[str, ...], down: set[str], restarting: set[str], declared: bool
) -> None:
    guard = _voters(voters, declared=declared)
    away = down & set(voters)

    found = plan(voters, voters=guard, down=away, restarting=restarting - away)

    for batch in batches(voters, found.serial) if found.risk is None else ():
        going = set(batch) & restarting - away
        assert len(going) <= 1 or len(going) + len(away - set(batch)) <= spare(voters)
        away -= set(batch)
    assert declared or found.risk is None


def test_a_fleet_that_is_started_or_that_stays_as_it_is_goes_all_at_once() -> None:
    assert plan(FIVE, voters=_voters(()), down=(), restarting=()).serial == "100%"
    assert plan(FIVE, voters=_voters(), down=FIVE, restarting=()).serial == "100%"
    assert plan(FIVE, voters=_voters(), down=(), restarting=FIVE[:2]).serial == "100%"
    assert plan(FIVE, voters=_voters(), down=(), restarting=FIVE).serial == 2


def test_batches_that_were_asked_for_are_refused_when_one_of_them_is_too_large() -> None:
    assert plan(FIVE, voters=_voters(), down=(), restarting=FIVE, serial="2").risk is None
    refused = plan(FIVE, voters=_voters(), down=(), restarting=FIVE, serial=[1, "60%"]).risk
    assert refused is not None
    assert refused.startswith("node2, node3, node4 would be down at once: ")
    assert plan(FIVE, voters=_voters(), down=["node1"], restarting=FIVE[1:], serial=[1, 2]).risk is None, (
        "the first batch brings node1 back"
    )
    warned = plan(FIVE[:3], voters=_voters(FIVE[:3], declared=False), down=["node3"], restarting=FIVE[:2])
    assert (warned.serial, warned.risk, bool(warned.warning)) == (1, None, True)
    alone = plan(FIVE[:3], voters=_voters(FIVE[:3]), down=["node3"], restarting=FIVE[:2]).risk
    assert alone is not None
    assert "bring those back first, with --limit node3" in alone


@pytest.mark.parametrize(
    ("serial", "sizes"), [(2, [2, 2, 1]), ("40%", [2, 2, 1]), ("1%", [1] * 5), (0, [5]), ([1, "3"], [1, 3, 1])]
)
def test_batches_are_those_that_ansible_makes(serial: object, sizes: list[int]) -> None:
    assert [len(batch) for batch in batches(FIVE, serial)] == sizes


def test_half_of_two_hundred_hosts_are_a_hundred() -> None:
    assert [len(batch) for batch in batches([f"node{number}" for number in range(200)], "50%")] == [100, 100]


def test_what_makes_a_restart_safe_is_said_in_the_terms_of_whoever_runs_it() -> None:
    ours = "or run blixard.fleet.site, which works it out"
    assert safer(_voters(), ()) == "set blixard_serial to 2 or less"
    assert safer(_voters(), (), own_play=True) == f"give the play `serial: 2`, {ours}"
    three = _voters(FIVE[:3])
    assert safer(three, ()) == "set blixard_serial to 1 or less"
    assert safer(three, (), own_play=True) == f"give the play `serial: 1`, {ours}"
    guessed = _voters(FIVE[:2], declared=False)
    assert safer(guessed, (), own_play=True) == f"give the play `serial: 1`, {ours}"
    first = "bring those back first, with --limit node1,node2 if they are only to be started"
    assert safer(_voters(), FIVE[:2], own_play=True) == safer(_voters(), FIVE[:2]) == first


@pytest.mark.parametrize("serial", ["", "two", -1, 1.5, "1e9", [[]], "½"])
def test_what_is_no_size_of_a_batch_is_named(serial: object) -> None:
    with pytest.raises(InputError, match=r"blixard_serial: .* is no size of a batch; set a number of hosts"):
        batches(FIVE, serial)


def test_nobody_leaves_who_would_take_the_quorum_along() -> None:
    assert _leaving(set(), {"node1", "node2"}) is None
    assert "3 of 5 voters" in (_leaving(set(), {"node1", "node2", "node3"}) or "")
    assert _leaving({"node5"}, {"node5"}) is None, "the dead may always go"
    assert _leaving({"node4", "node5"}, {"node4"}) is None
    assert _leaving({"node3"}, {"node3"}, FIVE[:3]) is None
    assert "2 of 3 voters" in (_leaving({"node3"}, {"node1"}, FIVE[:3]) or "")
    assert _leaving(set(), {"node1"}, FIVE[:2]) is None, "there is no other way for two"
    assert _leaving({"node2"}, {"node1"}, FIVE[:2]) == (
        "node2 is down, and the quorum of those who would stay (node2) bears 0; wait"
    )
    assert _leaving({"node2"}, {"reader"}, FIVE[:2]) is None, "who does not vote is no loss"


@given(names, some, some)
def test_after_a_departure_those_who_stay_have_their_quorum(
    voters: tuple[str, ...], down: set[str], leaving: set[str]
) -> None:
    staying = set(voters) - leaving
    refused: Collection[str] | None = _leaving(down & set(voters), leaving, voters)
    if refused is None and leaving & set(voters) and staying:
        assert 2 * len(staying - down) > len(staying)
