# SPDX-License-Identifier: MIT
"""What the manager lets go of, hands over and tells its parts: with none of it the parts work on what was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.network import Host
from tests.unit.manager.test_discovery_manager import INTERVAL, SOON, Mesh, simulate
from tests.unit.peers.people import endpoint_id, peer
from tests.unit.sources.files import peers_file_of, write

from blixard.dialling.overlay import Overlay
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.model.addresses import HostPort, SocketAddress
from blixard.sources.base import Found, Sighting

LONG = 600.0


@simulate
async def test_above_the_limit_peers_that_have_left_are_nobodys_neighbours() -> None:
    mesh = Mesh(others=20, full_mesh=4)
    await mesh.manager.start()
    mesh.source.set(mesh.network.peer(host) for host in mesh.others[10:])
    await asyncio.sleep(LONG)
    fresh = Overlay(mesh.me.endpoint_id)
    for host in mesh.others[10:]:
        fresh.add(host.endpoint_id)
    wanted = {status.endpoint_id for status in mesh.manager.status() if status.wanted}
    assert wanted == set(fresh.neighbours())
    await mesh.manager.stop()


@simulate
async def test_an_address_that_a_peer_had_who_has_left_is_held_back_no_longer() -> None:
    mesh = Mesh(others=2)
    one, two = mesh.others
    mesh.source.set([mesh.network.peer(one, "172.17.0.1:7001"), mesh.network.peer(two, "172.17.0.1:7001")])
    await mesh.manager.start()
    states = {each.address: each.state for each in mesh.manager.status()[0].addresses}
    assert states == {one.address: "usable", "172.17.0.1:7001": "held_back"}
    mesh.source.set([mesh.network.peer(one, "172.17.0.1:7001")])
    await mesh.manager.refresh_peers(prune=True)
    (status,) = mesh.manager.status()
    assert {each.state for each in status.addresses} == {"usable"}
    await mesh.manager.stop()


@simulate
async def test_where_a_guest_called_from_counts_until_it_is_forgotten() -> None:
    mesh = Mesh(others=0)
    await mesh.manager.start()
    home, other = "10.0.0.7:7001", "10.0.0.7:7002"

    def dialled() -> list[tuple[str, ...]]:
        return [tuple(each.direct_addresses) for each in mesh.manager.get_dialled()]

    assert mesh.manager.add_peer(peer(7, home, other, seq=5), "hello")
    assert dialled() == [()]
    assert mesh.manager.adopt(mesh.call_in(Host(7, endpoint_id(7), home)))
    assert dialled() == [(home,)]
    assert mesh.manager.adopt(mesh.call_in(Host(7, endpoint_id(7), other)))
    assert dialled() == [(home, other)]
    mesh.manager.dismiss_guests()
    assert mesh.manager.add_peer(peer(7, home, other, seq=5), "hello")
    assert dialled() == [()]
    await mesh.manager.stop()


@simulate
async def test_guests_that_cannot_be_reached_are_dialled_in_half_of_the_slots_at_most() -> None:
    mesh = Mesh(others=0)
    await mesh.manager.start()
    calls = []
    for number in range(20, 60):
        home = f"10.0.0.{number}:7001"
        assert mesh.manager.add_peer(peer(number, home, seq=5), "hello")
        calls.append(mesh.call_in(Host(number, endpoint_id(number), home)))
        assert mesh.manager.adopt(calls[-1])
    for call in calls:
        call.close("gone")
    await asyncio.sleep(60)
    assert mesh.network.most_in_flight == 8
    await mesh.manager.stop()


@simulate
async def test_a_member_that_moved_and_signs_its_new_address_is_looked_for_there_and_found() -> None:
    mesh = Mesh(others=1)
    (host,) = mesh.others
    host.endpoint_id, host.node_id = endpoint_id(7), 7
    mesh.source.set([peer(7, "10.0.0.7:7001", seq=5)])
    await mesh.manager.start()
    await asyncio.sleep(SOON)
    assert mesh.manager.add_peer(peer(7, host.address, seq=6), "hello")
    await asyncio.sleep(60)
    (status,) = mesh.manager.status()
    assert status.state == "connected"
    assert [(each.address, each.state) for each in status.addresses] == [(host.address, "usable")]
    await mesh.manager.stop()


@simulate
async def test_who_is_no_longer_in_a_peers_file_leaves_at_once_where_the_caller_says_that_the_files_are_whole() -> None:
    mesh = Mesh()
    await mesh.manager.start()
    mesh.source.set([mesh.network.peer(mesh.others[0])])
    await mesh.manager.refresh_peers()
    assert [each.node_id for each in mesh.manager.get_peers()] == [2, 3, 4]
    await mesh.manager.refresh_peers(prune=True)
    assert [each.node_id for each in mesh.manager.get_peers()] == [2]
    await mesh.manager.stop()


@simulate
async def test_a_location_with_host_and_port_is_known_by_what_a_peer_says_of_itself_and_by_this_nodes_addresses() -> (
    None
):
    mesh = Mesh(others=1)
    known = replace(mesh.network.peer(mesh.others[0]), direct_addresses=("192.0.2.1:7001",))
    mesh.source.answer = Found((Sighting(known, "here", HostPort.parse("node2.example:7001")),))
    places = ["192.0.2.1:7001", "node2.example:7001", "192.0.2.9:7001", "192.0.2.66:7001"]
    config = DiscoveryConfig([mesh.source, DiscoverySource.NodeRegistry(places)], INTERVAL)
    manager = DiscoveryManager(config, clock=mesh.clock)
    manager.set_own_addresses([SocketAddress.parse("192.0.2.9:7001")])
    await manager.start()
    await manager.refresh_peers()
    states = [status.state for status in manager.source_status()]
    assert states == ["found", "found", "found", "found", "failed"]
    await manager.stop()


async def test_what_could_not_be_remembered_is_written_at_a_refresh_after_it_can_be(tmp_path: Path) -> None:
    path, state = tmp_path / "peers.json", tmp_path / "state"
    write(path, peers_file_of(peer(1)))
    config = DiscoveryConfig([DiscoverySource.StaticFile(path)], refresh_interval=0.05, state_dir=state)
    manager = DiscoveryManager(config)
    await manager.start()
    assert len(manager.not_remembered()) == 1
    state.mkdir()
    for _ in range(1000):
        if not manager.not_remembered():
            break
        await asyncio.sleep(0.03)
    assert manager.not_remembered() == []
    assert len(list((state / "remembered-peers").iterdir())) == 1
    await manager.stop()


@pytest.mark.parametrize("is_kept", [True, False])
async def test_what_is_remembered_of_a_source_goes_with_the_source(tmp_path: Path, is_kept: bool) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        write(path, peers_file_of(peer(1)))
    sources = [DiscoverySource.StaticFile(path) for path in paths]
    manager = DiscoveryManager(DiscoveryConfig(sources, state_dir=tmp_path))
    await manager.refresh_peers()
    remembered = tmp_path / "remembered-peers"
    assert len(list(remembered.iterdir())) == 2
    await manager.configure(DiscoveryConfig(sources if is_kept else sources[:1], state_dir=tmp_path))
    assert len(list(remembered.iterdir())) == (2 if is_kept else 1)
