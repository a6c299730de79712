# SPDX-License-Identifier: MIT
"""Raft between real nodes: they form one cluster, keep what they acknowledged, and say who leads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.integration.nodes import Ended, MakeNode, Node, blixard, eventually, give_peers

from blixard.agent.control_client import ask
from blixard.documents.peers_file import read_peers
from blixard.documents.record import read_record
from blixard.documents.registry_file import write_registry
from blixard.documents.schemas import validate
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def fleet(nodes: list[Node]) -> list[Node]:
    """Give each a key, and all of them the same peers file."""
    give_peers(nodes, [node.make_identity() for node in nodes])
    return nodes


def state(node: Node) -> dict[str, Any]:
    answer: dict[str, Any] = ask(node.data_dir, "raft-status")
    return answer


def start(node: Node, voters: Collection[int]) -> Node:
    return node.start("--admission", "known", "--raft", "true", "--raft-voters", ",".join(map(str, voters)))


def leader_of(nodes: Sequence[Node]) -> Node:
    """Wait until all of them say that the same one leads, and that the registry takes entries."""

    def agreed() -> Node | None:
        states = [state(node) for node in nodes]
        leaders = {each["leader"] for each in states}
        found = [node for node in nodes if {node.number} == leaders]
        return found[0] if found and all(each["is_open"] for each in states) else None

    leader = eventually(agreed)
    assert leader is not None
    return leader


def raft(node: Node, *words: object) -> Ended:
    return blixard("raft", words[0], "--data-dir", node.data_dir, *words[1:])


def comes_to(node: Node, wanted: str) -> dict[str, Any]:
    """Wait until a voter is in this state, and return its status."""
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        seen[:] = [state(node)]
        return bool(seen[0]["state"] == wanted)

    try:
        eventually(look, within=30)
    except AssertionError:
        raise AssertionError(f"not {wanted}: {seen}\n{node.log[-2000:]}") from None
    return seen[0]


def entry_file(folder: Path, number: int, port: int = 7001) -> Path:
    """The attested registry file of some node."""
    key = SecretKey.from_bytes(bytes([number]) * 32)
    made = NodeRegistryEntry(number, key.public().base64, (f"192.0.2.{number}:{port}",), None, f"192.0.2.{number}:1")
    path = folder / f"host{number}.json"
    write_registry(path, attest(made, key, cluster="blixard", now=NOW))
    return path


def test_five_voters_of_which_two_are_late_form_one_cluster(node: MakeNode) -> None:
    nodes = fleet([node(number) for number in range(1, 6)])
    voters = [each.number for each in nodes]
    early, late = nodes[:3], nodes[3:]
    start(nodes[0], voters)
    waiting = eventually(lambda: state(nodes[0])["reason"])
    assert "are needed" in waiting
    for each in early[1:]:
        start(each, voters)
    leader_of(early)
    for each in late:
        start(each, voters)
    leader_of(nodes)
    assert len({state(each)["genesis"] for each in nodes}) == 1
    validate("raft-status", state(nodes[0]))


def test_what_was_acknowledged_is_there_after_the_leader_is_killed_and_after_all_are(
    node: MakeNode, tmp_path: Path
) -> None:
    nodes = fleet([node(number) for number in (1, 2, 3)])
    for each in nodes:
        start(each, [1, 2, 3])
    leader = leader_of(nodes)
    follower = next(each for each in nodes if each is not leader)
    assert raft(leader, "put", entry_file(tmp_path, 11)).code == 0
    assert raft(follower, "put", entry_file(tmp_path, 12)).code == 0
    got = raft(follower, "get", 11, "--json")
    assert got.document["name"] == "host11"
    validate("raft-answer", got.document)

    leader.kill()
    left = [each for each in nodes if each is not leader]
    second = leader_of(left)
    assert raft(second, "put", entry_file(tmp_path, 13)).code == 0

    for each in left:
        each.kill()
    for each in nodes:
        start(each, [1, 2, 3])
    leader_of(nodes)
    assert [raft(leader, "get", number).code for number in (11, 12, 13, 14)] == [0, 0, 0, 1]

    record, peers = tmp_path / "record", tmp_path / "peers.json"
    assert raft(leader, "export", "--registry-dir", record, "--peers", peers).code == 0
    assert sorted(read_record(record)) == ["host11", "host12", "host13"]
    built = tmp_path / "built.json"
    assert blixard("peers", "build", "--registry-dir", record, "--out", built).code == 0
    assert peers.read_bytes() == built.read_bytes()
    assert [peer.node_id for peer in read_peers(peers)] == [11, 12, 13]


def test_without_a_majority_nothing_is_acknowledged(node: MakeNode, tmp_path: Path) -> None:
    nodes = fleet([node(number) for number in (1, 2, 3)])
    for each in nodes:
        start(each, [1, 2, 3])
    leader = leader_of(nodes)
    for each in nodes:
        if each is not leader:
            each.kill()
    ended = raft(leader, "put", entry_file(tmp_path, 11), "--timeout", 2)
    assert ended.code == 1
    assert "may or may not" in ended.err


def test_voters_change_one_at_a_time_and_the_leadership_moves(node: MakeNode, tmp_path: Path) -> None:
    nodes = fleet([node(number) for number in (1, 2, 3, 4)])
    old, new = nodes[:3], nodes[3]
    for each in old:
        start(each, [1, 2, 3])
    leader = leader_of(old)
    assert raft(leader, "put", entry_file(tmp_path, 11)).code == 0
    start(new, [1, 2, 3, 4])
    eventually(lambda: "blixard raft members add 4" in str(state(new)["reason"]))
    eventually(lambda: raft(leader, "members", "add", 4).code == 0)
    leader_of(nodes)
    assert raft(new, "get", 11).code == 0

    assert raft(leader, "members", "remove", leader.number).code == 1
    assert raft(leader, "transfer", 4).code == 0
    assert leader_of(nodes) is new
    assert raft(new, "members", "remove", leader.number).code == 0
    assert leader.number not in [each["node_id"] for each in state(new)["members"]]


def test_a_voter_whose_journal_is_lost_stays_out_until_it_is_removed_and_added(node: MakeNode, tmp_path: Path) -> None:
    nodes = fleet([node(number) for number in (1, 2, 3)])
    for each in nodes:
        start(each, [1, 2, 3])
    leader = leader_of(nodes)
    lost = next(each for each in nodes if each is not leader)
    lost.kill()
    for file in (lost.data_dir / "raft").iterdir():
        file.unlink()
    start(lost, [1, 2, 3])
    assert f"members remove {lost.number}" in comes_to(lost, "out")["reason"]
    eventually(lambda: raft(leader, "members", "remove", lost.number).code == 0)
    eventually(lambda: raft(leader, "members", "add", lost.number).code == 0)
    comes_to(lost, "running")


def test_a_node_says_whom_it_waits_for_when_others_expect_other_voters(node: MakeNode) -> None:
    nodes = fleet([node(number) for number in (1, 2, 3)])
    start(nodes[0], [1, 2])
    start(nodes[1], [1, 2, 3])
    eventually(lambda: state(nodes[0])["reason"] == "not forming: node 2 expects voters 1,2,3; this node 1,2")


@pytest.mark.parametrize(
    ("words", "why"), [(["--raft", "true"], "/raft_voters"), (["--raft-voters", "1,1"], "names a voter twice")]
)
def test_settings_that_name_no_good_voters_are_refused(node: MakeNode, words: list[str], why: str) -> None:
    one = node(1)
    ended = blixard("node", "--id", 1, "--bind", f"127.0.0.1:{one.port}", "--data-dir", one.data_dir, *words)
    assert ended.code == 2
    assert why in ended.err
    assert ended.err.count("\n") == 1
