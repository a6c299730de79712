# SPDX-License-Identifier: MIT
"""An older signed peers file: no path, URL, mirror, spelling, restart or former key brings it back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.web import Web, reply, serving
from tests.unit.peers.people import CLUSTER, NOON, endpoint_id, key, peer
from tests.unit.sources.files import peers_file_of, write

from blixard.agent.source_report import problems
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.trust.peers_signature import sign_peers

OLD_KEY, NEW_KEY = 1000, 1001
BOTH = (OLD_KEY, NEW_KEY)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


def signed(*numbers: int, seq: int, by: int = OLD_KEY, cluster: str = CLUSTER) -> tuple[bytes, bytes]:
    """A peers file and its signature, the higher `seq` the newer."""
    data = peers_file_of(*map(peer, numbers))
    now = NOON + timedelta(seconds=seq)
    return data, sign_peers(data, key(by), cluster=cluster, previous_seq=None, now=now)


OLD = signed(1, 2, 3, seq=1)
NEW = signed(1, 2, seq=2)


def put(path: Path, files: tuple[bytes, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    write(path, files[0])
    write(path.with_name(f"{path.name}.sig"), files[1])
    return path


def serve(web: Web, path: str, files: tuple[bytes, bytes]) -> str:
    web.on(f"{path}.sig", reply(200, files[1]))
    return web.on(path, reply(200, files[0]))


class Fleet:
    """A node's manager over its restarts, with one data directory."""

    def __init__(self, room: Path, *, cluster: str | None = CLUSTER) -> None:
        self.state = room / "state"
        self.state.mkdir()
        self.cluster = cluster

    def manager(self, *locations: Path | str, signers: tuple[int, ...] = BOTH) -> DiscoveryManager:
        return DiscoveryManager(self.config(*locations, signers=signers), cluster=self.cluster)

    def config(self, *locations: Path | str, signers: tuple[int, ...] = BOTH) -> DiscoveryConfig:
        sources = [
            DiscoverySource.NodeRegistry([each]) if isinstance(each, str) else DiscoverySource.StaticFile(each)
            for each in locations
        ]
        trusted = [endpoint_id(number) for number in signers]
        return DiscoveryConfig(sources, auto_connect=False, trusted_signers=trusted, state_dir=self.state)

    async def members(self, *locations: Path | str, signers: tuple[int, ...] = BOTH) -> list[int]:
        """Whom a node knows that was restarted with these sources."""
        return await known(self.manager(*locations, signers=signers))


async def known(manager: DiscoveryManager) -> list[int]:
    await manager.refresh_peers()
    return [each.node_id for each in manager.get_peers()]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


