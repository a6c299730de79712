# SPDX-License-Identifier: MIT
"""What a voter holds back while another is to lead, and what it says of a command whose outcome it does not know."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.unit.raft.cluster import CLUSTER

from blixard.clock import SystemClock
from blixard.dialling.protocols import Connection
from blixard.errors import InputError
from blixard.raft.engine import BEHIND, Outputs, Proposal, View
from blixard.raft.service import RaftService, Unknown, VoterSettings

LEADS = View(
    role="leader",
    leader=1,
    term=3,
    last_index=7,
    commit_index=7,
    applied_index=7,
    members=frozenset({1, 2, 3}),
    matched={},
    journal_entries=7,
    genesis="g",
    admitted={1: "a", 2: "b", 3: "c"},
    is_open=True,
    entries=0,
)
FOLLOWS = dataclasses.replace(LEADS, role="follower", leader=2)
COMMAND = (2, {"type": "apply_command", "command": b""})
ANSWER = (2, {"type": "next_node_idx"})


class Alone:
    """A mesh without anybody."""

    def connection(self, node_id: int) -> Connection | None:
        return None

    def want(self, node_ids: Collection[int]) -> None:
        pass


@pytest.fixture
async def voter(tmp_path: Path) -> RaftService:
    settings = VoterSettings(node_id=1, cluster=CLUSTER, expected=frozenset({1, 2, 3}), folder=tmp_path / "raft")
    service = RaftService(settings, Alone(), clock=SystemClock(), rng=Random(1))
    service.state, service.view = "running", LEADS
    return service


def stepped(voter: RaftService, view: View, transfer: str | None = None) -> None:
    """The engine has made a step."""
    voter._hand_out(Outputs([], [], view, [], transfer))


async def test_no_command_comes_into_the_log_until_the_other_leads(voter: RaftService) -> None:
    proposal = Proposal(1, b"")
    voter._proposals, voter._inbox = [proposal], [COMMAND, ANSWER]
    moving = asyncio.create_task(voter.transfer(2, timeout=20.0))
    await asyncio.sleep(0)

    inputs = voter._take_inputs()
    assert (inputs.transfer_to, inputs.proposals, inputs.messages) == (2, [], [ANSWER])
    stepped(voter, LEADS, BEHIND)
    assert voter._take_inputs().transfer_to == 2, "it is asked again while the other is behind"
    stepped(voter, LEADS)
    inputs = voter._take_inputs()
    assert (inputs.transfer_to, inputs.proposals, inputs.messages) == (None, [], []), "it was told to lead"

    stepped(voter, FOLLOWS)
    inputs = voter._take_inputs()
    assert (inputs.proposals, inputs.messages) == ([proposal], [COMMAND])
    assert await moving == 2


async def test_a_voter_that_cannot_lead_is_named_at_once(voter: RaftService) -> None:
    moving = asyncio.create_task(voter.transfer(2, timeout=20.0))
    await asyncio.sleep(0)
    stepped(voter, LEADS, "this node does not lead")
    with pytest.raises(InputError, match="this node does not lead"):
        await moving


async def test_a_command_that_was_given_to_somebody_is_unknown_also_when_this_voter_then_stops(
    voter: RaftService, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception] = [Unknown("the leader has changed"), InputError("this voter does not run")]

    async def once(*_: Any, **__: Any) -> None:
        raise answers.pop(0)

    monkeypatch.setattr(voter, "once", once)
    with pytest.raises(Unknown, match="the leader has changed; then: this voter does not run"):
        await voter.propose(b"", timeout=20.0)


async def test_a_command_that_was_given_to_nobody_is_refused(voter: RaftService) -> None:
    voter.state, voter.reason = "forming", "looking for the other voters"
    with pytest.raises(InputError, match="this voter does not run: looking for the other voters"):
        await voter.propose(b"", timeout=20.0)
