# SPDX-License-Identifier: MIT
"""Cuts that heal. Longer ones, and larger meshes: `python -m tests.simulation --heal`, figures in docs/faults.md."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from tests.simulation.bounds import HEALED_WITHIN, most_dials_a_second, most_probes_a_second
from tests.simulation.heal import Healing, Shape, simulate_cut, simulate_flapping
from tests.simulation.virtual_time import run

from blixard.dialling.pace import MAX_DIALS
from blixard.dialling.search import ROUND_GAP, ROUND_WAIT


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No log lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("shape", ["half", "one", "islands"])
@pytest.mark.parametrize(
    ("members", "seconds"), [(2, 60), (2, 900), (2, 86_400), (5, 60), (5, 900), (5, 3600), (20, 60), (20, 900)]
)
def test_all_edges_of_a_small_mesh_are_back_within_thirty_seconds_however_long_the_cut(
    members: int, seconds: float, shape: Shape
) -> None:
    for seed in range(3):
        healed = run(simulate_cut(seed=seed, members=members, shape=shape, seconds=seconds))
        assert healed.edges > 0
        assert healed.whole_after <= HEALED_WITHIN, seed
        assert healed.most_in_flight <= MAX_DIALS


@pytest.mark.parametrize(("members", "shape", "seconds"), [(64, "half", 600), (64, "one", 900), (200, "islands", 300)])
def test_the_same_holds_for_all_that_a_node_dials_at_most_and_the_dials_stay_below_their_limit(
    members: int, shape: Shape, seconds: float
) -> None:
    healed = run(simulate_cut(seed=1, members=members, shape=shape, seconds=seconds))
    assert healed.whole_after <= HEALED_WITHIN
    assert healed.node_peak <= most_probes_a_second()
    assert healed.mesh_peak <= most_probes_a_second()
    assert healed.steady <= 60.0 / ROUND_GAP + 1


def test_after_a_short_cut_the_dials_stay_below_what_a_loss_may_cost() -> None:
    healed = run(simulate_cut(seed=1, members=64, shape="half", seconds=60))
    assert healed.whole_after <= HEALED_WITHIN
    assert healed.node_peak <= most_dials_a_second(32, answered=False)


def test_a_dead_peer_costs_each_of_the_others_a_dial_for_each_turn_of_its_round() -> None:
    async def main() -> float:
        healing = Healing(seed=1, members=10)
        await healing.begin()
        dead, *others = healing.hosts
        dead.fails_fast = True
        healing.network.crash(dead)
        await healing.schedulers[0].stop()
        await asyncio.sleep(900)
        healing.network.dials.clear()
        await asyncio.sleep(3600)
        dials = len(healing.network.dials) / len(others)
        await healing.stop()
        return dials

    # One that is refused at once; one that times out holds up its next turn by the ten seconds of the dial.
    assert 3600 / ROUND_WAIT[1] <= run(main()) <= 3600 / ROUND_WAIT[0]


def test_a_link_that_flaps_makes_no_storm() -> None:
    most, mean = run(simulate_flapping(seed=1, members=40, seconds=3600, up=20, down=40))
    assert most <= most_dials_a_second(39, answered=False)
    assert mean <= MAX_DIALS / 10 + 1
