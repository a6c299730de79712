# SPDX-License-Identifier: MIT
"""One manager through days of trouble. BLIXARD_SIMULATION multiplies the simulated time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from tests.simulation.hub import HOUR, Findings, simulate_hub
from tests.simulation.virtual_time import run

from blixard.dialling.pace import MAX_DIALS

SCALE = float(os.environ.get("BLIXARD_SIMULATION", "1"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log lines of simulated days would fill the memory of the test run."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def lived(seed: int, peers: int, hours: float) -> Findings:
    """What such a run shows; it asserts by itself that no healthy peer is apart for too long."""
    return run(simulate_hub(seed=seed, peers=peers, seconds=hours * HOUR * SCALE))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_healthy_peer_is_apart_beyond_the_longest_wait_through_days(seed: int) -> None:
    findings = lived(seed, peers=60, hours=24)
    assert findings.most_in_flight <= MAX_DIALS
    # Else the run proves nothing.
    assert {"crash", "restart", "move", "impostor", "flap", "cut"} <= findings.troubles.keys()
    assert {"circuit_opened", "circuit_half_open", "circuit_closed", "quarantined"} <= findings.events.keys()


def test_the_same_holds_for_a_thousand_peers() -> None:
    findings = lived(seed=5, peers=1000, hours=48)
    assert findings.most_in_flight == MAX_DIALS
    assert findings.events["connected"] > 1000


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    first, again, other = (lived(seed, peers=100, hours=6) for seed in (7, 7, 8))
    assert first.trace == again.trace
    assert first.dials == again.dials
    assert first.trace != other.trace
