# SPDX-License-Identifier: MIT
"""Registries and peers files on fsspec's file systems."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests.unit.peers.people import CLUSTER, NOON, key, peer
from tests.unit.sources.files import CHECK, in_an_hour, nodes, peers_file_of, registry_of, said, write

from blixard.model.limits import MAX_PEERS_BYTES, MAX_REGISTRY_BYTES
from blixard.sources.base import Found, SourceContext
from blixard.sources.factory import registry_at
from blixard.sources.remote_files import RemoteSource
from blixard.trust.peers_signature import sign_peers

TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
FLEET = key(1000)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """An empty file system in memory."""
    made = fsspec.filesystem("memory")
    made.store.clear()
    yield made
    made.store.clear()


def source(url: str, **more: Any) -> RemoteSource:
    return RemoteSource(url, TOOLS, **more)


async def test_one_registry(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/fleet/n1.json", registry_of(peer(1, seq=5)))
    answer = await source("memory://fleet/n1.json").fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert answer.sightings[0].place == "memory://fleet/n1.json"


async def test_a_peers_file(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/peers.json", peers_file_of(peer(1), peer(2)))
    assert nodes(await source("memory://peers.json").fetch()) == [1, 2]


async def test_a_folder_names_its_registries_and_a_pattern_what_it_matches(memory: fsspec.AbstractFileSystem) -> None:
    for number in (1, 2, 3):
        memory.pipe(f"/fleet/n{number}.json", registry_of(peer(number)))
    memory.pipe("/fleet/.n4.json", b"half")
    memory.pipe("/fleet/readme.txt", b"hello")
    memory.pipe("/fleet/more.json/n5.json", registry_of(peer(5)))
    assert nodes(await source("memory://fleet").fetch()) == [1, 2, 3]
    assert nodes(await source("memory://fleet/n[12].json").fetch()) == [1, 2]


async def test_where_signers_are_trusted_a_peers_file_needs_its_signature(memory: fsspec.AbstractFileSystem) -> None:
    data = peers_file_of(peer(1))
    memory.pipe("/peers.json", data)
    context = SourceContext(CHECK, in_an_hour, lambda _: False, signers=[FLEET.public()], cluster=CLUSTER)
    remote = RemoteSource("memory://peers.json", context)
    assert "peers.json.sig is not there" in said(await remote.fetch())
    memory.pipe("/peers.json.sig", sign_peers(data, key(7), cluster=CLUSTER, previous_seq=None, now=NOON))
    assert "not one of the trusted signers" in said(await remote.fetch())
    memory.pipe("/peers.json.sig", sign_peers(data, FLEET, cluster=CLUSTER, previous_seq=None, now=NOON))
    assert nodes(await remote.fetch()) == [1]


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


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are opened, as they are."""
    paths: list[str] = []
    kind = type(fsspec.filesystem("local"))
    original = kind.open

    def noted(self: Any, path: str, *words: Any, **more: Any) -> Any:
        paths.append(path)
        return original(self, path, *words, **more)

    monkeypatch.setattr(kind, "open", noted)
    return paths


async def test_a_file_whose_description_stays_the_same_is_not_read_again(tmp_path: Path, opened: list[str]) -> None:
    for number in (1, 2):
        write(tmp_path / f"n{number}.json", registry_of(peer(number)))
    folder, alone = source(f"local://{tmp_path}"), source(f"local://{tmp_path}/n1.json")
    for each in (folder, alone):
        assert await each.fetch() is await each.fetch()
    assert len(opened) == 3
    write(tmp_path / "n1.json", registry_of(peer(1, "10.0.0.11:1")), age=50.0)
    for each in (folder, alone):
        answer = await each.fetch()
        assert isinstance(answer, Found)
        assert tuple(answer.peers[0].direct_addresses) == ("10.0.0.11:1",)
    assert opened[3:] == [str(tmp_path / "n1.json")] * 2


async def test_a_file_that_has_just_been_written_is_read_again(tmp_path: Path, opened: list[str]) -> None:
    write(tmp_path / "n1.json", registry_of(peer(1)), age=-3600.0)
    remote = source(f"local://{tmp_path}/n1.json")
    assert await remote.fetch() is await remote.fetch()
    assert len(opened) == 2


@pytest.mark.parametrize(
    "info", [{"ETag": '"a"'}, {"generation": 7}, {"LastModified": NOON}, {"updated": "2026-01-01T00:00:00Z"}]
)
async def test_what_stores_say_of_a_version_is_understood(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, info: dict[str, object]
) -> None:
    described = {"name": "/n1.json", "type": "file", "size": 10, **info}
    monkeypatch.setattr(type(memory), "info", lambda *_: described)
    memory.pipe("/n1.json", registry_of(peer(1)))
    remote = source("memory://n1.json")
    before = await remote.fetch()
    memory.pipe("/n1.json", b"not read")
    assert await remote.fetch() is before
    described["size"] = 11
    assert "not JSON" in said(await remote.fetch())


