# SPDX-License-Identifier: MIT
"""A manager that is told other sources while it works."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.simulation.network import Network, SimDialler
from tests.simulation.sources import SetSource
from tests.simulation.virtual_time import run
from tests.unit.peers.people import CLUSTER, NOON, key, peer
from tests.unit.sources.files import peers_file_of, write

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.peers.table import ABSENT_INTERVALS
from blixard.trust.peers_signature import sign_peers

INTERVAL = 60.0
SOON = 1.0


class Mesh:
    """Host 1 with a manager that knows hosts 2 and 3 from one source, and 4 from another."""

    def __init__(self) -> None:
        self.network = Network(3)
        me = self.network.add(1)
        two, three, four = (self.network.peer(self.network.add(number)) for number in (2, 3, 4))
        self.first, self.second = SetSource("registry:first", "registry"), SetSource("registry:second", "registry")
        self.third = SetSource("registry:third", "registry")
        self.first.set([two, three])
        self.second.set([four])
        self.third.set([two])
        self.manager = DiscoveryManager(
            DiscoveryConfig([self.first, self.second], INTERVAL),
            dialler=SimDialler(self.network, me),
            own=me.endpoint_id,
            own_node_id=1,
            clock=self.network.clock,
        )
        me.arrived = self.manager.adopt

    async def settle(self) -> None:
        """Start, and wait until all are connected."""
        await self.manager.start()
        await asyncio.sleep(SOON)
        assert self.states() == {2: "connected", 3: "connected", 4: "connected"}

    async def use(self, *sources: SetSource, interval: float = INTERVAL, auto_connect: bool = True) -> None:
        await self.manager.configure(DiscoveryConfig(sources, interval, auto_connect))

    def states(self) -> dict[int, str]:
        return {status.node_id: status.state for status in self.manager.status()}

    @property
    def dials(self) -> int:
        return len(self.network.dials)


def test_connections_stay_to_those_whom_the_new_sources_name_and_the_others_are_let_go() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.settle()
        dials = mesh.dials
        await mesh.use(mesh.third, mesh.second)
        assert mesh.states() == {2: "connected", 4: "connected"}
        await asyncio.sleep(10 * INTERVAL)
        assert mesh.states() == {2: "connected", 4: "connected"}
        assert mesh.dials == dials
        assert [status.name for status in mesh.manager.source_status()] == ["registry:third", "registry:second"]
        await mesh.manager.stop()

    run(main())


def test_a_new_source_that_fails_erases_nobody_until_it_has_answered() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.settle()
        mesh.third.fail()
        await mesh.use(mesh.third)
        await asyncio.sleep(10 * ABSENT_INTERVALS * INTERVAL)
        assert mesh.states() == {2: "connected", 3: "connected", 4: "connected"}
        mesh.third.recover()
        await asyncio.sleep(2 * INTERVAL)
        assert mesh.states() == {2: "connected"}
        await mesh.manager.stop()

    run(main())


def test_a_source_that_comes_back_before_its_successor_answered_was_never_gone() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.settle()
        mesh.third.fail()
        await mesh.use(mesh.third)
        await mesh.use(mesh.first, mesh.second)
        await asyncio.sleep(10 * INTERVAL)
        assert mesh.states() == {2: "connected", 3: "connected", 4: "connected"}
        await mesh.manager.stop()

    run(main())


def test_without_any_source_nobody_is_left() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.settle()
        await mesh.use()
        assert mesh.states() == {}
        await mesh.manager.stop()

    run(main())


def test_an_answer_that_comes_after_its_source_has_gone_counts_no_longer() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.settle()
        mesh.first.seconds = 5.0
        late = asyncio.ensure_future(mesh.manager.refresh_peers())
        await asyncio.sleep(SOON)
        await mesh.use(mesh.second)
        await late
        assert mesh.states() == {4: "connected"}
        await mesh.manager.stop()

    run(main())


def test_the_order_of_the_new_configuration_decides_who_has_a_node_id() -> None:
    async def main() -> None:
        first, second = SetSource("registry:first", "registry"), SetSource("registry:second", "registry")
        first.set([peer(7)])
        second.set([peer(8, node_id=7)])
        manager = DiscoveryManager(DiscoveryConfig([first, second], INTERVAL))
        await manager.refresh_peers()
        assert [each.iroh_node_id for each in manager.get_peers()] == [peer(7).iroh_node_id]
        await manager.configure(DiscoveryConfig([second, first], INTERVAL))
        assert [each.iroh_node_id for each in manager.get_peers()] == [peer(8).iroh_node_id]
        assert (first.fetches, second.fetches) == (1, 1)

    run(main())


def test_a_new_interval_and_auto_connect_take_effect_at_once() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.use(mesh.first, mesh.second, auto_connect=False)
        await mesh.manager.start()
        await asyncio.sleep(SOON)
        assert mesh.dials == 0
        fetches = mesh.first.fetches
        await mesh.use(mesh.first, mesh.second, interval=5.0)
        await asyncio.sleep(10 * 5.0)
        assert set(mesh.states().values()) == {"connected"}
        assert mesh.first.fetches >= fetches + 8
        await mesh.manager.stop()

    run(main())


def test_peers_that_no_source_names_stay_and_guests_can_be_sent_away() -> None:
    async def main() -> None:
        manager = DiscoveryManager(DiscoveryConfig([SetSource()], INTERVAL))
        manager.add_peer(peer(7))
        manager.add_peer(peer(8, seq=5), "hello")
        await manager.configure(DiscoveryConfig([], INTERVAL))
        assert [each.node_id for each in manager.get_peers()] == [7, 8]
        manager.dismiss_guests()
        assert [each.node_id for each in manager.get_peers()] == [7]

    run(main())


class Signed:
    """A peers file with nodes 1 and 2, signed by somebody whom the manager trusts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(1, 2, by=100)
        self.manager = DiscoveryManager(self.trusting(100), cluster=CLUSTER)

    def write(self, *numbers: int, by: int) -> None:
        data = peers_file_of(*map(peer, numbers))
        write(self.path, data)
        signature = sign_peers(
            data, key(by), cluster=CLUSTER, previous_seq=int(NOON.timestamp()) + len(numbers), now=NOON
        )
        write(self.path.with_name(f"{self.path.name}.sig"), signature)

    def trusting(self, *numbers: int) -> DiscoveryConfig:
        signers = [key(number).public() for number in numbers]
        return DiscoveryConfig([DiscoverySource.StaticFile(self.path)], INTERVAL, trusted_signers=signers)

    async def known_to(self, *numbers: int) -> list[int]:
        await self.manager.configure(self.trusting(*numbers))
        await self.manager.refresh_peers()
        return [each.node_id for each in self.manager.get_peers()]


