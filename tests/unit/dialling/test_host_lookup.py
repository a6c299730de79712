# SPDX-License-Identifier: MIT
"""Host names of peers at each dial."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from tests.simulation.network import Network, SimDialler
from tests.simulation.sources import SetSource
from tests.simulation.virtual_time import VirtualClock, run

from blixard.dialling.host_lookup import LOOKUP_TIMEOUT, look_up, system_lookup
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.model.addresses import HostPort
from blixard.sources.base import Found, Sighting

WHERE = HostPort("node2.example", 7001)


async def two(host: str) -> Sequence[str]:
    return ["192.0.2.1", "2001:db8::1", "192.0.2.1", "0.0.0.0", "fe80::1%eth0", "nonsense"]


async def none(host: str) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


async def never(host: str) -> Sequence[str]:
    await asyncio.Event().wait()
    return []


@pytest.mark.parametrize(
    ("where", "expected"),
    [(WHERE, ("192.0.2.1:7001", "[2001:db8::1]:7001")), (HostPort("10.0.0.1", 7001), ()), (None, ())],
)
def test_a_name_stands_for_its_usable_addresses_and_an_address_needs_no_lookup(
    where: HostPort | None, expected: tuple[str, ...]
) -> None:
    async def main() -> tuple[str, ...]:
        return await look_up(where, two, VirtualClock())

    assert run(main()) == expected


def test_a_name_that_cannot_be_looked_up_in_time_stands_for_nothing() -> None:
    async def main() -> float:
        clock = VirtualClock()
        started = clock.now()
        assert await look_up(WHERE, none, clock) == ()
        assert await look_up(WHERE, never, clock) == ()
        return clock.now() - started

    assert run(main()) == LOOKUP_TIMEOUT


async def test_the_systems_resolver_knows_this_machine() -> None:
    assert set(await system_lookup("localhost")) & {"127.0.0.1", "::1"}


def test_a_peer_that_has_moved_is_found_by_its_name() -> None:
    async def main() -> list[str]:
        network = Network(1)
        me, other = network.add(1), network.add(2)
        source = SetSource()
        source.answer = Found((Sighting(network.peer(other), "n2.json", WHERE),))
        asked = []

        async def lookup(host: str) -> Sequence[str]:
            asked.append(host)
            return [other.address.rpartition(":")[0]]

        manager = DiscoveryManager(
            DiscoveryConfig([source]),
            dialler=SimDialler(network, me),
            own=me.endpoint_id,
            lookup=lookup,
            clock=network.clock,
        )
        await manager.start()
        await asyncio.sleep(1)
        assert asked == [], "the listed address was enough"
        network.move(other, "10.9.9.9:7001")
        await asyncio.sleep(30)
        states: list[str] = [status.state for status in manager.status()]
        await manager.stop()
        assert asked
        return states

    assert run(main()) == ["connected"]