async def test_a_bad_file_hides_no_other_and_alone_is_a_failure(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/fleet/n1.json", registry_of(peer(1)))
    memory.pipe("/fleet/n2.json", b" " * (MAX_REGISTRY_BYTES + 1))
    answer = await source("memory://fleet").fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert answer.problems == ("memory:///fleet/n2.json: is too large: more than 65536 bytes",)
    assert "is too large" in said(await source("memory://fleet/n2.json").fetch())


async def test_a_huge_file_is_refused_by_its_description(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = {"name": "/n1.json", "type": "file", "size": MAX_PEERS_BYTES + 1}
    monkeypatch.setattr(type(memory), "info", lambda *_: described)
    assert "too large" in said(await source("memory://n1.json").fetch())


async def test_a_huge_file_is_refused_whatever_its_description_says(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.sources.remote_files.MAX_PEERS_BYTES", 1000)
    memory.pipe("/n1.json", b"[" * 1001)
    monkeypatch.setattr(type(memory), "info", lambda *_: {"name": "/n1.json", "type": "file"})
    assert "too large: more than 1000 bytes" in said(await source("memory://n1.json").fetch())


async def test_a_file_that_cannot_be_read_for_once_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "n1.json", registry_of(peer(1)))
    write(tmp_path / "n2.json", registry_of(peer(2)))
    remote = source(f"local://{tmp_path}")
    with monkeypatch.context() as broken:
        original = builtins.open
        kind = type(fsspec.filesystem("local"))

        def fail(self: Any, path: str, *words: Any, **more: Any) -> Any:
            if path.endswith("n2.json"):
                raise ConnectionResetError("reset")
            return original(path, "rb")

        broken.setattr(kind, "open", fail)
        answer = await remote.fetch()
        assert nodes(answer) == [1]
        assert isinstance(answer, Found)
        assert "reset" in answer.problems[0]
    assert nodes(await remote.fetch()) == [1, 2]


async def test_what_is_not_there_is_a_failure(memory: fsspec.AbstractFileSystem) -> None:
    assert said(await source("memory://nowhere").fetch()).startswith("memory://nowhere: is not there")


async def test_a_folder_whose_registries_are_all_gone_is_a_failure_and_one_that_loses_some_is_not(
    memory: fsspec.AbstractFileSystem,
) -> None:
    for number in (1, 2):
        memory.pipe(f"/fleet/n{number}.json", registry_of(peer(number)))
    memory.pipe("/fleet/readme.txt", b"hello")
    remote = source("memory://fleet")
    await remote.fetch()
    memory.rm("/fleet/n1.json")
    assert nodes(await remote.fetch()) == [2]
    memory.rm("/fleet/n2.json")
    assert "has no registries any more" in said(await remote.fetch())
    memory.pipe("/fleet/n3.json", registry_of(peer(3)))
    assert nodes(await remote.fetch()) == [3]


async def test_a_file_system_that_breaks_is_a_failure_that_keeps_the_password_to_itself(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://user:hush@fleet/n1.json?key=hidden"

    def broken(self: object, path: str) -> bool:
        raise RuntimeError(f"boom at {url} with hush\nand key=hidden")

    monkeypatch.setattr(type(memory), "info", broken)
    remote = source(url)
    error = said(await remote.fetch())
    assert "boom" in error
    assert all(secret not in error + remote.name for secret in ("hush", "user", "hidden"))


async def test_a_file_system_that_hangs_ends_with_the_time_limit_and_is_not_asked_again_meanwhile(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()
    looks = []

    def hang(self: object, path: str) -> dict[str, object]:
        looks.append(path)
        end.wait(60)
        raise FileNotFoundError(path)

    monkeypatch.setattr(type(memory), "info", hang)
    remote = source("memory://n1.json", timeout=0.1)
    assert "took longer than 0.1 s" in said(await remote.fetch())
    assert "has not come back" in said(await remote.fetch())
    assert len(looks) == 1
    end.set()


async def test_an_unknown_scheme_is_a_failure_that_names_it() -> None:
    assert "gopher9" in said(await source("gopher9://x/y").fetch())


async def test_a_chain_of_urls_is_refused() -> None:
    assert "chains several URLs" in said(await source("zip://n1.json::memory://x.zip").fetch())


@pytest.mark.parametrize(
    ("scheme", "module", "package"),
    [
        ("s3", "s3fs", "'blixard[s3]'"),
        ("sftp", "paramiko", "'blixard[sftp]'"),
        ("gs", "gcsfs", "'blixard[gcs]'"),
        ("abfs", "adlfs", "'blixard[azure]'"),
    ],
)
async def test_without_the_driver_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, scheme: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    # As in a process that has not used it yet.
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    monkeypatch.delitem(sys.modules, "blixard.sources.sftp", raising=False)
    error = said(await source(f"{scheme}://bucket/n1.json").fetch())
    assert error == f"{scheme}://bucket/n1.json: needs a package that is not installed; pip install {package}"


async def test_without_fsspec_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    error = said(await registry_at("smb://host/n1.json", TOOLS).fetch())
    assert error.endswith("pip install 'blixard[remote]' smbprotocol")


def test_what_is_neither_a_file_nor_the_web_is_remote() -> None:
    for url in ("s3://b/k", "memory://x", "GS://b/k"):
        assert isinstance(registry_at(url, TOOLS), RemoteSource)