async def test_another_signer_beside_the_first_changes_nobody(tmp_path: Path) -> None:
    signed = Signed(tmp_path / "peers.json")
    await signed.manager.refresh_peers()
    assert await signed.known_to(100, 200) == [1, 2]


async def test_who_is_known_by_the_word_of_a_signer_that_is_trusted_no_longer_goes(tmp_path: Path) -> None:
    signed = Signed(tmp_path / "peers.json")
    await signed.manager.refresh_peers()
    assert await signed.known_to(200) == []


async def test_a_file_of_the_new_signer_decides_at_once_who_stays(tmp_path: Path) -> None:
    signed = Signed(tmp_path / "peers.json")
    await signed.manager.refresh_peers()
    signed.write(1, 3, 4, by=200)
    assert await signed.known_to(200) == [1, 3, 4]


async def test_a_file_that_nobody_signed_counts_no_longer_once_signers_are_trusted(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    write(path, peers_file_of(peer(1)))
    signed = Signed(tmp_path / "signed.json")
    signed.path = path
    assert await signed.known_to() == [1]
    assert await signed.known_to(100) == []


async def test_another_signer_beside_the_first_removes_nobody_even_for_a_moment(tmp_path: Path) -> None:
    signed = Signed(tmp_path / "peers.json")
    await signed.manager.refresh_peers()
    events = signed.manager.subscribe()
    assert await signed.known_to(100, 200) == [1, 2]
    signed.manager.add_peer(peer(9))
    assert (await anext(events)).node_id == 9, "the first event is the one that came after"


def test_other_sources_that_name_the_same_peers_drop_no_connection_and_remove_nobody_on_the_way() -> None:
    async def main() -> None:
        mesh = Mesh()
        await mesh.settle()
        mesh.third.set([mesh.network.peer(host) for host in mesh.network.hosts.values() if host.node_id != 1])
        kept = [mesh.manager.connection(each.endpoint_id) for each in mesh.manager.get_peers()]
        events = mesh.manager.subscribe()
        await mesh.use(mesh.third)
        await asyncio.sleep(10 * INTERVAL)
        assert [mesh.manager.connection(each.endpoint_id) for each in mesh.manager.get_peers()] == kept
        mesh.manager.add_peer(peer(9))
        assert (await anext(events)).node_id == 9, "the first event is the one that came after"
        await mesh.manager.stop()

    run(main())


async def test_a_file_of_the_new_signer_removes_nobody_whom_it_names_even_for_a_moment(tmp_path: Path) -> None:
    signed = Signed(tmp_path / "peers.json")
    await signed.manager.refresh_peers()
    signed.write(1, 3, by=200)
    events = signed.manager.subscribe()
    assert await signed.known_to(200) == [1, 3]
    seen = [await anext(events) for _ in range(2)]
    assert [(event.kind, event.node_id) for event in seen] == [("removed", 2), ("discovered", 3)]
    signed.manager.add_peer(peer(9))
    assert (await anext(events)).node_id == 9


def test_peers_of_an_unsigned_source_are_hints_from_the_moment_that_a_signer_is_trusted() -> None:
    async def main() -> tuple[list[int], list[int], list[int]]:
        mesh = Mesh()
        zone = SetSource("dns:zone", "dns")
        zone.set([peer(8)])
        await mesh.settle()
        await mesh.use(mesh.first, zone)
        before = list(mesh.states())
        config = DiscoveryConfig([mesh.first, zone], INTERVAL, trusted_signers=[key(50).public()])
        await mesh.manager.configure(config)
        during = list(mesh.states())
        await mesh.use(mesh.first, zone)
        after = list(mesh.states())
        await mesh.manager.stop()
        return before, during, after

    assert run(main()) == ([2, 3, 8], [2, 3], [2, 3, 8])
