# SPDX-License-Identifier: MIT
"""Two controllers that share one record in a real etcd, each with a shard of the hosts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.ansible.fleet import Fleet
from tests.integration.etcd import EtcdServer, etcd_server

from blixard.publishing.etcd_locks import RunLock
from blixard.sources.base import EtcdAccess
from blixard.sources.etcd_client import Etcd, EtcdPlace

BUSY = "another run is at work on this record: bob on m2, process 7, since now"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """The etcd that all controllers share."""
    with etcd_server(tmp_path_factory.mktemp("etcd") / "one") as running:
        yield running


@pytest.fixture(scope="module")
def place(etcd: EtcdServer) -> str:
    return f"{etcd.place}/fleet"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Fleet]:
    """The first controller, which has rolled out one of three hosts, and published the record."""
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 3)
    fleet.sign_with(tmp_path_factory.mktemp("keys") / "fleet")
    # Hosts of other shards learn of a new one from etcd.
    fleet.group |= {"blixard_publish": [place], "blixard_etcd": [place]}
    run = fleet.play("site", "--limit", "node3")
    assert run.code == 0, run.output
    fleet.group |= {"blixard_publish": [], "blixard_record_from": place}
    yield fleet
    fleet.stop()


@pytest.fixture
def second(first: Fleet, tmp_path: Path) -> Fleet:
    """Another controller for the same hosts, with nothing of the record."""
    group = {**first.group, "blixard_data_dir": f"{first.root}/{{{{ inventory_hostname }}}}"}
    return Fleet(tmp_path, first.hosts, group)


def members(etcd: EtcdServer) -> set[str]:
    return {key.rpartition("/")[2] for key in etcd.keys("fleet/registry/", "fleet/registry0")}


def test_a_run_that_finds_another_one_at_work_is_refused_before_anything_is_done(
    second: Fleet, etcd: EtcdServer, place: str
) -> None:
    before = etcd.keys("fleet/", "fleet0")
    bob = RunLock(
        Etcd(EtcdPlace.parse(place), EtcdAccess()), {"user": "bob", "machine": "m2", "process": 7, "since": "now"}
    )
    bob.wait_for(0, lambda _: False, print)
    run = second.play("site", "--limit", "node2", "-e", "blixard_record_wait=0")
    foreseen = second.play("peers", "--check")
    bob.release()
    assert run.code != 0
    assert f"{place}: {BUSY}; wait until it ends" in run.words
    assert not second.registry.exists()
    assert BUSY not in foreseen.words, "check mode takes no lock"
    assert not second.registry.exists()
    assert "is not what is published; check mode does not bring it" in foreseen.words
    assert etcd.keys("fleet/", "fleet0") == before


def test_two_controllers_at_once_with_a_shard_each_lose_nothing(first: Fleet, second: Fleet, etcd: EtcdServer) -> None:
    with ThreadPoolExecutor() as both:
        runs = [
            both.submit(fleet.play, "site", "--limit", host) for fleet, host in ((first, "node1"), (second, "node2"))
        ]
    for run in runs:
        assert run.result().code == 0, run.result().output
    assert members(etcd) == {"node1", "node2", "node3"}
    assert "fleet/rollout" not in etcd.keys("fleet/", "fleet0")
    again = first.play("peers")
    assert again.code == 0, again.output
    assert {path.stem for path in first.registry.glob("*.json")} == {"node1", "node2", "node3"}
