# SPDX-License-Identifier: MIT
"""Peers from a real etcd: read once, followed by a watch, through restarts, compaction, users and TLS."""

from __future__ import annotations

import asyncio
import urllib.error
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.etcd import EtcdServer, certificates, encoded, etcd_server
from tests.unit.peers.people import CLUSTER, NOON, key, peer
from tests.unit.sources.files import CHECK, in_an_hour, nodes, peers_file_of, registry_of, said

from blixard.clock import SystemClock
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.documents.parts import split, write_index
from blixard.model.entry import DiscoveredPeer
from blixard.sources import etcd_watch
from blixard.sources.base import Answer, EtcdAccess, Found, Nothing, SourceContext
from blixard.sources.etcd import EtcdSource
from blixard.sources.etcd_client import PAGE, EtcdPlace
from blixard.trust.peers_signature import sign_peers

FLEET = key(1000)
TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False, cluster=CLUSTER)
SIGNED = replace(TOOLS, signers=[FLEET.public()])
PATIENCE = 30.0


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd without TLS and users."""
    with etcd_server(tmp_path / "etcd") as running:
        yield running


def source(server: EtcdServer, context: SourceContext = TOOLS, prefix: str = "fleet") -> EtcdSource:
    return EtcdSource(EtcdPlace.parse(f"{server.place}/{prefix}"), context)


def enter(server: EtcdServer, each: DiscoveredPeer, **more: Any) -> None:
    server.put(f"fleet/registry/n{each.node_id}", registry_of(each), **more)


def publish(server: EtcdServer, *peers: DiscoveredPeer, seq: int = 1) -> None:
    data = peers_file_of(*peers)
    server.put("fleet/peers", data)
    server.put("fleet/peers.sig", signature(data, seq))


def signature(data: bytes, seq: int = 1) -> bytes:
    return sign_peers(data, FLEET, cluster=CLUSTER, previous_seq=None, now=NOON, at_least=int(NOON.timestamp()) + seq)


async def news(followed: EtcdSource) -> Answer:
    """The answer after the watch, which the manager asks every second, has said that something changed."""
    for _ in range(int(PATIENCE / 0.05)):
        if await followed.changed():
            return await followed.fetch()
        await asyncio.sleep(0.05)
    raise AssertionError("the watch says nothing")


@asynccontextmanager
async def managing(config: DiscoveryConfig) -> AsyncIterator[DiscoveryManager]:
    manager = DiscoveryManager(config)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop()


async def eventually(is_so: Callable[[], object]) -> None:
    for _ in range(int(PATIENCE / 0.05)):
        if is_so():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to this")


def known(manager: DiscoveryManager) -> list[int]:
    return [each.node_id for each in manager.get_peers()]


async def test_the_entries_under_the_prefix_are_the_peers(etcd: EtcdServer) -> None:
    for each in (peer(1, seq=5), peer(2)):
        enter(etcd, each)
    etcd.put("fleet2/registry/n3", registry_of(peer(3)))
    followed = source(etcd)
    answer = await followed.fetch()
    assert nodes(answer) == [1, 2]
    assert isinstance(answer, Found)
    assert answer.sightings[0].place == f"{etcd.place}/fleet/registry/n1"
    assert await followed.fetch() is answer


async def test_a_prefix_that_nobody_has_written_to_says_nothing(etcd: EtcdServer) -> None:
    assert await source(etcd).fetch() == Nothing()


async def test_more_entries_than_a_page_has_are_read_whole(etcd: EtcdServer) -> None:
    for number in range(1, PAGE + 11):
        enter(etcd, peer(number, "10.0.0.1:1"))
    assert nodes(await source(etcd).fetch()) == list(range(1, PAGE + 11))


async def test_what_changes_comes_by_the_watch_and_costs_one_entry(etcd: EtcdServer) -> None:
    for number in (1, 2, 3):
        enter(etcd, peer(number, seq=5))
    followed = source(etcd)
    before = await followed.fetch()
    assert isinstance(before, Found)
    assert not await followed.changed()
    enter(etcd, peer(2, "10.9.9.9:9", seq=6))
    after = await news(followed)
    assert isinstance(after, Found)
    assert tuple(after.peers[1].direct_addresses) == ("10.9.9.9:9",)
    assert after.sightings[0] is before.sightings[0]
    assert after.sightings[2] is before.sightings[2]
    etcd.remove("fleet/registry/n3")
    assert nodes(await news(followed)) == [1, 2]


async def test_a_watch_ends_when_nobody_asks_any_more(etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_watch, "UNASKED", 1)
    followed = source(etcd)
    await followed.fetch()
    await followed.changed()
    watch = followed._watch
    assert watch is not None
    await eventually(lambda: watch._end == "nobody asks any more")


async def test_without_a_watch_a_look_finds_what_was_changed_and_what_was_removed(etcd: EtcdServer) -> None:
    for number in (1, 2, 3):
        enter(etcd, peer(number, seq=5))
    polled = source(etcd)
    await polled.fetch()
    enter(etcd, peer(1, "10.9.9.9:9", seq=6))
    answer = await polled.fetch()
    assert isinstance(answer, Found)
    assert tuple(answer.peers[0].direct_addresses) == ("10.9.9.9:9",)
    etcd.remove("fleet/registry/n3")
    enter(etcd, peer(4))
    assert nodes(await polled.fetch()) == [1, 2, 4]


async def test_a_running_manager_lives_through_a_kill_and_a_restart_of_etcd(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    config = DiscoveryConfig([DiscoverySource.Etcd([f"{etcd.place}/fleet"])], refresh_interval=60.0, auto_connect=False)
    async with managing(config) as manager:
        assert known(manager) == [1]
        enter(etcd, peer(2))
        await eventually(lambda: known(manager) == [1, 2])
        etcd.kill()
        await eventually(lambda: manager.source_status()[0].state == "failed")
        assert known(manager) == [1, 2]
        etcd.start()
        enter(etcd, peer(3))
        await eventually(lambda: known(manager) == [1, 2, 3])
        enter(etcd, peer(4))
        await eventually(lambda: known(manager) == [1, 2, 3, 4])


async def test_a_revision_that_was_compacted_is_no_loss(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    followed = source(etcd)
    await followed.fetch()
    last = [etcd.put("elsewhere", b"x") for _ in range(5)][-1]
    enter(etcd, peer(2))
    etcd.call("kv/compaction", {"revision": str(last + 1), "physical": True})
    await followed.changed()  # begins to watch from a revision that is gone
    await eventually(lambda: followed._watch is not None and followed._watch._end is not None)
    assert nodes(await followed.fetch()) == [1, 2]
    assert not await followed.changed()
    enter(etcd, peer(3))
    assert nodes(await news(followed)) == [1, 2, 3]


async def test_a_signed_peers_file_says_who_is_a_member_and_an_entry_where(etcd: EtcdServer) -> None:
    publish(etcd, peer(1, seq=5), peer(2, seq=5))
    enter(etcd, peer(2, "10.9.9.9:9", seq=6))
    enter(etcd, peer(3, seq=5))
    answer = await source(etcd, SIGNED).fetch()
    assert nodes(answer) == [1, 2]
    assert isinstance(answer, Found)
    assert answer.final
    assert tuple(answer.peers[1].direct_addresses) == ("10.9.9.9:9",)
    assert "1 entries are of nodes that the peers file does not name" in answer.problems


async def test_where_signers_are_trusted_entries_alone_make_nobody_a_member(etcd: EtcdServer) -> None:
    enter(etcd, peer(1, seq=5))
    assert "no signed peers file" in said(await source(etcd, SIGNED).fetch())
    etcd.put("fleet/peers", peers_file_of(peer(1, seq=5)))
    assert "has no signature" in said(await source(etcd, SIGNED).fetch())


async def test_an_older_signed_file_is_refused_and_takes_nobody_away(etcd: EtcdServer) -> None:
    publish(etcd, peer(1), peer(2), seq=9)
    config = DiscoveryConfig(
        [DiscoverySource.Etcd([f"{etcd.place}/fleet"])], auto_connect=False, trusted_signers=[FLEET.public()]
    )
    async with managing(config) as manager:
        assert known(manager) == [1, 2]
        publish(etcd, peer(1), seq=8)
        await eventually(lambda: "older" in (manager.source_status()[0].error or ""))
        assert known(manager) == [1, 2]
        publish(etcd, peer(1), seq=10)
        await eventually(lambda: known(manager) == [1])


async def test_a_peers_file_in_parts_counts_when_its_index_is_there(etcd: EtcdServer) -> None:
    data = peers_file_of(*(peer(number) for number in range(1, 40)))
    digests, parts = split(data)
    for digest, part in parts.items():
        etcd.put(f"fleet/parts/{digest}", part)
    etcd.put("fleet/peers", write_index(digests))
    etcd.put("fleet/peers.sig", signature(data))
    followed = source(etcd, SIGNED)
    assert len(nodes(await followed.fetch())) == 39
    more = peers_file_of(*(peer(number) for number in range(1, 41)))
    etcd.put("fleet/peers", write_index(split(more)[0]))
    assert "no good part" in said(await news(followed))


async def test_an_emptied_prefix_is_a_failure_and_an_empty_list_takes_all_away(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    emptied = source(etcd)
    await emptied.fetch()
    etcd.remove("fleet/", "fleet0")
    assert "has no entries any more" in said(await emptied.fetch())
    etcd.put("fleet/peers", b"[]")
    assert nodes(await emptied.fetch()) == []


async def test_a_peers_file_that_vanished_keeps_its_peers(etcd: EtcdServer) -> None:
    publish(etcd, peer(1))
    followed = source(etcd, SIGNED)
    await followed.fetch()
    etcd.remove("fleet/", "fleet0")
    assert "has vanished; its peers are kept" in said(await followed.fetch())


async def test_a_bad_entry_hides_no_other(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    etcd.put("fleet/registry/bad", b"{")
    etcd.call("kv/put", {"key": encoded(b"fleet/registry/\xff\n"), "value": encoded("x")})
    etcd.put("fleet/registry/large", b" " * 70_000)
    answer = await source(etcd).fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert len(answer.problems) == 3


async def test_another_cluster_at_the_same_place_erases_nobody_until_it_has_stayed(etcd: EtcdServer) -> None:
    now = [SystemClock().wall()]

    def wall() -> datetime:
        return now[0]

    enter(etcd, peer(1))
    followed = source(etcd, replace(TOOLS, wall=wall))
    await followed.fetch()
    etcd.kill()
    etcd.wipe()
    etcd.start()
    enter(etcd, peer(2))
    assert "another etcd cluster" in said(await followed.fetch())
    assert "another etcd cluster" in said(await followed.fetch())
    now[0] += timedelta(minutes=6)
    assert nodes(await followed.fetch()) == [2]


async def test_a_cluster_that_went_back_erases_nobody(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    etcd.kill()
    token = etcd.token
    etcd.wipe()
    etcd.token = token  # the same cluster id, restored from a backup of before
    etcd.start()
    for number in (1, 2, 3):
        enter(etcd, peer(number))
    followed = source(etcd)
    await followed.fetch()
    etcd.kill()
    etcd.wipe()
    etcd.token = token
    etcd.start()
    assert "went back from revision" in said(await followed.fetch())


async def test_the_next_endpoint_is_asked_when_one_is_down(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    place = EtcdPlace.parse(f"etcd://localhost:1,localhost:{etcd.port}/fleet")
    assert nodes(await EtcdSource(place, TOOLS).fetch()) == [1]


async def test_urls_of_one_prefix_are_endpoints_of_one_cluster(etcd: EtcdServer) -> None:
    enter(etcd, peer(1))
    urls = ["etcd://localhost:1/fleet", f"{etcd.place}/fleet"]
    async with managing(DiscoveryConfig([DiscoverySource.Etcd(urls)], auto_connect=False)) as manager:
        assert known(manager) == [1]
        assert len(manager.source_status()) == 1


async def test_an_etcd_that_is_down_is_one_line_with_its_place() -> None:
    down = EtcdSource(EtcdPlace.parse("etcd://localhost:1/fleet"), TOOLS)
    error = said(await down.fetch())
    assert error.startswith("etcd://localhost:1/fleet: cannot be read")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """The file with the password of `node`."""
    path = tmp_path / "password"
    keep(path, "hush\n")
    return path


def keep(path: Path, password: str, mode: int = 0o600) -> None:
    path.write_text(password)
    path.chmod(mode)


async def test_a_user_gets_a_token_and_renews_it(etcd: EtcdServer, password_file: Path) -> None:
    enter(etcd, peer(1))
    etcd.add_users("node", "hush", "fleet")
    root = etcd.token_of("root", "all")
    context = replace(TOOLS, etcd=EtcdAccess("node", password_file))
    followed = source(etcd, context)
    assert nodes(await followed.fetch()) == [1]
    etcd.kill()  # which forgets all tokens
    etcd.start()
    assert nodes(await followed.fetch()) == [1]
    await followed.changed()
    root = etcd.token_of("root", "all")
    enter(etcd, peer(2), token=root)
    assert nodes(await news(followed)) == [1, 2]


async def test_a_wrong_password_and_another_prefix_are_named_and_shown_nowhere(
    etcd: EtcdServer, password_file: Path
) -> None:
    etcd.add_users("node", "other", "fleet")
    context = replace(TOOLS, etcd=EtcdAccess("node", password_file))
    error = said(await source(etcd, context).fetch())
    assert "refuses the user or the password" in error
    assert "hush" not in error
    keep(password_file, "other")
    assert "does not let this user do that" in said(await source(etcd, context, "elsewhere").fetch())
    assert "wants a user and a password" in said(await source(etcd).fetch())


async def test_a_password_file_that_others_may_read_is_refused(etcd: EtcdServer, password_file: Path) -> None:
    keep(password_file, "hush", 0o644)
    context = replace(TOOLS, etcd=EtcdAccess("node", password_file))
    assert "has mode 0644" in said(await source(etcd, context).fetch())


async def test_certificates_of_both_sides_are_proved(tmp_path: Path) -> None:
    options, access = certificates(tmp_path)
    with etcd_server(tmp_path / "etcd", options) as secured:
        context = replace(TOOLS, etcd=access)
        assert await source(secured, context).fetch() == Nothing()
        no_client = replace(TOOLS, etcd=replace(access, cert_file=None, key_file=None))
        assert "etcds://localhost" in said(await source(secured, no_client).fetch())
        no_authority = replace(TOOLS, etcd=replace(access, ca_file=None))
        assert "certificate is refused" in said(await source(secured, no_authority).fetch())


async def test_a_password_is_not_sent_without_tls_beyond_loopback(password_file: Path) -> None:
    context = replace(TOOLS, etcd=EtcdAccess("node", password_file))
    far = EtcdSource(EtcdPlace.parse("etcd://192.0.2.1:2379/fleet"), context)
    assert "would send for all to read" in said(await far.fetch())


def test_the_servers_users_hold(etcd: EtcdServer) -> None:
    etcd.add_users("node", "hush", "fleet")
    with pytest.raises(urllib.error.HTTPError):
        etcd.put("fleet/x", b"")
