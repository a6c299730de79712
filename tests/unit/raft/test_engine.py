# SPDX-License-Identifier: MIT
"""Real engines in one process: what is acknowledged stays, whatever is lost, repeated, killed or cut off."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.unit.raft.cluster import Voters, attested, put

from blixard.errors import InputError
from blixard.raft.codec import REGULAR, command, membership
from blixard.raft.engine import NOBODY, Inputs, Proposal, _Core
from blixard.raft.storage import Identity, Storage, parse_snapshot

COUNT = 40


@pytest.fixture
def voters(tmp_path: Path) -> Iterator[Voters]:
    made = Voters(tmp_path, [1, 2, 3])
    yield made
    for node in list(made.engines):
        made.stop(node)


def store(voters: Voters, node: int, count: int = COUNT, *, client: str = "c") -> None:
    """Put entries of `count` nodes, pipelined, until all are acknowledged."""
    waiting = {
        number: voters.propose(node, command(REGULAR, put(attested(number), client=client, number=number)))
        for number in range(1, count + 1)
    }
    voters.until(lambda: all(token in voters.results for token in waiting.values()))
    assert {str(voters.results[token]) for token in waiting.values()} == {str(({"done": True}, None))}


def read(voters: Voters, node: int) -> list[int]:
    """The node ids in the registry, read through the log."""
    found: list[int] = voters.do(node, {"op": "barrier"}, lambda machine: [each for each, _ in machine.entries()])
    return found


def _are_told(voters: Voters, tokens: set[int]) -> bool:
    return tokens <= voters.results.keys()


def same(voters: Voters) -> bool:
    return len({json.dumps(machine.to_json()) for machine in voters.machines.values()}) == 1


def test_a_command_of_a_follower_is_acknowledged_when_it_is_committed_and_read_by_all(voters: Voters) -> None:
    leader = voters.open()
    follower = next(node for node in voters.nodes if node != leader)
    store(voters, follower)
    for node in voters.nodes:
        assert read(voters, node) == list(range(1, COUNT + 1))
    voters.until(lambda: same(voters))


def test_what_was_acknowledged_survives_the_leader(voters: Voters) -> None:
    leader = voters.open()
    store(voters, leader)
    voters.stop(leader)
    second = voters.until(voters.leader)
    assert read(voters, second) == list(range(1, COUNT + 1))


def test_what_was_acknowledged_survives_the_end_of_all_at_once(voters: Voters) -> None:
    leader = voters.open()
    store(voters, leader)
    for node in voters.nodes:
        voters.stop(node)
    for node in voters.nodes:
        voters.start(node)
    assert read(voters, voters.until(voters.leader)) == list(range(1, COUNT + 1))
    voters.until(lambda: same(voters))


def test_a_minority_acknowledges_nothing_and_follows_when_it_is_back(voters: Voters) -> None:
    leader = voters.open()
    rest = [node for node in voters.nodes if node != leader]
    voters.is_cut = lambda one, other: leader in (one, other)
    token = voters.propose(leader, command(REGULAR, put(attested(99), client="alone")))
    second = voters.until(lambda: next((n for n in rest if voters.views[n].role == "leader"), None))
    store(voters, second)
    assert token not in voters.results
    voters.is_cut = lambda _, __: False
    voters.until(lambda: token in voters.results and same(voters))
    _, why = voters.results[token]
    if why is not None:
        assert 99 not in read(voters, second)


def test_a_voter_that_is_not_admitted_yet_is_admitted_by_its_own_answer_when_the_others_are_lost(
    voters: Voters,
) -> None:
    leader = voters.until(voters.leader)
    second, third = (node for node in voters.nodes if node != leader)
    voters.do(leader, {"op": "genesis", "id": "g1", "voters": voters.nodes})
    for node in (leader, second):
        voters.do(leader, {"op": "admit", "voter": node, "incarnation": voters.words[node]})
    voters.until(lambda: same(voters))
    voters.is_cut = lambda one, other: leader in (one, other)
    led = voters.until(lambda: next((n for n in (second, third) if voters.views[n].role == "leader"), None))
    if led == third:
        voters.until(lambda: voters.views[second].last_index == voters.views[third].last_index)
        voters.transfer(third, second)
        voters.until(lambda: voters.views[second].role == "leader")
    voters.do(second, {"op": "admit", "voter": third, "incarnation": voters.words[third]})
    assert voters.views[second].admitted == voters.words


def test_bursts_over_a_network_that_loses_frames_come_to_the_same_everywhere(voters: Voters) -> None:
    """The engine alone cuts off acknowledged entries here; see append_guard."""
    rng = Random(7)
    leader = voters.open()
    voters.is_lost = lambda _, __: rng.random() < 0.1
    for burst in range(5):
        bodies = [put(attested(1 + number % 200), client=f"b{burst}", number=number) for number in range(1, 400)]
        waiting = {voters.propose(leader, command(REGULAR, body)) for body in bodies}
        voters.until(partial(_are_told, voters, waiting), 60)
        leader = voters.until(voters.leader)
    voters.is_lost = lambda _, __: False
    voters.until(lambda: same(voters))
    journals = [
        {entry[1]: entry for entry in (engine._storage.journal[place] for place in range(len(engine._storage.journal)))}
        for engine in voters.engines.values()
    ]
    for index in set(journals[0]) & set(journals[1]) & set(journals[2]):
        assert journals[0][index] == journals[1][index] == journals[2][index]


def test_a_voter_that_was_away_is_brought_up_by_a_snapshot(tmp_path: Path) -> None:
    voters = Voters(tmp_path, [1, 2, 3], snapshot_entries=20)
    leader = voters.open()
    away = next(node for node in voters.nodes if node != leader)
    voters.stop(away)
    store(voters, leader, 60)
    voters.until(lambda: voters.views[leader].journal_entries < 30)
    voters.start(away)
    voters.until(lambda: same(voters))
    assert read(voters, away) == list(range(1, 61))
    assert parse_snapshot((tmp_path / str(away) / "raft" / "snapshot.json").read_bytes(), "s").members == {1, 2, 3}


def test_entries_after_a_snapshot_survive_a_crash_between_snapshot_and_journal(tmp_path: Path) -> None:
    """The engine would throw the journal away when it does not begin where the snapshot ends."""
    voters = Voters(tmp_path, [1, 2, 3])
    leader = voters.open()
    store(voters, leader, 10)
    voters.until(lambda: same(voters))
    journals = {node: (tmp_path / str(node) / "raft" / "journal").read_bytes() for node in voters.nodes}
    for engine in voters.engines.values():
        engine.snapshot()
    voters.until(lambda: all(view.journal_entries < 5 for view in voters.views.values()))
    for node in voters.nodes:
        voters.stop(node)
        path = tmp_path / str(node) / "raft" / "journal"
        path.write_bytes(journals[node] + path.read_bytes().split(b"\n", 2)[2])
    for node in voters.nodes:
        voters.start(node)
    assert read(voters, voters.until(voters.leader)) == list(range(1, 11))


def test_a_journal_whose_last_line_was_cut_off_loses_nothing_acknowledged(voters: Voters, tmp_path: Path) -> None:
    leader = voters.open()
    store(voters, leader)
    for node in voters.nodes:
        voters.stop(node)
    with (tmp_path / "1" / "raft" / "journal").open("ab") as journal:
        journal.write(b'deadbeef [99,9,0,"{\\"op\\":')
    for node in voters.nodes:
        voters.start(node)
    assert read(voters, voters.until(voters.leader)) == list(range(1, COUNT + 1))


def test_a_journal_that_is_damaged_in_the_middle_is_refused_in_one_line(voters: Voters, tmp_path: Path) -> None:
    leader = voters.open()
    store(voters, leader, 5)
    voters.stop(1)
    path = tmp_path / "1" / "raft" / "journal"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged in line"):
        voters.start(1)


def test_nothing_is_told_when_the_disk_takes_no_more(voters: Voters, monkeypatch: pytest.MonkeyPatch) -> None:
    leader = voters.open()
    store(voters, leader, 5)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    engine = voters.engines[leader]
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        engine.step(Inputs(proposals=[Proposal(9999, command(REGULAR, put(attested(77), client="full")))]))
    monkeypatch.undo()
    voters.stop(leader)
    voters.start(leader)
    second = voters.until(voters.leader)
    assert [each for each in read(voters, second) if each < 70] == [1, 2, 3, 4, 5]


def test_a_vote_is_remembered_over_a_restart(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "raft", Identity(cluster="test", node_id=1, incarnation="a"))
    storage.term, storage.vote = 7, 3
    storage.sync()
    again = Storage(tmp_path / "raft", Identity(cluster="test", node_id=1, incarnation="b"))
    assert (again.term, again.vote, again.identity.incarnation) == (7, 3, "a")


def test_files_of_another_node_or_cluster_are_refused(tmp_path: Path) -> None:
    Storage(tmp_path / "raft", Identity(cluster="test", node_id=1, incarnation="a"))
    for identity in (
        Identity(cluster="other", node_id=1, incarnation="a"),
        Identity(cluster="test", node_id=2, incarnation="a"),
    ):
        with pytest.raises(InputError, match="is of"):
            Storage(tmp_path / "raft", identity)


def test_another_incarnation_of_an_admitted_voter_is_not_heard(voters: Voters) -> None:
    leader = voters.open()
    store(voters, leader, 5)
    other = next(node for node in voters.nodes if node != leader)
    voters.until(lambda: same(voters))
    voters.words[other] = "lost"
    voters.refused.clear()
    voters.until(lambda: "another incarnation" in voters.refused)


def test_a_voter_is_added_and_another_removed_one_at_a_time(voters: Voters) -> None:
    leader = voters.open()
    store(voters, leader)
    other = next(node for node in voters.nodes if node != leader)

    def change(action: str, node: int) -> tuple[Any, str | None]:
        token = voters.propose(leader, membership(action, node))
        found: tuple[Any, str | None] = voters.until(lambda: voters.results.get(token))
        return found

    voters.words[4] = "first-4"
    assert change("add", 4)[1] is None
    voters.do(leader, {"op": "admit", "voter": 4, "incarnation": "first-4"})
    voters.start(4, voters=[1, 2, 3, 4])
    voters.until(lambda: same(voters))
    assert change("rem", other)[1] is None
    voters.until(lambda: voters.views[leader].members == voters.views[4].members == {1, 2, 3, 4} - {other})
    voters.stop(4)
    voters.start(4)
    assert voters.views[4].members == {1, 2, 3, 4} - {other}
    voters.refused.clear()
    voters.until(lambda: "not a voter" in voters.refused)  # it was not told, and calls for elections


def test_two_changes_of_the_voters_at_once_are_denied(voters: Voters) -> None:
    leader = voters.open()
    voters.until(lambda: same(voters))
    tokens = [voters.propose(leader, membership("add", node)) for node in (4, 5)]
    voters.until(lambda: all(token in voters.results for token in tokens))
    assert [voters.results[token][1] is None for token in tokens] == [True, False]


@pytest.mark.parametrize("named", [True, False])
def test_the_leadership_moves_when_it_is_told_to(voters: Voters, named: bool) -> None:
    leader = voters.open()
    store(voters, leader, 5)
    voters.until(lambda: set(voters.views[leader].matched.values()) == {voters.views[leader].last_index})
    other = next(node for node in voters.nodes if node != leader)
    voters.transfer(leader, other if named else NOBODY)
    voters.until(lambda: voters.leader() not in (None, leader))
    assert not named or voters.leader() == other
    assert read(voters, leader) == [1, 2, 3, 4, 5]


def test_the_private_names_that_are_overridden_are_the_engines(voters: Voters) -> None:
    private = [name for name in vars(_Core) if name.startswith("_SyncObj__")]
    assert private
    assert [name for name in private if not hasattr(_Core.__base__, name)] == []
