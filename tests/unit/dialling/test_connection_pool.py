# SPDX-License-Identifier: MIT
"""Which of two connections of a pair stays."""

from __future__ import annotations

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st
from tests.simulation.network import Network, SimConnection, endpoint
from tests.unit.dialling.stand import simulate

from blixard.dialling.connection_pool import SIMULTANEOUS, ConnectionPool, newer_stays

SMALL, GREAT = sorted(endpoint(0, number) for number in (1, 2))
AGES = st.floats(0, SIMULTANEOUS)


@given(AGES, st.booleans(), st.booleans())
@example(15.0, False, False)
def test_both_sides_keep_the_one_that_the_greater_id_dialled_whatever_they_saw_first(
    age: float, small_saw_own_first: bool, great_saw_own_first: bool
) -> None:
    def kept_dialler(own_is_small: bool, saw_own_first: bool) -> str:
        newer = newer_stays(
            own=SMALL if own_is_small else GREAT,
            peer=GREAT if own_is_small else SMALL,
            older_is_ours=saw_own_first,
            newer_is_ours=not saw_own_first,
            older_age=age,
        )
        ours_stays = newer != saw_own_first
        return "small" if ours_stays == own_is_small else "great"

    assert kept_dialler(True, small_saw_own_first) == kept_dialler(False, great_saw_own_first) == "great"


def test_a_second_call_of_the_same_side_replaces_the_first_since_its_dialler_lost_that() -> None:
    assert newer_stays(own=GREAT, peer=SMALL, older_is_ours=False, newer_is_ours=False, older_age=0.1)


def test_a_call_long_after_means_that_the_peer_lost_the_older_connection() -> None:
    age = SIMULTANEOUS + 0.1
    assert newer_stays(own=GREAT, peer=SMALL, older_is_ours=True, newer_is_ours=False, older_age=age)


def test_a_call_at_the_same_time_from_the_smaller_id_does_not_replace_ours() -> None:
    assert not newer_stays(own=GREAT, peer=SMALL, older_is_ours=True, newer_is_ours=False, older_age=1.0)


@simulate
async def test_a_pool_that_is_closed_closes_its_connections_and_returns_when_they_are_over() -> None:
    network = Network(0)
    me, other = network.add(1), network.add(2)
    lost: list[str] = []
    pool = ConnectionPool(own=me.endpoint_id, clock=network.clock, on_lost=lambda _, reason: lost.append(reason))
    connection = SimConnection(network, me, other)
    assert pool.offer(connection, is_ours=True)

    await pool.close("stopped")

    assert not connection.is_live
    assert other.endpoint_id not in pool
    assert lost == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@simulate
async def test_a_connection_that_never_says_that_it_is_closed_does_not_hold_up_the_end() -> None:
    class Deaf(SimConnection):
        async def closed(self) -> str:
            await asyncio.Event().wait()
            return ""

    network = Network(0)
    me, other = network.add(1), network.add(2)
    pool = ConnectionPool(own=me.endpoint_id, clock=network.clock, on_lost=lambda _, __: None)
    pool.offer(Deaf(network, me, other), is_ours=True)
    await asyncio.sleep(0)

    await pool.close("stopped")

    assert asyncio.all_tasks() == {asyncio.current_task()}