async def test_a_file_taken_once_rules_out_older_ones_at_every_path_and_spelling(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await fleet.members(put(tmp_path / "a.json", NEW)) == [1, 2]
    old = put(tmp_path / "old" / "a.json", OLD)
    (tmp_path / "link").symlink_to(tmp_path / "old")
    (tmp_path / "a-link.json").symlink_to(old)
    (tmp_path / "a-link.json.sig").symlink_to(f"{old}.sig")
    put(tmp_path / "a.json", OLD)
    for path in (
        tmp_path / "a.json",
        Path(f"{tmp_path}//a.json"),
        tmp_path / "old" / ".." / "a.json",
        Path("a.json"),
        old,
        tmp_path / "link" / "a.json",
        tmp_path / "a-link.json",
    ):
        assert await fleet.members(path) in ([1, 2], []), path


async def test_a_file_taken_from_disk_rules_out_older_ones_at_urls_and_the_other_way(
    fleet: Fleet, tmp_path: Path, web: Web
) -> None:
    assert await fleet.members(put(tmp_path / "a.json", NEW)) == [1, 2]
    for path in ("/peers.json", "/mirror/peers.json", "/peers.json?v=2", "//peers.json"):
        web.on("/peers.json.sig?v=2", reply(200, OLD[1]))
        assert await fleet.members(serve(web, path, OLD)) == []
    newest = signed(1, seq=3)
    assert await fleet.members(serve(web, "/new.json", newest)) == [1]
    manager = fleet.manager(put(tmp_path / "a.json", NEW))
    assert await known(manager) == []
    assert "older" in str(manager.source_status()[0].error)


async def test_a_mirror_that_lags_keeps_no_member_who_was_taken_out(fleet: Fleet, tmp_path: Path, web: Web) -> None:
    path, url = put(tmp_path / "a.json", OLD), serve(web, "/peers.json", OLD)
    manager = fleet.manager(path, url)
    assert await known(manager) == [1, 2, 3]
    put(path, NEW)
    await manager.refresh_peers()
    assert await known(manager) == [1, 2]
    (line,) = manager.source_status()[1].problems
    assert "older" in line
    serve(web, "/peers.json", NEW)
    await manager.refresh_peers()
    assert manager.source_status()[1].problems == ()
    assert manager.source_status()[1].peers == 2


async def test_a_file_on_disk_that_lags_behind_a_url_keeps_no_member_who_was_taken_out(
    fleet: Fleet, tmp_path: Path, web: Web
) -> None:
    path, url = put(tmp_path / "a.json", OLD), serve(web, "/peers.json", OLD)
    manager = fleet.manager(path, url)
    assert await known(manager) == [1, 2, 3]
    serve(web, "/peers.json", NEW)
    await manager.refresh_peers()
    assert await known(manager) == [1, 2]


async def test_a_former_keys_last_file_is_not_taken_again_while_both_keys_are_trusted(
    fleet: Fleet, tmp_path: Path
) -> None:
    path = put(tmp_path / "a.json", OLD)
    assert await fleet.members(path) == [1, 2, 3]
    put(path, signed(1, 2, seq=2, by=NEW_KEY))
    assert await fleet.members(path) == [1, 2]
    put(path, OLD)
    assert await fleet.members(path) == [1, 2], "from memory: the file is refused"
    assert await fleet.members(put(tmp_path / "b.json", OLD)) == []


async def test_a_reload_with_other_signers_forgets_no_number(fleet: Fleet, tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", NEW)
    manager = fleet.manager(path)
    assert await known(manager) == [1, 2]
    put(path, OLD)
    await manager.configure(fleet.config(path, signers=(OLD_KEY,)))
    await manager.configure(fleet.config(path, signers=BOTH))
    await manager.configure(fleet.config(tmp_path / "." / "a.json", signers=(OLD_KEY,)))
    assert await known(manager) == [1, 2]


async def test_another_clusters_numbers_do_not_keep_this_ones_files_out(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, cluster=None)
    assert await fleet.members(put(tmp_path / "a.json", signed(1, 2, seq=9, cluster="east"))) == [1, 2]
    assert await fleet.members(put(tmp_path / "b.json", signed(3, seq=1, cluster="west"))) == [3]
    assert await fleet.members(put(tmp_path / "c.json", signed(1, seq=8, cluster="east"))) == []


async def test_the_upgrade_from_numbers_by_path_forgets_none(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    seen = int((NOON + timedelta(seconds=2)).timestamp())
    (fleet.state / "seen-signatures.json").write_text(f'{{"{path}": {seen}}}\n')
    assert await fleet.members(put(path, OLD)) == []
    assert await fleet.members(put(path, NEW)) == [1, 2]
    assert await fleet.members(put(tmp_path / "b.json", OLD)) == []


async def test_a_number_that_cannot_be_written_is_said_until_it_is(fleet: Fleet, tmp_path: Path) -> None:
    fleet.state.rmdir()
    manager = fleet.manager(put(tmp_path / "a.json", NEW))
    assert await known(manager) == [1, 2]
    lines = manager.not_remembered()
    assert any("seen-signatures.json" in line for line in lines)
    assert any("remembered-peers" in line for line in lines)
    assert all(f"cannot remember what it took: {line}" in problems(manager) for line in lines)
    fleet.state.mkdir()
    manager._write_again()
    assert manager.not_remembered() == []
    put(tmp_path / "a.json", OLD)
    assert await fleet.members(tmp_path / "a.json") == [1, 2], "from memory: the file is refused"
