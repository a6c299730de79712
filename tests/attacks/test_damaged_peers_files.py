# SPDX-License-Identifier: MIT
"""A peers file that is damaged, gone or out of reach when a node starts: the node has its peers all the same."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.attacks.test_rollback import NEW, NEW_KEY, OLD, OLD_KEY, Fleet, known, put, serve, signed
from tests.integration.web import reply, serving
from tests.unit.peers.people import CLUSTER, NOON, endpoint_id, peer
from tests.unit.sources.files import peers_file_of, registry_of, write

from blixard.agent.source_report import problems
from blixard.discovery_manager import DiscoveryManager
from blixard.peers.status import SourceStatus

FOLDER = "remembered-peers"


def unsigned(*numbers: int) -> bytes:
    return peers_file_of(*map(peer, numbers))


def attested(*numbers: int) -> bytes:
    return peers_file_of(*(peer(number, seq=int(NOON.timestamp())) for number in numbers))


def files_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def kept(fleet: Fleet) -> list[Path]:
    return sorted((fleet.state / FOLDER).iterdir()) if (fleet.state / FOLDER).exists() else []


def truncated(path: Path) -> None:
    write(path, path.read_bytes()[:-20], age=30)


def emptied(path: Path) -> None:
    write(path, b"", age=30)


def tampered(path: Path) -> None:
    write(path, path.read_bytes().replace(b'"node_id": 2', b'"node_id": 0'), age=30)


def removed(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_signature(path: Path) -> None:
    path.with_name(f"{path.name}.sig").unlink()


def signed_by_another(path: Path) -> None:
    put(path, signed(1, 2, 7, seq=9, by=2000))


def an_older_one(path: Path) -> None:
    put(path, signed(1, 2, 3, seq=0))


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "discovery-peers.json"


async def status(manager: DiscoveryManager) -> SourceStatus:
    await manager.refresh_peers()
    return manager.source_status()[0]


DAMAGE: list[Callable[[Path], None]] = [truncated, emptied, tampered, removed, a_folder]


@pytest.mark.parametrize("damage", [*DAMAGE, without_signature, signed_by_another, an_older_one])
async def test_a_signed_fleet_starts_from_memory(fleet: Fleet, path: Path, damage: Callable[[Path], None]) -> None:
    assert await fleet.members(put(path, OLD)) == [1, 2, 3]
    damage(path)
    manager = fleet.manager(path)
    assert await known(manager) == [1, 2, 3]
    (said,) = manager.source_status()
    assert said.state == "failed"
    assert said.error
    assert said.memory_of is not None
    assert said.good_at is None
    assert said.peers == 3
    assert any("does not take its peers file" in line for line in problems(manager))


@pytest.mark.parametrize("damage", DAMAGE)
async def test_an_unsigned_fleet_starts_from_what_was_last_valid(
    fleet: Fleet, path: Path, damage: Callable[[Path], None]
) -> None:
    write(path, unsigned(1, 2))
    assert await fleet.members(path, signers=()) == [1, 2]
    damage(path)
    manager = fleet.manager(path, signers=())
    assert await known(manager) == [1, 2]
    assert manager.source_status()[0].memory_of is not None
    assert problems(manager)


async def test_the_named_source_counts_again_as_soon_as_it_is_good(fleet: Fleet, path: Path) -> None:
    await fleet.members(put(path, OLD))
    truncated(path)
    manager = fleet.manager(path)
    assert await known(manager) == [1, 2, 3]
    put(path, NEW)
    assert await known(manager) == [1, 2]
    said = manager.source_status()[0]
    assert (said.state, said.memory_of, said.error) == ("found", None, None)
    truncated(path)
    assert (await status(manager)).memory_of is None, "what it said well since the start is no memory of before"
    assert await known(manager) == [1, 2]


async def test_a_url_that_cannot_be_reached_speaks_from_memory(fleet: Fleet) -> None:
    with serving() as web:
        url = serve(web, "/peers.json", OLD)
        assert await fleet.members(url) == [1, 2, 3]
        web.on("/peers.json", reply(404))
        assert await fleet.members(url) == [1, 2, 3]
    assert await fleet.members(url) == [1, 2, 3]


async def test_one_bad_entry_among_good_ones_takes_nobody_away_at_a_restart(fleet: Fleet, path: Path) -> None:
    write(path, attested(1, 2, 3))
    assert await fleet.members(path, signers=()) == [1, 2, 3]
    for _ in range(2):
        write(path, attested(1, 2, 3, 4).replace(b"10.0.0.2:7001", b"10.0.0.9:7001"), age=30)
        manager = fleet.manager(path, signers=())
        assert await known(manager) == [1, 2, 3, 4]
        assert len(manager.source_status()[0].problems) == 1
    truncated(path)
    assert await fleet.members(path, signers=()) == [1, 2, 3, 4]


async def test_an_empty_list_takes_the_memory_away_with_it(fleet: Fleet, path: Path) -> None:
    write(path, unsigned(1, 2))
    await fleet.members(path, signers=())
    write(path, "[]")
    assert await fleet.members(path, signers=()) == []
    assert kept(fleet) == []
    removed(path)
    manager = fleet.manager(path, signers=())
    assert await known(manager) == []
    assert (await status(manager)).state == "nothing"


async def test_a_registry_in_place_of_a_list_takes_the_memory_away(fleet: Fleet) -> None:
    with serving() as web:
        url = serve(web, "/peers.json", OLD)
        assert await fleet.members(url) == [1, 2, 3]
        web.on("/peers.json", reply(200, registry_of(peer(7, seq=5))))
        assert await fleet.members(url) == []  # whoever serves a registry names no members either
        web.on("/peers.json", reply(500))
        assert await fleet.members(url) == []


async def test_a_source_that_is_no_longer_configured_does_not_speak_from_memory(fleet: Fleet, path: Path) -> None:
    other = put(path.with_name("other.json"), NEW)
    manager = fleet.manager(put(path, NEW), other)
    await manager.refresh_peers()
    assert len(kept(fleet)) == 2
    await manager.configure(fleet.config(path))
    assert len(kept(fleet)) == 1
    truncated(other)
    assert await fleet.members(other) == []
    assert kept(fleet) == []


async def test_a_memory_that_the_present_signers_did_not_sign_is_dropped(fleet: Fleet, path: Path) -> None:
    await fleet.members(put(path, OLD))
    truncated(path)
    manager = fleet.manager(path, signers=(NEW_KEY,))
    assert await known(manager) == []
    assert kept(fleet) == []
    assert await fleet.members(path, signers=(OLD_KEY,)) == []


async def test_a_memory_without_a_signature_counts_for_nothing_once_signers_are_trusted(
    fleet: Fleet, path: Path
) -> None:
    write(path, unsigned(1, 2))
    await fleet.members(path, signers=())
    truncated(path)
    assert await fleet.members(path, signers=(OLD_KEY,)) == []


async def test_a_memory_that_is_older_than_what_was_seen_since_is_not_used(fleet: Fleet, path: Path) -> None:
    with serving() as web:
        url = serve(web, "/peers.json", OLD)
        assert await known(fleet.manager(path, url)) == [1, 2, 3]
        web.on("/peers.json", reply(500))
        put(path, NEW)
        for _ in range(2):
            manager = fleet.manager(path, url)
            assert await known(manager) == [1, 2]
            assert await known(manager) == [1, 2]


@pytest.mark.parametrize("at", [0, 40, 150, -1])
async def test_a_damaged_memory_is_none(fleet: Fleet, path: Path, at: int) -> None:
    write(path, unsigned(1, 2))
    await fleet.members(path, signers=())
    (memory,) = kept(fleet)
    data = bytearray(memory.read_bytes())
    data[at] ^= 0x01
    memory.write_bytes(data)
    truncated(path)
    assert await fleet.members(path, signers=()) == []


async def test_a_memory_is_replaced_by_hand_only_for_what_the_file_itself_could_be(fleet: Fleet, path: Path) -> None:
    """Whoever can write into the data directory can write the peers file too: the same signature is asked for."""
    await fleet.members(put(path, OLD))
    (memory,) = kept(fleet)
    head, _, _ = memory.read_bytes().partition(b"\n")
    memory.write_bytes(head + b"\n" + unsigned(1, 2, 9))
    truncated(path)
    assert await fleet.members(path) == []


async def test_the_memory_is_for_the_owner_alone_and_is_not_written_when_nothing_changed(
    fleet: Fleet, path: Path
) -> None:
    await fleet.members(put(path, OLD))
    (memory,) = kept(fleet)
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.parent.stat().st_mode) == 0o700
    before = memory.stat()
    manager = fleet.manager(path)
    for _ in range(3):
        await manager.refresh_peers()
    write(path, OLD[0], age=10)
    await manager.refresh_peers()
    after = memory.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_link_in_place_of_the_memory_is_neither_followed_nor_emptied(fleet: Fleet, path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (fleet.state / FOLDER).symlink_to(elsewhere)
    manager = fleet.manager(put(path, OLD))
    assert await known(manager) == [1, 2, 3]
    assert files_in(elsewhere) == ["precious"]
    assert any("is not a folder; move it away" in line for line in manager.not_remembered())


async def test_nothing_is_kept_where_there_is_no_data_directory(path: Path, tmp_path: Path) -> None:
    from blixard.discovery_manager import DiscoveryConfig, DiscoverySource

    write(path, unsigned(1))
    config = DiscoveryConfig([DiscoverySource.StaticFile(path)], auto_connect=False)
    assert await known(DiscoveryManager(config, cluster=CLUSTER)) == [1]
    assert files_in(tmp_path) == [path.name]


async def test_a_reload_with_more_signers_on_a_damaged_file_keeps_the_peers(fleet: Fleet, path: Path) -> None:
    manager = fleet.manager(put(path, OLD), signers=(OLD_KEY,))
    assert await known(manager) == [1, 2, 3]
    truncated(path)
    await manager.configure(fleet.config(path, signers=(OLD_KEY, NEW_KEY)))
    assert await known(manager) == [1, 2, 3]
    await manager.configure(fleet.config(path, signers=(NEW_KEY,)))
    assert await known(manager) == []
    assert manager.find(endpoint_id(1)) is None
