# SPDX-License-Identifier: MIT
"""Managers that dial each other. BLIXARD_SIMULATION multiplies the simulated time."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.simulation.hub import HOUR, Findings
from tests.simulation.mesh import simulate_mesh
from tests.simulation.virtual_time import run

from blixard.dialling.pace import MAX_DIALS

SCALE = float(os.environ.get("BLIXARD_SIMULATION", "1"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log lines of simulated hours would fill the memory of the test run."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def lived(seed: int, members: int, hours: float) -> Findings:
    """What such a run shows; it asserts by itself that edges come back in time and that a whole mesh is quiet."""
    return run(simulate_mesh(seed=seed, members=members, seconds=hours * HOUR * SCALE))


@pytest.mark.parametrize("seed", range(6))
def test_all_edges_are_back_within_the_longest_wait_and_a_whole_mesh_is_quiet(seed: int) -> None:
    findings = lived(seed, members=9, hours=8)
    assert {"crash", "restart", "move", "cut", "break", "join"} == findings.troubles.keys()
    assert findings.most_in_flight <= MAX_DIALS


def test_the_same_holds_for_fifty_managers() -> None:
    findings = lived(seed=1, members=50, hours=2)
    assert findings.most_in_flight <= MAX_DIALS
    assert findings.events["connected"] > 50 * 49


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--members", "6", "--hours", "3", "--seed", "4", "--digest"]
    digests = [
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in ("1", "2")
    ]
    assert digests[0].stdout == digests[1].stdout != ""
