# SPDX-License-Identifier: MIT
"""The faults: each one breaks a cluster under load, mends it, and returns when the voters agree again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.nodes import eventually
from tests.raft.cluster import Cluster
from tests.raft.load import Load

from blixard.agent.control_client import AgentError

Fault = Callable[[Cluster, Load], None]

SOME = 60
"""Writes that are acknowledged while a fault lasts, where some can be."""


def nothing(cluster: Cluster, load: Load) -> None:
    """No fault: what the load alone comes to."""


def leader_killed(cluster: Cluster, load: Load) -> None:
    """The leader is killed, and comes back when the others have written for a while."""
    leader = cluster.leader()
    cluster.kill(leader)
    cluster.leader(*_others(cluster, leader), not_=leader)
    load.more(SOME)
    cluster.start(leader)
    cluster.leader()


def leader_paused(cluster: Cluster, load: Load) -> None:
    """The leader stands still, another one is elected, and the old one goes on as if nothing had been."""
    leader = cluster.leader()
    cluster.pause(leader)
    try:
        cluster.leader(*_others(cluster, leader), not_=leader)
        load.more(SOME)
    finally:
        cluster.go_on(leader)
    cluster.leader()


def cut_in_two(cluster: Cluster, load: Load) -> None:
    """The leader and as many others as make no majority are cut off: they acknowledge nothing."""
    leader = cluster.leader()
    majority = len(cluster.voters) // 2 + 1
    many = _others(cluster, leader)[:majority]
    few = set(cluster.voters) - set(many)
    cluster.cut(few)
    start = time.monotonic()
    try:
        cluster.leader(*many, not_=leader)
        load.more(SOME)
        end = time.monotonic()
    finally:
        cluster.heal()
    early = load.answered_within(few, start, end)
    assert not early, f"{len(early)} operations acknowledged by those cut off, such as {early[:2]}; cut at {start:.3f}"
    cluster.leader()
    for number in few:
        load.more(1, at=number)


def all_killed(cluster: Cluster, load: Load) -> None:
    """All voters lose their power at once, and come back at once."""
    cluster.kill(*cluster.voters)
    cluster.start()
    cluster.leader()


def all_killed_again_and_again(cluster: Cluster, load: Load) -> None:
    """The same, five times, while the voters are electing and writing."""
    for _ in range(5):
        all_killed(cluster, load)
        load.more(SOME)


def journal_cut(cluster: Cluster, load: Load) -> None:
    """A follower loses its power while it writes its journal: half a line more stands at the end."""
    follower = _others(cluster, cluster.leader())[0]
    cluster.kill(follower)
    journal = cluster.raft_folder(follower) / "journal"
    last = journal.read_bytes().splitlines(keepends=True)[-1]
    with journal.open("ab") as file:
        file.write(last[: len(last) // 2])
    load.more(SOME)
    cluster.start(follower)
    cluster.leader()
    load.more(1, at=follower)


def journal_damaged(cluster: Cluster, load: Load) -> None:
    """A disk garbles what was synced: the voter says so in a line and does not vote, until it is replaced."""
    follower = _others(cluster, cluster.leader())[0]
    cluster.kill(follower)
    _garble(cluster.raft_folder(follower) / "journal")
    load.more(SOME)
    cluster.start(follower)
    reason = eventually(lambda: (s := cluster.status(follower)) and s["state"] == "failed" and str(s["reason"]))
    assert "journal" in str(reason), reason
    assert "\n" not in str(reason), reason
    cluster.kill(follower)
    _replace(cluster, load, follower)


def disk_full(cluster: Cluster, load: Load) -> None:
    """The disk of the leader is full for a while: others lead, and it votes again when there is room."""
    leader = cluster.leader()
    filler = cluster.raft_folder(leader) / "filler"
    _fill(filler)
    try:
        eventually(lambda: (s := cluster.status(leader)) and s["state"] == "failed")
        cluster.leader(*_others(cluster, leader), not_=leader)
        load.more(SOME)
    finally:
        filler.unlink()
    cluster.leader()
    load.more(1, at=leader)


def voter_replaced(cluster: Cluster, load: Load) -> None:
    """A follower dies with its disk; it is removed, and added again as a new voter."""
    follower = _others(cluster, cluster.leader())[0]
    cluster.kill(follower)
    _replace(cluster, load, follower)


def leadership_moved(cluster: Cluster, load: Load) -> None:
    """Each voter in turn is made the leader, under steady writes."""
    for number in cluster.voters:
        eventually(lambda number=number: _leads(cluster, number))  # type: ignore[misc]
        load.more(SOME)


def clock_set_back(cluster: Cluster, load: Load) -> None:
    """The clocks of all hosts go back by an hour, and later to where they were."""
    cluster.set_clock(-3600)
    load.more(SOME * 3)
    cluster.set_clock(0)
    load.more(SOME)
    cluster.leader()


def one_after_the_other(cluster: Cluster, load: Load) -> None:
    """Each voter is killed and started again while the others write, as an upgrade would."""
    for number in cluster.voters:
        cluster.kill(number)
        load.more(SOME)
        cluster.start(number)
        cluster.leader()


FAULTS: dict[str, Fault] = {
    "none": nothing,
    "leader killed (SIGKILL), restarted later": leader_killed,
    "leader paused (SIGSTOP) until another leads": leader_paused,
    "leader and another one cut off from the other three; heal": cut_in_two,
    "all voters killed at once, restarted at once": all_killed,
    "the same five times": all_killed_again_and_again,
    "each voter killed and restarted in turn": one_after_the_other,
    "power of a voter lost while it wrote its journal": journal_cut,
    "synced line of a voter's journal garbled; voter replaced": journal_damaged,
    "disk of the leader full for a while": disk_full,
    "voter lost with its disk, removed and added": voter_replaced,
    "leadership moved to each voter": leadership_moved,
    "clock of all hosts set back by an hour, and forth": clock_set_back,
}


def _leads(cluster: Cluster, number: int) -> bool:
    """Ask for a voter to lead; tell whether it does."""
    leader = cluster.agreed()
    if leader in (None, number):
        return leader == number
    try:
        return str(cluster.do(int(leader or 0), "raft-transfer", node_id=number)["outcome"]) in ("done", "unchanged")
    except AgentError:
        return False


def _others(cluster: Cluster, number: int) -> list[int]:
    return [each for each in cluster.voters if each != number]


def _replace(cluster: Cluster, load: Load, number: int) -> None:
    for file in cluster.raft_folder(number).iterdir():
        file.unlink()
    load.more(SOME)
    cluster.start(number)
    eventually(lambda: (s := cluster.status(number)) and s["state"] == "out")
    cluster.change_voters("remove", number)
    cluster.change_voters("add", number)
    cluster.leader()
    load.more(1, at=number)


def _garble(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    lines[middle] = lines[middle][:-10] + b"garbled..\n"
    journal.write_bytes(b"".join(lines))


def _fill(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (4096, 1):
            try:
                while os.write(descriptor, bytes(size)):
                    pass
            except OSError:
                continue
    finally:
        os.close(descriptor)
