# SPDX-License-Identifier: MIT
"""Nodes that say in etcd that they run, by keys with leases, and who reads that."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest
from tests.integration.etcd import EtcdServer, encoded, etcd, etcd_server, server
from tests.integration.nodes import Node, eventually
from tests.unit.agent.settings import settings
from tests.unit.peers.people import key

from blixard.agent.live_keys import LiveKeys
from blixard.agent.node_config import NodeConfig
from blixard.cli.main import main
from blixard.clock import SystemClock
from blixard.documents.schemas import validate
from blixard.publishing import etcd_leases
from blixard.publishing.etcd_leases import LiveKey, living
from blixard.sources.base import EtcdAccess
from blixard.sources.etcd_client import Etcd, EtcdPlace

__all__ = ["etcd", "server"]

KEY = "fleet/live/1"


class Told:
    """A node's settings, which change, and its liveness."""

    def __init__(self, place: str, data_dir: Path) -> None:
        self.config: NodeConfig = dataclasses.replace(settings(data_dir), etcd=(place,), etcd_live=True)
        self.live_keys = LiveKeys(lambda: self.config, key(1).public(), SystemClock())


def client(place: str) -> Etcd:
    return Etcd(EtcdPlace.parse(place), EtcdAccess())


def keys(etcd: EtcdServer) -> list[str]:
    return list(etcd.keys("fleet/", "fleet0"))


async def test_a_node_says_that_it_runs_until_it_stops_or_is_told_not_to(etcd: EtcdServer, tmp_path: Path) -> None:
    place = f"{etcd.place}/fleet"
    told = Told(place, tmp_path)
    assert told.live_keys.told() == {}
    await told.live_keys.renew()
    await told.live_keys.renew()
    assert keys(etcd) == [KEY]
    assert told.live_keys.told() == {place: True}
    told.config = dataclasses.replace(told.config, etcd_live=False)
    await told.live_keys.renew()
    assert (keys(etcd), told.live_keys.told()) == ([], {})
    told.config = dataclasses.replace(told.config, etcd_live=True)
    await told.live_keys.renew()
    assert keys(etcd) == [KEY]
    await told.live_keys.stop()
    assert keys(etcd) == []


async def test_a_node_asks_for_it_or_touches_nothing(etcd: EtcdServer, tmp_path: Path) -> None:
    told = Told(f"{etcd.place}/fleet", tmp_path)
    told.config = dataclasses.replace(told.config, etcd_live=False)
    await told.live_keys.renew()
    await told.live_keys.stop()
    assert keys(etcd) == []


async def test_an_etcd_that_is_away_is_said_once_and_told_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "blixard.node")
    with etcd_server(tmp_path / "etcd") as mortal:
        told = Told(f"{mortal.place}/fleet", tmp_path)
        await told.live_keys.renew()
        mortal.kill()
        for _ in range(3):
            await told.live_keys.renew()
        assert list(told.live_keys.told().values()) == [False]
        assert [each.message for each in caplog.records] == ["etcd does not know that this node runs"]
        mortal.start()
        await told.live_keys.renew()
        assert list(told.live_keys.told().values()) == [True]
        assert keys(mortal) == [KEY]


async def test_a_place_that_is_none_harms_no_other(etcd: EtcdServer, tmp_path: Path) -> None:
    told = Told("etcd://nobody@host/other", tmp_path)
    told.config = dataclasses.replace(told.config, etcd=(*told.config.etcd, f"{etcd.place}/fleet"))
    await told.live_keys.renew()
    assert told.live_keys.told() == {f"{etcd.place}/fleet": True}


def test_the_key_of_a_node_that_died_goes_with_its_lease(etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_leases, "LIVE_LEASE", 1)
    LiveKey(client(f"{etcd.place}/fleet"), 1, key(1).public(), SystemClock().wall()).renew()
    assert keys(etcd) == [KEY]
    eventually(lambda: keys(etcd) == [])


def test_a_key_whose_lease_was_lost_is_put_there_anew(etcd: EtcdServer) -> None:
    live = LiveKey(client(f"{etcd.place}/fleet"), 1, key(1).public(), SystemClock().wall())
    live.renew()
    [there] = etcd.call("kv/range", {"key": encoded(KEY)})["kvs"]
    etcd.call("lease/revoke", {"ID": there["lease"]})
    assert keys(etcd) == []
    live.renew()
    assert keys(etcd) == [KEY]
    live.remove()


def test_who_says_that_it_runs_is_listed_and_what_is_no_such_key_is_counted(
    etcd: EtcdServer, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{etcd.place}/fleet"
    value = b'{"iroh_node_id": "%b", "since": "2026-09-01T12:00:00Z"}'
    for number in (10, 9):
        etcd.put(f"fleet/live/{number}", value % key(number).public().base64.encode())
    for name, junk in (("x", value), ("0", value), ("7", b"{}"), ("8", b"\xff"), ("9" * 30, value)):
        etcd.put(f"fleet/live/{name}", junk % key(1).public().base64.encode() if junk is value else junk)
    nodes, unread = living(client(place))
    assert ([each.node_id for each in nodes], unread) == ([9, 10], 5)
    assert main(["record", "live", place]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"node 9 {key(9).public().short} runs since 2026-09-01T12:00:00Z",
        f"node 10 {key(10).public().short} runs since 2026-09-01T12:00:00Z",
        f"{place}: 2 nodes, and 5 keys that cannot be read",
    ]
    assert main(["record", "live", "--json", place]) == 0
    document = json.loads(capsys.readouterr().out)
    validate("live-nodes", document)
    assert [each["node_id"] for each in document["nodes"]] == [9, 10]


def test_a_running_node_is_listed_and_one_that_was_stopped_is_not(etcd: EtcdServer, tmp_path: Path) -> None:
    node = Node(1, tmp_path).start("--data-dir", "data/node1", "--etcd", f"{etcd.place}/fleet", "--etcd-live", "true")
    try:
        eventually(lambda: KEY in keys(etcd))
        [found], _ = living(client(f"{etcd.place}/fleet"))
        assert found.node_id == 1
    finally:
        node.stop()
    assert KEY not in keys(etcd)
