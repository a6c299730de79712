# SPDX-License-Identifier: MIT
"""The manager as its users see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.simulation.network import Host, Network, SimConnection, SimDialler, SimProber, endpoint
from tests.simulation.sources import SetSource
from tests.simulation.virtual_time import run
from tests.unit.peers.people import CLUSTER, HOUR, endpoint_id, peer
from tests.unit.sources.files import peers_file_of, registry_of, write

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.search import ROUND_WAIT, URGED_AGAIN, URGED_GAP
from blixard.discovery_manager import DiscoveredPeer, DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.manager import additions
from blixard.model.addresses import HostPort, SocketAddress
from blixard.model.ids import EndpointId
from blixard.model.tickets import Ticket, format_ticket
from blixard.peers.table import ABSENT_INTERVALS
from blixard.sources.base import Found, Sighting

SOON = 1.0
INTERVAL = 60.0


class Mesh:
    """Host 1 with a manager, other hosts on a simulated network, and one source."""

    def __init__(self, others: int = 3, **config: Any) -> None:
        self.network = Network(3)
        self.clock = self.network.clock
        self.me = self.network.add(1)
        self.others = [self.network.add(number) for number in range(2, 2 + others)]
        self.source = SetSource()
        self.source.set(self.network.peer(host) for host in self.others)
        self.manager = self.make(self.me, self.source, **config)

    def make(self, host: Host, *sources: SetSource, **config: Any) -> DiscoveryManager:
        manager = DiscoveryManager(
            DiscoveryConfig(sources, INTERVAL, **config),
            dialler=SimDialler(self.network, host),
            prober=SimProber(self.network, host),
            own=host.endpoint_id,
            own_node_id=host.node_id,
            clock=self.clock,
            rng=Random(host.node_id),
        )
        host.arrived = manager.adopt
        return manager

    def states(self) -> dict[int, str]:
        return {status.node_id: status.state for status in self.manager.status()}

    async def reaches(self, states: dict[int, str], within: float = 300.0) -> None:
        """Wait until the status shows these."""
        end = self.clock.now() + within
        while self.states() != states:
            assert self.clock.now() < end, self.states()
            await asyncio.sleep(0.1)

    def call_in(self, host: Host) -> SimConnection:
        theirs = SimConnection(self.network, host, self.me)
        ours = SimConnection(self.network, self.me, host)
        ours.other, theirs.other = theirs, ours
        return ours


def simulate(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def in_virtual_time() -> None:
        async def main() -> None:
            await test()
            assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left"

        run(main())

    return in_virtual_time


@simulate
async def test_peers_of_the_sources_are_known_when_start_returns_and_soon_connected() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    assert [each.node_id for each in mesh.manager.get_peers()] == [2, 3, 4]
    await asyncio.sleep(SOON)
    assert mesh.states() == {2: "connected", 3: "connected", 4: "connected"}
    assert mesh.manager.connection(mesh.others[0].endpoint_id) is not None
    await mesh.manager.stop()


@simulate
async def test_a_source_that_hangs_does_not_hold_up_the_start() -> None:
    mesh = Mesh()
    mesh.source.seconds = 8.0
    started = mesh.clock.now()
    await mesh.manager.start()
    assert mesh.clock.now() - started == pytest.approx(3.0)
    await asyncio.sleep(8)
    assert len(mesh.manager.get_peers()) == 3
    await mesh.manager.stop()


@simulate
async def test_start_and_stop_may_come_twice_and_in_any_order() -> None:
    mesh = Mesh()
    await mesh.manager.stop()
    await asyncio.gather(mesh.manager.start(), mesh.manager.start())
    await asyncio.sleep(SOON)
    assert mesh.source.fetches == 1
    await asyncio.gather(mesh.manager.stop(), mesh.manager.stop())
    assert not mesh.me.ends
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    assert set(mesh.states().values()) == {"connected"}
    await asyncio.gather(mesh.manager.stop(), mesh.manager.start(), mesh.manager.stop())
    assert not mesh.me.ends


@simulate
async def test_a_stop_during_the_start_ends_it() -> None:
    mesh = Mesh()
    mesh.source.seconds = 100.0
    starting = asyncio.ensure_future(mesh.manager.start())
    await asyncio.sleep(0.5)
    await mesh.manager.stop()
    await starting


@simulate
async def test_without_auto_connect_peers_are_known_and_inbound_ones_adopted_but_none_is_dialled() -> None:
    mesh = Mesh(auto_connect=False)
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    assert mesh.network.dials == []
    assert mesh.manager.adopt(mesh.call_in(mesh.others[0]))
    assert mesh.states()[2] == "connected"
    await mesh.manager.stop()


@simulate
async def test_lookups_by_node_id_and_by_endpoint_id() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    two = mesh.manager.get_peer(2)
    assert two is not None
    assert mesh.manager.find(mesh.others[0].endpoint_id) == two
    assert mesh.manager.get_peer(77) is None
    assert mesh.manager.find(endpoint(9, 9)) is None
    await mesh.manager.stop()


@simulate
async def test_events_tell_a_peers_whole_life() -> None:
    mesh = Mesh(others=1)
    events = mesh.manager.subscribe()
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    mesh.network.move(mesh.others[0], "10.7.7.7:7001")
    await asyncio.sleep(0.1)
    mesh.source.set([mesh.network.peer(mesh.others[0])])
    await mesh.manager.refresh_peers()
    await asyncio.sleep(40)
    mesh.source.set([])
    await asyncio.sleep((ABSENT_INTERVALS + 2) * 1.1 * INTERVAL)
    await mesh.manager.stop()
    assert [event.kind async for event in events] == [
        "discovered",
        "connecting",
        "connected",
        "disconnected",
        "updated",
        "connecting",
        "connected",
        "removed",
    ]


@simulate
async def test_peers_that_are_lost_and_connected_again_leave_no_task_behind() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    await asyncio.sleep(INTERVAL)
    before = len(asyncio.all_tasks())
    for _ in range(10):
        for host in mesh.others:
            mesh.network.move(host, host.address)
        await asyncio.sleep(INTERVAL)
    assert set(mesh.states().values()) == {"connected"}
    assert len(asyncio.all_tasks()) == before
    await mesh.manager.stop()


@simulate
async def test_a_removed_peer_is_disconnected() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    mesh.source.set([mesh.network.peer(mesh.others[0])])
    await asyncio.sleep((ABSENT_INTERVALS + 2) * 1.1 * INTERVAL)
    assert mesh.states() == {2: "connected"}
    assert [bool(host.ends) for host in mesh.others] == [True, False, False]
    await mesh.manager.stop()


@simulate
async def test_a_source_that_fails_for_a_day_costs_nothing() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    events = mesh.manager.subscribe()
    mesh.source.fail()
    await asyncio.sleep(86_400)
    assert set(mesh.states().values()) == {"connected"}
    await mesh.manager.stop()
    assert [event.kind async for event in events] == []


@simulate
async def test_a_new_address_of_a_dead_peer_is_dialled_as_soon_as_it_is_known() -> None:
    mesh = Mesh(others=1)
    host = mesh.others[0]
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    mesh.network.move(host, "10.7.7.7:7001")
    await asyncio.sleep(600)
    await mesh.reaches({2: "open"})
    mesh.source.set([mesh.network.peer(host)])
    await mesh.manager.refresh_peers()
    await asyncio.sleep(SOON)
    assert mesh.states() == {2: "connected"}
    await mesh.manager.stop()


class RelayDialler(SimDialler):
    """Dials, and keeps the relay of each dial."""

    def __init__(self, network: Network, host: Host) -> None:
        super().__init__(network, host)
        self.relays: list[str | None] = []

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
        self.relays.append(peer.relay_url)
        return await super().dial(peer, timeout=timeout)


@simulate
async def test_a_new_relay_of_a_dead_peer_is_dialled_as_soon_as_it_is_known_and_the_old_one_no_more() -> None:
    mesh = Mesh(others=1)
    (host,) = mesh.others
    host.is_up = False
    host.fails_fast = True
    old, new = (replace(mesh.network.peer(host), relay_url=f"https://{name}.example/") for name in ("old", "new"))
    dialler = RelayDialler(mesh.network, mesh.me)
    config = DiscoveryConfig([mesh.source], INTERVAL)
    manager = DiscoveryManager(config, dialler=dialler, clock=mesh.clock, rng=Random(1))
    mesh.source.set([old])
    await manager.start()
    await asyncio.sleep(ROUND_WAIT[0])
    assert dialler.relays == ["https://old.example/"] * 5
    mesh.source.set([new])
    await manager.refresh_peers()
    await asyncio.sleep(0.2)
    assert dialler.relays[5:] == ["https://new.example/"]
    await asyncio.sleep(600)
    assert set(dialler.relays[5:]) == {"https://new.example/"}
    await manager.stop()


@pytest.mark.parametrize(("own", "dialled"), [("https://a.example/", "https://a.example/"), (None, None)])
def test_the_relay_that_a_guest_names_is_used_only_where_it_is_this_nodes_own(
    own: str | None, dialled: str | None
) -> None:
    manager = DiscoveryManager(DiscoveryConfig(), relay_url=own)
    manager.add_peer(peer(7, seq=5, relay_url="https://a.example/"), "hello")
    assert [each.relay_url for each in manager.get_dialled()] == [dialled]
    manager.add_peer(peer(8, seq=5, relay_url="https://b.example/"), "hello")
    assert manager.get_dialled()[1].relay_url is None


class AddressDialler(SimDialler):
    """Dials, and keeps the addresses of each dial."""

    def __init__(self, network: Network, host: Host) -> None:
        super().__init__(network, host)
        self.addresses: list[tuple[str, ...]] = []

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
        self.addresses.append(tuple(peer.direct_addresses))
        return await super().dial(peer, timeout=timeout)


@pytest.mark.parametrize(
    ("listed", "dialled"),
    [
        (["10.0.2.1:7001"], [("10.0.2.1:7001",), ("10.0.2.1:7001", "192.0.2.1:7001")] * 2 + [("10.0.2.1:7001",)]),
        ([], [("192.0.2.1:7001",)] * 5),
    ],
)
def test_what_a_peers_name_leads_to_is_dialled_in_every_second_attempt_or_always_where_nothing_else_is_listed(
    listed: list[str], dialled: list[tuple[str, ...]]
) -> None:
    looked_up: list[str] = []

    async def lookup(host: str) -> list[str]:
        looked_up.append(host)
        return ["192.0.2.1"]

    async def main() -> None:
        mesh = Mesh(others=1)
        (host,) = mesh.others
        host.is_up = False
        host.fails_fast = True
        mesh.network.at["192.0.2.1:7001"] = host
        known = replace(mesh.network.peer(host), direct_addresses=tuple(listed))
        mesh.source.answer = Found((Sighting(known, "here", HostPort.parse("node2.example:7001")),))
        dialler = AddressDialler(mesh.network, mesh.me)
        config = DiscoveryConfig([mesh.source], INTERVAL)
        manager = DiscoveryManager(config, dialler=dialler, lookup=lookup, clock=mesh.clock, rng=Random(1))
        await manager.start()
        await asyncio.sleep(ROUND_WAIT[0])
        assert dialler.addresses == dialled
        assert looked_up == ["node2.example"] * sum("192.0.2.1:7001" in each for each in dialled)
        await manager.stop()

    run(main())


@simulate
async def test_a_peer_can_be_added_by_hand_and_removed() -> None:
    mesh = Mesh(others=1)
    late = mesh.network.add(9)
    await mesh.manager.start()
    assert mesh.manager.add_peer(mesh.network.peer(late))
    await asyncio.sleep(SOON)
    assert mesh.states()[9] == "connected"
    assert mesh.manager.remove_peer(9)
    assert mesh.manager.get_peer(9) is None
    await asyncio.sleep(SOON)
    assert not late.ends
    assert not mesh.manager.remove_peer(9)
    assert not mesh.manager.remove_peer(2), "its source still names it"
    await mesh.manager.stop()


@simulate
async def test_a_peer_added_before_the_start_is_dialled_after_it() -> None:
    mesh = Mesh(others=0)
    late = mesh.network.add(9)
    mesh.manager.add_peer(mesh.network.peer(late))
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    assert mesh.states() == {9: "connected"}
    await mesh.manager.stop()


@simulate
async def test_this_node_is_never_its_own_peer() -> None:
    mesh = Mesh()
    assert not mesh.manager.add_peer(mesh.network.peer(mesh.me))
    mesh.source.set([mesh.network.peer(mesh.me)])
    await mesh.manager.start()
    assert mesh.manager.get_peers() == []
    await mesh.manager.stop()


@simulate
async def test_a_guest_that_signs_its_entry_becomes_a_peer_and_one_that_does_not_does_not() -> None:
    mesh = Mesh(others=0)
    assert not mesh.manager.add_peer(peer(7), "hello")
    assert mesh.manager.add_peer(peer(7, seq=5), "hello")
    found = mesh.manager.find(endpoint_id(7))
    assert found is not None
    assert found.source == "hello"


def test_a_guest_whose_node_id_is_anothers_is_told_by_whose_word_first(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> EndpointId:
        mesh = Mesh(others=1)
        await mesh.manager.start()
        mesh.manager.add_peer(mesh.network.peer(mesh.others[0]))
        assert not mesh.manager.add_peer(peer(7, node_id=2, seq=5), "hello")
        await mesh.manager.stop()
        return mesh.others[0].endpoint_id

    holder = run(main())
    reasons = [record.__dict__["reason"] for record in caplog.records if "reason" in record.__dict__]
    assert reasons == [f"node 2 is {holder.short}, says manual"]


@simulate
async def test_a_guest_cannot_take_a_known_peers_node_id() -> None:
    mesh = Mesh(others=1)
    await mesh.manager.start()
    assert not mesh.manager.add_peer(peer(7, node_id=2, seq=5), "hello")
    assert mesh.manager.find(mesh.others[0].endpoint_id) is not None
    await mesh.manager.stop()


@simulate
async def test_a_hello_that_is_older_than_one_seen_before_is_refused() -> None:
    mesh = Mesh(others=0)
    assert mesh.manager.add_peer(peer(7, "10.0.0.2:1", seq=6), "hello")
    assert not mesh.manager.add_peer(peer(7, "10.0.0.1:1", seq=5), "hello")
    assert mesh.manager.add_peer(peer(7, "10.0.0.2:1", seq=6), "hello")


@simulate
async def test_the_hello_of_a_member_updates_its_addresses_and_keeps_it_no_longer_than_its_source_does() -> None:
    mesh = Mesh(others=0)
    mesh.source.set([peer(7)])
    await mesh.manager.start()
    assert mesh.manager.add_peer(peer(7, "10.0.0.2:1", seq=6), "hello")
    found = mesh.manager.get_peer(7)
    assert found is not None
    assert tuple(found.direct_addresses) == ("10.0.0.2:1",)
    mesh.source.set([])
    await asyncio.sleep((ABSENT_INTERVALS + 2) * 1.1 * INTERVAL)
    assert mesh.manager.get_peers() == []
    await mesh.manager.stop()


@simulate
async def test_a_guest_that_stayed_for_a_while_is_forgotten_a_day_after_it_was_last_connected() -> None:
    mesh = Mesh(others=0)
    await mesh.manager.start()
    mesh.manager.add_peer(peer(7, seq=5), "hello")
    connection = mesh.call_in(Host(7, endpoint_id(7), "10.0.0.7:7001"))
    assert mesh.manager.adopt(connection)
    await asyncio.sleep(2 * INTERVAL)
    connection.close("gone")
    await asyncio.sleep(24 * 3600 - 2 * INTERVAL)
    assert mesh.manager.get_peer(7) is not None
    await asyncio.sleep(4 * INTERVAL)
    assert mesh.manager.get_peer(7) is None
    await mesh.manager.stop()


@simulate
async def test_a_guest_that_only_said_hello_is_forgotten_after_a_few_minutes() -> None:
    mesh = Mesh(others=0)
    await mesh.manager.start()
    mesh.manager.add_peer(peer(7, seq=5), "hello")
    connection = mesh.call_in(Host(7, endpoint_id(7), "10.0.0.7:7001"))
    assert mesh.manager.adopt(connection)
    await asyncio.sleep(1)
    connection.close("gone")
    await asyncio.sleep(300 + 3 * INTERVAL)
    assert mesh.manager.get_peer(7) is None
    await mesh.manager.stop()


def test_in_a_full_house_a_new_guest_takes_the_place_of_the_one_longest_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(additions, "MAX_GUESTS", 2)

    async def main() -> None:
        mesh = Mesh(others=0)
        await mesh.manager.start()
        for number in (5, 6, 7):
            assert mesh.manager.add_peer(peer(number, seq=5), "hello")
            await asyncio.sleep(1)
        assert [each.node_id for each in mesh.manager.get_peers()] == [6, 7]
        for number in (6, 7):
            host = Host(number, endpoint_id(number), "10.0.0.1:1")
            assert mesh.manager.adopt(mesh.call_in(host))
        await mesh.manager.stop()

    run(main())


def test_in_a_full_house_a_crowd_from_one_host_makes_room_for_whoever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additions, "MAX_GUESTS", 4)

    async def main() -> None:
        mesh = Mesh(others=0)
        await mesh.manager.start()
        homes = {
            5: "10.0.0.1:1",
            6: "10.0.0.66:1",
            7: "10.0.0.66:2",
            8: "10.0.0.66:3",
            9: "10.0.0.9:1",
            10: "10.0.0.9:2",
        }
        for number, home in homes.items():
            assert mesh.manager.add_peer(peer(number, home, seq=5), "hello")
            assert mesh.manager.adopt(mesh.call_in(Host(number, endpoint_id(number), home)))
        assert [each.node_id for each in mesh.manager.get_peers()] == [5, 8, 9, 10]
        await mesh.manager.stop()

    run(main())


def test_in_a_full_house_the_guest_that_is_away_longest_goes_although_another_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(additions, "MAX_GUESTS", 3)

    async def main() -> None:
        mesh = Mesh(others=0)
        await mesh.manager.start()
        for number in (5, 6, 7):
            assert mesh.manager.add_peer(peer(number, seq=5), "hello")
        calls = {number: mesh.call_in(Host(number, endpoint_id(number), f"10.0.0.{number}:1")) for number in (5, 6)}
        assert all(mesh.manager.adopt(call) for call in calls.values())
        await asyncio.sleep(1)
        calls[5].close("gone")
        await asyncio.sleep(1)
        assert mesh.manager.add_peer(peer(8, seq=5), "hello")
        assert [each.node_id for each in mesh.manager.get_peers()] == [5, 6, 8]
        assert mesh.manager.add_peer(peer(9, seq=5), "hello")
        assert [each.node_id for each in mesh.manager.get_peers()] == [6, 8, 9]
        await mesh.manager.stop()

    run(main())


def test_in_a_full_house_no_guest_goes_for_one_that_is_in_already_or_for_whom_the_operator_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(additions, "MAX_GUESTS", 2)

    async def main() -> None:
        mesh = Mesh(others=1)
        await mesh.manager.start()
        for number in (5, 6):
            assert mesh.manager.add_peer(peer(number, seq=5), "hello")
        assert mesh.manager.add_peer(peer(6, "10.0.0.66:1", seq=6), "hello")
        assert mesh.manager.add_peer(peer(7), "manual")
        assert mesh.manager.add_peer(peer(8, seq=5), "join")
        assert [each.node_id for each in mesh.manager.get_peers()] == [2, 5, 6, 7, 8]
        await mesh.manager.stop()

    run(main())


@simulate
async def test_a_guest_that_signed_anew_stays_when_its_first_signature_expires() -> None:
    mesh = Mesh(others=0)
    await mesh.manager.start()
    expiring = peer(7, seq=5, expires_at=mesh.clock.wall().replace(microsecond=0) + timedelta(seconds=90))
    assert mesh.manager.add_peer(expiring, "hello")
    assert mesh.manager.add_peer(peer(7, seq=6), "hello")
    await asyncio.sleep(200)
    assert mesh.manager.get_peer(7) is not None
    await mesh.manager.stop()


@simulate
async def test_an_address_of_a_member_that_signs_can_be_added_by_hand() -> None:
    mesh = Mesh(others=0)
    mesh.source.set([peer(7, "10.0.0.7:7001", seq=5)])
    await mesh.manager.start()
    assert mesh.manager.add_peer(peer(7, "192.0.2.1:9"))
    found = mesh.manager.get_peer(7)
    assert found is not None
    assert tuple(found.direct_addresses) == ("192.0.2.1:9", "10.0.0.7:7001")
    await mesh.manager.stop()


@simulate
async def test_a_peer_that_was_added_by_hand_stays_when_its_source_names_it_no_longer() -> None:
    mesh = Mesh(others=1)
    await mesh.manager.start()
    assert mesh.manager.add_peer(mesh.network.peer(mesh.others[0]))
    assert mesh.manager.add_peer(peer(9))
    mesh.source.set([])
    await asyncio.sleep(600)
    assert [each.node_id for each in mesh.manager.get_peers()] == [2, 9]
    assert mesh.manager.remove_peer(9)
    assert [each.node_id for each in mesh.manager.get_peers()] == [2]
    await mesh.manager.stop()


@simulate
async def test_an_expired_attestation_ends_the_membership_at_the_next_refresh() -> None:
    mesh = Mesh(others=0)
    expiring = peer(7, seq=5, expires_at=mesh.clock.wall().replace(microsecond=0) + HOUR)
    mesh.source.set([expiring])
    await mesh.manager.start()
    await asyncio.sleep(3500)
    assert mesh.manager.get_peer(7) is not None
    await asyncio.sleep(300)
    assert mesh.manager.get_peer(7) is None
    await mesh.manager.stop()


@simulate
async def test_setting_the_wall_clock_changes_nothing() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    events = mesh.manager.subscribe()
    for days in (-365, 3650, -1):
        mesh.clock.wall_offset = timedelta(days=days)
        await asyncio.sleep(300)
    assert set(mesh.states().values()) == {"connected"}
    await mesh.manager.stop()
    assert [event.kind async for event in events] == []


@simulate
async def test_a_number_far_ahead_that_was_taken_while_the_clock_was_not_set_goes_when_it_is() -> None:
    mesh = Mesh(others=0)
    mesh.clock.wall_offset = timedelta(days=-20_000)
    manager = mesh.make(mesh.me, mesh.source)
    assert manager.add_peer(peer(7, seq=2_000_000_000))
    await manager.start()
    await asyncio.sleep(3 * INTERVAL)
    assert [each.node_id for each in manager.get_peers()] == [7]
    mesh.clock.wall_offset = timedelta()
    await asyncio.sleep(3 * INTERVAL)
    assert manager.get_peers() == []
    await manager.stop()


@simulate
async def test_two_managers_that_know_each_other_end_up_with_one_connection() -> None:
    mesh = Mesh(others=1)
    other = mesh.others[0]
    theirs = SetSource()
    theirs.set([mesh.network.peer(mesh.me)])
    second = mesh.make(other, theirs)
    await asyncio.gather(mesh.manager.start(), second.start())
    await asyncio.sleep(SOON)
    assert len(mesh.me.ends) == len(other.ends) == 1
    ours, their = mesh.manager.connection(other.endpoint_id), second.connection(mesh.me.endpoint_id)
    assert isinstance(ours, SimConnection)
    assert ours.other is their
    await asyncio.gather(mesh.manager.stop(), second.stop())


@simulate
async def test_a_pair_of_which_only_one_knows_the_other_connects_too() -> None:
    for knows_greater in (True, False):
        mesh = Mesh(others=20)
        others = [host for host in mesh.others if (host.endpoint_id > mesh.me.endpoint_id) == knows_greater]
        mesh.source.set([mesh.network.peer(others[0])])
        await mesh.manager.start()
        await asyncio.sleep(SOON)
        assert set(mesh.states().values()) == {"connected"}
        await mesh.manager.stop()


@simulate
async def test_above_the_limit_only_the_overlays_neighbours_are_dialled() -> None:
    mesh = Mesh(others=65)
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    wanted = [status for status in mesh.manager.status() if status.wanted]
    assert 7 <= len(wanted) <= 14
    assert {status.state for status in wanted} == {"connected"}
    assert {s.state for s in mesh.manager.status() if not s.wanted} == {"discovered"}
    mesh.source.set(mesh.network.peer(host) for host in mesh.others[:64])
    await asyncio.sleep((ABSENT_INTERVALS + 2) * 1.1 * INTERVAL)
    assert set(mesh.states().values()) == {"connected"}
    assert len(mesh.states()) == 64
    await mesh.manager.stop()


@simulate
async def test_the_status_says_everything_about_a_peer_that_cannot_be_reached() -> None:
    mesh = Mesh(others=1)
    mesh.others[0].is_up = False
    mesh.others[0].fails_fast = True
    await mesh.manager.start()
    await asyncio.sleep(ROUND_WAIT[0])
    (status,) = mesh.manager.status()
    shown = status.to_json()
    assert shown["state"] == "open"
    assert (shown["failures"], shown["attempts"], shown["circuit"], shown["trips"]) == (5, 5, "open", 1)
    assert shown["last_error"]["kind"] == "unreachable"
    assert 0 < shown["next_attempt_s"] < 36
    assert shown["waited_s"] == pytest.approx(ROUND_WAIT[0], abs=0.1)
    assert shown["sources"] == ["static:test"]
    assert [(a["address"], a["state"], a["sources"]) for a in shown["addresses"]] == [
        (mesh.others[0].address, "usable", ["static:test"])
    ]
    assert mesh.clock.wall() - status.since < timedelta(seconds=ROUND_WAIT[0])
    await mesh.manager.stop()


@simulate
async def test_the_status_of_a_connected_peer_has_its_path() -> None:
    mesh = Mesh(others=1)
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    shown = mesh.manager.status()[0].to_json()
    assert (shown["path"], shown["rtt_ms"], shown["admitted"], shown["claimed_node_id"]) == ("direct", 1.0, True, 2)
    assert (shown["next_attempt_s"], shown["waited_s"], shown["last_error"]) == (None, 0.0, None)
    await mesh.manager.stop()


@simulate
async def test_an_own_address_in_a_peers_list_is_held_back() -> None:
    mesh = Mesh(others=1)
    docker = "172.17.0.1:7001"
    mesh.source.set([mesh.network.peer(mesh.others[0], docker)])
    mesh.network.at[docker] = mesh.me
    mesh.manager.set_own_addresses([SocketAddress.parse(docker)])
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    (status,) = mesh.manager.status()
    assert [address.state for address in status.addresses] == ["usable", "held_back"]
    assert status.state == "connected"
    assert status.attempts == 1
    await mesh.manager.stop()


@simulate
async def test_adopting_before_the_start_or_without_a_dialler_closes_the_connection() -> None:
    mesh = Mesh()
    for manager in (mesh.manager, DiscoveryManager(DiscoveryConfig(), own=mesh.me.endpoint_id)):
        inbound = mesh.call_in(mesh.others[0])
        assert not manager.adopt(inbound)
        assert not inbound.is_live


@simulate
async def test_a_manager_without_a_dialler_discovers_and_dials_nobody() -> None:
    mesh = Mesh(others=2)
    manager = DiscoveryManager(DiscoveryConfig((mesh.source,), INTERVAL), own=mesh.me.endpoint_id, clock=mesh.clock)
    mesh.source.set([mesh.network.peer(mesh.others[0])])
    await manager.start()
    mesh.source.set(mesh.network.peer(host) for host in mesh.others)
    await manager.refresh_peers()
    assert [(each.node_id, each.state) for each in manager.status()] == [(2, "discovered"), (3, "discovered")]
    await manager.stop()


@simulate
async def test_a_tickets_endpoint_is_introduced_and_then_dialled() -> None:
    mesh = Mesh(others=1)
    host = mesh.others[0]
    ticket = Ticket(host.endpoint_id, None, (SocketAddress.parse(host.address),))

    class Introducer:
        async def introduce(self, ticket: Ticket, *, timeout: float) -> DiscoveredPeer:
            return mesh.network.peer(host)

    manager = DiscoveryManager(
        DiscoveryConfig([DiscoverySource.NodeRegistry([format_ticket(ticket)])]),
        dialler=SimDialler(mesh.network, mesh.me),
        own=mesh.me.endpoint_id,
        introducer=Introducer(),
        clock=mesh.clock,
        rng=Random(1),
    )
    await manager.start()
    await asyncio.sleep(SOON)
    assert [status.state for status in manager.status()] == ["connected"]
    await manager.stop()


@simulate
async def test_what_does_not_count_is_told_with_its_reason() -> None:
    mesh = Mesh(others=1)
    second = SetSource("registry:x", "registry")
    second.set([peer(7, node_id=2)])
    manager = mesh.make(mesh.me, mesh.source, second)
    await manager.start()
    assert [line.to_json()["source"] for line in manager.dropped()] == ["registry:x"]
    await manager.stop()


def test_every_event_is_logged_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        mesh = Mesh(others=2)
        mesh.others[1].lets_in = lambda _: False
        await mesh.manager.start()
        await asyncio.sleep(SOON)
        await mesh.manager.stop()

    with caplog.at_level(logging.INFO, "blixard"):
        run(main())
    records = [(r.levelname, r.message, r.__dict__.get("node")) for r in caplog.records]
    assert ("INFO", "peer discovered", 2) in records
    assert ("INFO", "connected", 2) in records
    assert records.count(("WARNING", "refused by peer", 3)) == 1
    assert ("INFO", "connection failed", 3) in records
    refused = next(r for r in caplog.records if r.message == "refused by peer")
    assert refused.__dict__["reason"] == "unknown: not known here"


async def test_files_on_disk_are_found_watched_and_kept_when_they_break(tmp_path: Path) -> None:
    peers_path, registry_path = tmp_path / "peers.json", tmp_path / "n3.json"
    write(peers_path, peers_file_of(peer(1), peer(2)))
    write(registry_path, registry_of(peer(3)))
    static = DiscoverySource.StaticFile(peers_path)
    registry = DiscoverySource.NodeRegistry([registry_path, "10.0.0.3:7001"])
    manager = DiscoveryManager(DiscoveryConfig([static, registry], timedelta(seconds=60)))
    await manager.start()
    events = manager.subscribe()
    assert [each.node_id for each in manager.get_peers()] == [1, 2, 3]
    write(peers_path, peers_file_of(peer(1), peer(2), peer(4)), age=30.0)
    assert (await asyncio.wait_for(events.__anext__(), 10)).node_id == 4
    write(peers_path, "[", age=20.0)
    await manager.refresh_peers()
    assert [each.node_id for each in manager.get_peers()] == [1, 2, 3, 4]
    states = {status.name: status.state for status in manager.source_status()}
    assert states == {
        f"static:{peers_path}": "failed",
        f"registry:{registry_path}": "found",
        "registry:10.0.0.3:7001": "found",
    }
    await manager.stop()


def test_the_configuration_takes_seconds_and_timedeltas() -> None:
    assert DiscoveryConfig(refresh_interval=timedelta(minutes=2)).refresh_seconds == 120.0
    assert DiscoveryConfig(refresh_interval=5).refresh_seconds == 5.0
    assert DiscoveryConfig().refresh_seconds == 60.0
    assert DiscoveryConfig().auto_connect


def test_attestations_for_another_cluster_are_refused() -> None:
    manager = DiscoveryManager(DiscoveryConfig(), cluster="other")
    assert not manager.add_peer(peer(7, seq=5))
    assert DiscoveryManager(DiscoveryConfig(), cluster=CLUSTER).add_peer(peer(7, seq=5))


@simulate
async def test_where_a_peer_was_reached_counts_also_when_no_source_says_it_any_more() -> None:
    mesh = Mesh(others=1)
    (host,) = mesh.others
    signed = peer(7, host.address, seq=5)
    host.endpoint_id, host.node_id = signed.endpoint_id, 7
    mesh.source.set([peer(7, host.address, seq=5)])
    await mesh.manager.start()
    await asyncio.sleep(5)
    mesh.source.set([peer(7, "198.51.100.1:1", seq=4)])
    await mesh.manager.refresh_peers()
    mesh.manager.add_peer(peer(7, host.address, "203.0.113.9:1", seq=6), "hello")
    (status,) = mesh.manager.status()
    assert {each.address: each.state for each in status.addresses} == {
        host.address: "usable",
        "203.0.113.9:1": "held_back",
    }
    await mesh.manager.stop()


def test_guests_without_end_fill_no_log_and_members_are_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "blixard.peers")

    async def main() -> None:
        mesh = Mesh(others=1)
        await mesh.manager.start()
        for number in range(5, 1000):
            assert mesh.manager.add_peer(peer(number, "10.0.0.1:1", seq=5), "hello")
        mesh.source.set([mesh.network.peer(mesh.others[0])])
        await mesh.manager.refresh_peers()
        await mesh.manager.stop()

    run(main())
    guests = [record for record in caplog.records if getattr(record, "node", 2) != 2]
    assert len(guests) == 300
    assert any(getattr(record, "node", 0) == 2 for record in caplog.records)


async def cut_off(mesh: Mesh, *hosts: Host) -> None:
    """Take hosts away for so long that their circuits are open and their breakers' times long."""
    mesh.network.cut(dict.fromkeys(hosts, 1))
    await asyncio.sleep(900)


