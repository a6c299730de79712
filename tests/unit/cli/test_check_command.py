# SPDX-License-Identifier: MIT
"""`blixard check`: what it prints of a node's answer, and what it exits with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.run import Ran, blixard

from blixard.agent.connectivity import Edge, Outcome, report
from blixard.agent.control_server import ControlServer, Tell
from blixard.dialling.protocols import DialError

WELL = Outcome(reached=True, id_matched=True, admitted=True, path="direct", rtt_ms=0.7)


def lost(kind: str) -> Outcome:
    return Outcome(reached=False, id_matched=False, admitted=False, error=DialError(kind, "no answer"))


async def checked(data_dir: Path, *outcomes: Outcome, words: tuple[str, ...] = ()) -> tuple[Ran, Mapping[str, Any]]:
    """Run the command against a node that answers so; return what it printed, and what the node was asked."""
    asked: list[Mapping[str, Any]] = []

    async def check(request: Mapping[str, Any], _: Tell) -> dict[str, Any]:
        asked.append(request)
        node: dict[str, Any] = {"node_id": 1, "iroh_node_id": None, "agent": "running", "problems": []}
        return report("test", [node], [Edge(1, to, outcome, 1, 0.1) for to, outcome in enumerate(outcomes, 2)])

    server = ControlServer(data_dir, {"check": check})
    await server.start()
    try:
        ran = await asyncio.to_thread(blixard, "check", "--data-dir", data_dir, *words)
    finally:
        await server.stop()
    return ran, asked[0]


async def test_peers_that_were_all_reached_are_exit_0(tmp_path: Path) -> None:
    ran, _ = await checked(tmp_path, WELL, WELL)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "2 of 2 peers reached, 0 do not let this node in"


async def test_a_peer_that_was_not_reached_is_exit_1(tmp_path: Path) -> None:
    ran, _ = await checked(tmp_path, WELL, lost("timeout"))
    assert (ran.code, ran.err) == (1, "")


async def test_a_peer_of_which_nothing_could_be_told_is_exit_1_with_words_of_its_own(tmp_path: Path) -> None:
    ran, _ = await checked(tmp_path, WELL, lost("too_slow"))
    assert ran.code == 1
    assert ran.err == (
        "blixard: 1 could not be told: this machine was too busy; check fewer at once (--sample), or when it has less"
        " to do\n"
    )


@pytest.mark.parametrize(
    ("words", "sample"),
    [((), "all"), (("--sample", "auto"), "auto"), (("--sample", "3"), 3), (("--sample", "0"), "all")],
)
async def test_the_node_is_asked_for_the_sample_that_was_named(
    tmp_path: Path, words: tuple[str, ...], sample: str | int
) -> None:
    _, asked = await checked(tmp_path, WELL, words=words)
    assert asked["sample"] == sample
