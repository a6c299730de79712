# SPDX-License-Identifier: MIT
"""What the engine may be told of a log: no entry is cut off that the leader has too."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from blixard.raft.append_guard import Entry, guard_answer, guard_append, is_of_order


def log(*terms: int, first: int = 1) -> list[Entry]:
    return [(b"x", first + place, term) for place, term in enumerate(terms)]


def append(of: list[Entry], previous: int, entries: list[Entry], term: int, commit: int = 1) -> dict[str, Any]:
    found = [entry[2] for entry in of if entry[1] == previous]
    return {
        "type": "append_entries",
        "term": term,
        "commit_index": commit,
        "prevLogIdx": previous,
        "prevLogTerm": found[0] if found else None,
        "entries": entries,
    }


def play(message: dict[str, Any], own: list[Entry]) -> list[Entry]:
    """Do what the engine does: cut everything after the previous entry, then add."""
    previous = message.get("prevLogIdx")
    if previous is None:
        return own
    found = [entry for entry in own if entry[1] == previous]
    if not found or found[0][2] != message["prevLogTerm"]:
        return own
    return [*(entry for entry in own if entry[1] <= previous), *message["entries"]]


def test_a_beat_that_comes_again_cuts_nothing() -> None:
    leader = log(0, 1, 1, 1, 1)
    guarded = guard_append(append(leader, 2, [], 1), leader, 1)
    assert guarded.message is not None
    assert play(guarded.message, leader) == leader


def test_entries_of_a_former_term_that_the_leader_did_not_mention_stay_and_are_not_committed() -> None:
    own = log(0, 1, 1, 1)
    guarded = guard_append(append(own, 2, [], 2, commit=4), own, 1)
    assert guarded.message is not None
    assert play(guarded.message, own) == own
    assert guarded.message["commit_index"] == 2
    assert guarded.answer == {"type": "next_node_idx", "next_node_idx": 3, "reset": False, "success": True}


def test_entries_that_contradict_the_leader_go() -> None:
    own, leader = log(0, 1, 1, 1), log(0, 1, 2)
    guarded = guard_append(append(leader, 1, leader[1:], 2), own, 1)
    assert guarded.message is not None
    assert play(guarded.message, own) == leader


def test_a_follower_that_lacks_entries_says_where_its_log_ends() -> None:
    own, leader = log(0, 1), log(0, 1, 1, 1, 1)
    guarded = guard_append(append(leader, 5, [], 2), own, 1)
    assert guarded.answer == {"type": "next_node_idx", "next_node_idx": 3, "reset": True, "success": False}


def test_a_follower_whose_last_term_is_wrong_asks_from_before_it() -> None:
    own, leader = log(0, 1, 1, 1), log(0, 2, 2, 2)
    guarded = guard_append(append(leader, 4, [], 3), own, 1)
    assert guarded.answer == {"type": "next_node_idx", "next_node_idx": 2, "reset": True, "success": False}


@given(data=st.data())
def test_after_any_order_of_old_and_new_messages_all_that_was_acknowledged_is_there(data: st.DataObject) -> None:
    """A leader's messages arrive in any order and several times, at a log that was another leader's."""
    shared = data.draw(st.integers(1, 4))
    leader = log(0, *sorted(data.draw(st.lists(st.integers(1, 3), min_size=6, max_size=12))))
    term = leader[-1][2] + 1
    leader += [(b"x", len(leader) + 1 + each, term) for each in range(4)]
    own = leader[:shared] + log(*[leader[shared - 1][2]] * data.draw(st.integers(0, 3)), first=shared + 1)
    acknowledged = 0
    for _ in range(data.draw(st.integers(1, 12))):
        previous = data.draw(st.integers(1, len(leader)))
        count = data.draw(st.integers(0, 5))
        message = append(leader, previous, leader[previous : previous + count], term, commit=1)
        guarded = guard_append(message, own, 1)
        if guarded.message is not None:
            before = own
            own = play(guarded.message, own)
            if guarded.answer is None and "prevLogIdx" in guarded.message and own is not before:
                acknowledged = max(acknowledged, guarded.message["prevLogIdx"] + len(guarded.message["entries"]))
        if guarded.answer is not None and guarded.answer["success"]:
            acknowledged = max(acknowledged, guarded.answer["next_node_idx"] - 1)
        assert own[:acknowledged] == leader[:acknowledged]
        assert [entry[1] for entry in own] == list(range(1, len(own) + 1))


def test_an_answer_to_a_former_leadership_counts_for_nothing_and_none_leads_beyond_the_log() -> None:
    answer = {"type": "next_node_idx", "term": 3, "next_node_idx": 90, "reset": True, "success": False}
    assert guard_answer(answer, term=4, last=7) is None
    guarded = guard_answer(answer, term=3, last=7)
    assert guarded is not None
    assert guarded["next_node_idx"] == 8


def test_entries_are_in_order_when_indexes_follow_and_terms_do_not_fall() -> None:
    assert is_of_order(log(1, 1, 2, first=5), 4)
    assert not is_of_order(log(1, 1, first=5), 3)
    assert not is_of_order(log(2, 1, first=5), 4)
    assert not is_of_order(log(1), None)