def dials_of(mesh: Mesh, host: Host) -> int:
    return sum(whom == host.endpoint_id for _, _, whom in mesh.network.dials)


def test_the_loss_of_a_peer_is_logged_and_not_each_probe_of_it_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        mesh = Mesh(others=1)
        await mesh.manager.start()
        await asyncio.sleep(60)
        await cut_off(mesh, *mesh.others)
        mesh.network.heal()
        await asyncio.sleep(60)
        await mesh.manager.stop()

    with caplog.at_level(logging.INFO, "blixard.peers"):
        run(main())
    lines = [record.message for record in caplog.records]
    assert lines[:2] == ["peer discovered", "connected"]
    assert lines[2:] == ["disconnected", *["connection failed"] * 5, "circuit opened", "connected", "circuit closed"]


@simulate
async def test_a_peer_that_comes_back_brings_those_back_that_were_lost_with_it() -> None:
    mesh = Mesh(others=40)
    await mesh.manager.start()
    await asyncio.sleep(60)
    await cut_off(mesh, *mesh.others)
    mesh.network.heal()
    assert mesh.manager.adopt(mesh.call_in(mesh.others[0]))
    await asyncio.sleep(DIAL_TIMEOUT + 40 * URGED_GAP + SOON)
    assert set(mesh.states().values()) == {"connected"}
    await mesh.manager.stop()


