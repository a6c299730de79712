# SPDX-License-Identifier: MIT
"""A gate waits for the mesh's own connections, over a real control socket: a dial of the check is not enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blixard.agent.control_server import ControlServer, Tell
from blixard.fleet.check import check


class Node:
    """Answers as a node does that reaches three peers, and is connected to those of `states` by and by."""

    def __init__(self, *states: dict[int, str]) -> None:
        self.states = list(states)

    async def check(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        edges = [{"to": to, "reached": to != 4, "admitted": to != 4} for to in (2, 3, 4)]
        return {"nodes": [{"problems": []}], "edges": edges}

    async def status(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        # Node 5 is no neighbour in a sparse mesh, and node 4 was not reached.
        states = {**now, 4: "backing_off", 5: "discovered"}
        return {"peers": [{"node_id": n, "state": state, "wanted": n != 5} for n, state in states.items()]}


async def info(_: Mapping[str, Any], __: Tell) -> dict[str, Any]:
    return {"config_sha256": "ab" * 32}


async def _problems(data_dir: Path, node: Node, *, timeout: float = 0.0, **wanted: Any) -> list[str]:
    server = ControlServer(data_dir, {"check": node.check, "status": node.status, "info": info})
    await server.start()
    try:
        report = await asyncio.to_thread(
            check, data_dir, config=None, timeout=timeout, sample="all", **{"settle": True, **wanted}
        )
    finally:
        await server.stop()
    problems: list[str] = report["nodes"][0]["problems"]
    return problems


async def test_it_waits_until_there_is_a_connection_to_every_peer_that_was_reached(tmp_path: Path) -> None:
    node = Node({2: "connected", 3: "connecting"}, {2: "connected", 3: "backing_off"}, {2: "connected", 3: "connected"})

    assert await _problems(tmp_path, node, timeout=60.0) == []
    assert node.states == [{2: "connected", 3: "connected"}]


async def test_peers_that_stay_apart_are_named_with_their_state(tmp_path: Path) -> None:
    node = Node({2: "open", 3: "connected"})

    assert await _problems(tmp_path, node, timeout=0.0) == ["has no connection to node 2 yet: open"]


async def test_a_check_that_is_no_gate_does_not_ask(tmp_path: Path) -> None:
    assert await _problems(tmp_path, Node({2: "open", 3: "open"}), timeout=0.0, settle=False) == []


async def test_a_node_that_runs_with_the_settings_of_another_run_is_no_good(tmp_path: Path) -> None:
    node = Node({2: "connected", 3: "connected"})
    assert await _problems(tmp_path, node, config_sha256="ab" * 32) == []
    (problem,) = await _problems(tmp_path, node, config_sha256="cd" * 32)
    assert problem.startswith("runs with other settings than this run gave it")
