# SPDX-License-Identifier: MIT
"""Registries on fsspec's file systems."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tests.unit.peers.people import peer
from tests.unit.sources.files import CHECK, in_an_hour, registry_of

from blixard.documents.limits import MAX_REGISTRY_BYTES
from blixard.sources.base import Answer, Failed, Found
from blixard.sources.named import Tools, registry_at
from blixard.sources.remote import RemoteRegistries


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """An empty file system in memory."""
    made = fsspec.filesystem("memory")
    made.store.clear()
    yield made
    made.store.clear()


def source(url: str) -> RemoteRegistries:
    return RemoteRegistries(url, check=CHECK, wall=in_an_hour)


def nodes(answer: Answer) -> list[int]:
    assert isinstance(answer, Found), answer
    return [each.node_id for each in answer.peers]


async def test_one_file(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/fleet/n1.json", registry_of(peer(1, seq=5)))
    answer = await source("memory://fleet/n1.json").fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert answer.sightings[0].place == "memory:///fleet/n1.json"


async def test_a_folder_and_a_pattern(memory: fsspec.AbstractFileSystem) -> None:
    for number in (1, 2, 3):
        memory.pipe(f"/fleet/n{number}.json", registry_of(peer(number)))
    memory.pipe("/fleet/.n4.json", b"half")
    memory.pipe("/fleet/readme.txt", b"hello")
    assert nodes(await source("memory://fleet").fetch()) == [1, 2, 3]
    assert nodes(await source("memory://fleet/n[12].json").fetch()) == [1, 2]


async def test_unchanged_files_give_the_very_same_answer_and_changed_ones_are_read(
    memory: fsspec.AbstractFileSystem,
) -> None:
    memory.pipe("/fleet/n1.json", registry_of(peer(1)))
    memory.pipe("/fleet/n2.json", registry_of(peer(2)))
    registries = source("memory://fleet")
    before = await registries.fetch()
    assert await registries.fetch() is before
    memory.pipe("/fleet/n2.json", registry_of(peer(2, "10.0.0.22:22")))
    after = await registries.fetch()
    assert isinstance(before, Found)
    assert isinstance(after, Found)
    assert after.sightings[0] is before.sightings[0]
    assert tuple(after.peers[1].direct_addresses) == ("10.0.0.22:22",)


async def test_a_bad_file_hides_no_other_and_alone_is_a_failure(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/fleet/n1.json", registry_of(peer(1)))
    memory.pipe("/fleet/n2.json", b" " * (MAX_REGISTRY_BYTES + 1))
    answer = await source("memory://fleet").fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert "too large" in answer.problems[0]
    assert isinstance(await source("memory://fleet/n2.json").fetch(), Failed)


async def test_what_is_not_there_is_a_failure(memory: fsspec.AbstractFileSystem) -> None:
    answer = await source("memory://nowhere").fetch()
    assert answer == Failed("memory://nowhere: does not exist; name a registry, a folder of them, or a pattern")


async def test_a_file_system_that_breaks_is_a_failure_that_keeps_the_password_to_itself(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://user:hush@fleet/n1.json"

    def broken(self: object, path: str) -> bool:
        raise RuntimeError(f"boom at {url}")

    monkeypatch.setattr(type(memory), "isdir", broken)
    registries = source(url)
    answer = await registries.fetch()
    assert isinstance(answer, Failed)
    assert "boom at memory://fleet/n1.json" in answer.error
    assert "hush" not in answer.error + registries.name


async def test_files_on_disk_work_the_same_way(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"n{number}.json").write_bytes(registry_of(peer(number)))
    assert nodes(await source(f"local://{tmp_path}").fetch()) == [1, 2]


async def test_an_unknown_scheme_or_a_missing_driver_is_a_failure_that_says_what_to_install() -> None:
    unknown = await source("gopher9://x/y").fetch()
    assert isinstance(unknown, Failed)
    assert "gopher9" in unknown.error


async def test_without_fsspec_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    answer = await registry_at("s3://bucket/n1.json", Tools(CHECK, in_an_hour, lambda _: False)).fetch()
    assert isinstance(answer, Failed)
    assert "blixard[remote]" in answer.error
