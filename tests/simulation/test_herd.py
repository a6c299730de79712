# SPDX-License-Identifier: MIT
"""What follows when everything is lost at once: no herd."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from tests.simulation.bounds import longest_wait, most_dials_a_second, peak
from tests.simulation.hub import Hub
from tests.simulation.mesh import Mesh
from tests.simulation.network import Network
from tests.simulation.virtual_time import run

from blixard.dialling.backoff import loss_window


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No log lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def make_fast(network: Network) -> None:
    """Let answers come at once, so that the slots hold nothing back and the jitter alone spreads the dials."""
    network.latency = lambda: 1e-4  # type: ignore[method-assign]


async def dials_after_losing_everything(peers: int, *, answered: bool) -> list[float]:
    """When a manager dials after all its connections were lost at one moment; seconds after that moment."""
    hub = Hub(seed=peers, peers=peers)
    make_fast(hub.network)
    hub._tell_sources()
    await hub.manager.start()
    await asyncio.sleep(120)
    lost_at = hub.clock.now()
    for host in hub.hosts:
        host.is_up, host.fails_fast = answered, True
        for end in tuple(host.ends):
            end.other.end("lost") if end.other is not None else None
            end.end("lost")
    await asyncio.sleep(120)
    await hub.manager.stop()
    return [at - lost_at for at, _, _ in hub.network.dials if at >= lost_at]


@pytest.mark.parametrize("peers", [10, 64, 100, 1000])
def test_when_all_peers_answer_the_dials_are_spread_over_the_window(peers: int) -> None:
    dials = run(dials_after_losing_everything(peers, answered=True))
    assert len(dials) == peers
    assert max(dials) <= loss_window(peers) + 0.01
    assert peak(dials) <= min(peers, most_dials_a_second(peers, answered=True))


@pytest.mark.parametrize("peers", [10, 64, 100, 1000])
def test_when_no_peer_answers_the_peak_stays_under_five_times_that(peers: int) -> None:
    dials = run(dials_after_losing_everything(peers, answered=False))
    assert len(dials) > 5 * peers
    assert peak(dials) <= most_dials_a_second(peers, answered=False)


def test_a_node_that_comes_back_is_not_run_over_by_its_mesh() -> None:
    async def main() -> list[float]:
        mesh = Mesh(seed=3, members=40)
        make_fast(mesh.network)
        mesh._publish()
        await asyncio.gather(*(member.start() for member in mesh.members))
        await asyncio.sleep(120)
        host = mesh.members[0].host
        lost_at = mesh.network.clock.now()
        mesh.network.move(host, host.address)
        await asyncio.sleep(longest_wait())
        assert len(host.ends) == 39
        await asyncio.gather(*(member.stop() for member in mesh.members))
        return [at - lost_at for at, _, whom in mesh.network.dials if whom == host.endpoint_id and at >= lost_at]

    assert peak(run(main())) <= most_dials_a_second(39, answered=True)