@simulate
async def test_a_connected_peers_word_that_others_are_alive_hurries_the_dials_of_those_that_are_lost() -> None:
    mesh = Mesh(others=3)
    witness, one, other = mesh.others
    await mesh.manager.start()
    await asyncio.sleep(60)
    await cut_off(mesh, one, other)
    await mesh.reaches({2: "connected", 3: "open", 4: "open"})
    mesh.network.heal()
    mesh.manager.heard_alive([one.endpoint_id], other.endpoint_id)
    await asyncio.sleep(SOON)
    assert mesh.states() == {2: "connected", 3: "open", 4: "open"}, "only who is connected is believed"
    mesh.manager.heard_alive([mesh.me.endpoint_id, witness.endpoint_id, one.endpoint_id], witness.endpoint_id)
    await asyncio.sleep(SOON)
    assert mesh.states()[3] == "connected"
    await mesh.manager.stop()


@simulate
async def test_a_liar_makes_a_node_dial_no_more_than_four_times_a_minute_beyond_the_round() -> None:
    mesh = Mesh(others=2)
    liar, dead = mesh.others
    dead.fails_fast = True
    await mesh.manager.start()
    await asyncio.sleep(60)
    mesh.network.crash(dead)
    await asyncio.sleep(900)
    before = dials_of(mesh, dead)
    for _ in range(6000):
        mesh.manager.heard_alive([dead.endpoint_id], liar.endpoint_id)
        await asyncio.sleep(0.1)
    assert dials_of(mesh, dead) - before <= 600 / URGED_AGAIN + 600 / ROUND_WAIT[0] + 1
    await mesh.manager.stop()


@simulate
async def test_a_network_that_has_changed_is_reason_to_dial_all_who_are_lost() -> None:
    mesh = Mesh(others=30)
    await mesh.manager.start()
    await asyncio.sleep(60)
    await cut_off(mesh, *mesh.others)
    mesh.network.heal()
    mesh.manager.network_changed()
    await asyncio.sleep(DIAL_TIMEOUT + 30 * URGED_GAP + SOON)
    assert set(mesh.states().values()) == {"connected"}
    await mesh.manager.stop()


def test_a_manager_that_dials_nobody_may_be_told_of_a_heal() -> None:
    manager = DiscoveryManager(DiscoveryConfig())
    manager.network_changed()
    manager.heard_alive([], endpoint_id(1))
    assert manager.status() == []
