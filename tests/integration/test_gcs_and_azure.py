# SPDX-License-Identifier: MIT
"""Registries and peers files in Google Cloud Storage and in Azure's blobs, against servers that speak their APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests.integration import azurite, gcs
from tests.unit.documents.samples import CLUSTER
from tests.unit.publishing.fleets import CONTEXT, FLEET, NOW, at, publication_of, publish, record_of
from tests.unit.sources.files import nodes, said

from blixard.publishing import factory, store
from blixard.publishing.base import Publication
from blixard.publishing.shelves import Kept, Listed, Moved, shelf_at
from blixard.sources.base import SourceContext
from blixard.sources.remote_files import RemoteSource
from blixard.trust.attestation import AttestationCheck

PEERS = "discovery-peers.json"


@pytest.fixture(scope="module")
def azurite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite.running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture
def blobs(azurite_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with azurite.container(azurite_server, monkeypatch):
        yield azurite.HOME


@pytest.fixture(scope="module")
def _emulator() -> Iterator[Any]:
    with gcs.running_gcs() as server:
        yield server


@pytest.fixture
def objects(_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with gcs.bucket(_emulator, monkeypatch):
        yield gcs.HOME


@pytest.fixture(params=["objects", "blobs"])
def home(request: pytest.FixtureRequest) -> str:
    """A place in each of the two, which is empty."""
    place: str = request.getfixturevalue(request.param)
    return place


@pytest.fixture
def first(tmp_path: Path) -> Publication:
    """A signed publication of two nodes."""
    return publication_of(tmp_path / "first", record_of(1, 2), seq=at(0))


@pytest.fixture
def second(tmp_path: Path) -> Publication:
    """One of three nodes that comes after it."""
    return publication_of(tmp_path / "second", record_of(1, 2, 3, changed=1), seq=at(1))


@pytest.fixture
def third(tmp_path: Path) -> Publication:
    """And one of two again."""
    return publication_of(tmp_path / "third", record_of(1, 4), seq=at(2))


def wall() -> datetime:
    return NOW + timedelta(hours=1)


def source(url: str) -> RemoteSource:
    check = AttestationCheck(cluster=CLUSTER, wall=wall)
    return RemoteSource(url, SourceContext(check, wall, lambda _: False, signers=[FLEET.public()], cluster=CLUSTER))


def status(publication: Publication, home: str) -> str:
    [outcome] = publish(publication, home)
    return outcome.status


def driver(home: str) -> Any:
    """The driver itself: what stands there is looked at past the code that is tested."""
    return fsspec.core.url_to_fs(home, skip_instance_cache=True)[0]


def contents(home: str) -> dict[str, bytes]:
    root, found = home.partition("://")[2], driver(home)
    return {path.removeprefix(f"{root}/"): found.cat_file(path) for path in found.find(root)}


def as_published(publication: Publication) -> dict[str, bytes | None]:
    return {
        PEERS: publication.peers,
        f"{PEERS}.sig": publication.signature,
        "registry/MANIFEST": publication.manifest,
        **{f"registry/{name}.json": data for name, data in publication.entries.items()},
    }


def without_index(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name != store.INDEX}


async def test_a_node_reads_what_was_published_and_what_follows(
    home: str, first: Publication, third: Publication
) -> None:
    assert await asyncio.to_thread(status, first, home) == "changed"
    running = [source(f"{home}/{PEERS}"), source(f"{home}/registry"), source(f"{home}/registry/n*.json")]
    assert [nodes(await each.fetch()) for each in running] == [[1, 2]] * 3
    assert await asyncio.to_thread(status, third, home) == "changed"
    assert [nodes(await each.fetch()) for each in running] == [[1, 4]] * 3
    assert without_index(contents(home)) == as_published(third)


async def test_what_is_unchanged_is_not_read_again(
    home: str, first: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(publish, first, home)
    running = [source(f"{home}/{PEERS}"), source(f"{home}/registry")]
    before = [await each.fetch() for each in running]
    monkeypatch.setattr(type(driver(home)), "open", lambda *_, **__: pytest.fail("read"))
    assert [nodes(await each.fetch()) for each in running] == [nodes(each) for each in before] == [[1, 2]] * 2


def test_what_is_unchanged_is_not_written(home: str, first: Publication) -> None:
    def versions() -> dict[str, object]:
        found = driver(home).find(home.partition("://")[2], detail=True)
        return {path: info.get("generation") or info["etag"] for path, info in found.items()}

    publish(first, home)
    before = versions()
    assert status(first, home) == "unchanged"
    assert versions() == before
    assert len(before) == 6


def test_an_older_publication_is_refused(home: str, first: Publication, second: Publication) -> None:
    publish(second, home)
    assert status(first, home) == "refused"
    assert without_index(contents(home)) == as_published(second)


def test_each_file_is_written_only_over_the_version_that_was_read(home: str, first: Publication) -> None:
    publish(first, home)
    shelf = shelf_at(home)
    there = shelf.read(PEERS, 10**6)
    assert there is not None
    shelf.put(PEERS, b"[]", there)
    for name, before in ((PEERS, there), (PEERS, None), ("gone.json", Kept(b"[]", there.version))):
        with pytest.raises(Moved):
            shelf.put(name, first.peers, before)
    now = shelf.read(PEERS, 10**6)
    assert now is not None
    assert now.data == b"[]"
    assert "gone.json" not in contents(home)


def test_an_entry_is_removed_only_as_the_version_that_was_listed(home: str, first: Publication) -> None:
    publish(first, home)
    shelf, name = shelf_at(home), "registry/n1.json"
    before = shelf.list("registry")[name]
    # Of the same size.
    driver(home).pipe_file(f"{home.partition('://')[2]}/{name}", b" " * before.size)
    with pytest.raises(Moved):
        shelf.remove(name, before)
    assert contents(home)[name] == b" " * before.size
    shelf.remove(name, shelf.list("registry")[name])
    assert name not in contents(home)
    shelf.remove(name, before)


@pytest.mark.parametrize("moment", ["before", "after_signature"])
def test_of_two_that_publish_at_once_the_newer_one_stays_whole(
    home: str,
    first: Publication,
    second: Publication,
    third: Publication,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    publish(first, home)
    kind: Any = type(shelf_at(home))
    original, left, overtaken = kind.put, iter(range(0 if moment == "before" else 1)), iter([third])

    def put(self: Any, name: str, data: bytes, before: Kept | None) -> None:
        if next(left, None) is None and (other := next(overtaken, None)) is not None:
            assert status(other, home) == "changed"
        original(self, name, data, before)

    monkeypatch.setattr(kind, "put", put)
    assert status(second, home) == "refused"
    assert without_index(contents(home)) == as_published(third)
    assert status(third, home) == "unchanged"


def overtake(home: str, other: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish another one when the next publisher has looked for the last time and is about to write."""
    kind: Any = type(driver(home))
    original, once = kind._pipe_file, iter([other])

    async def pipe_file(self: Any, *words: Any, **more: Any) -> Any:
        if (now := next(once, None)) is not None:
            # In a thread, since the driver's own event loop is the one that this runs in.
            await asyncio.to_thread(elsewhere, now)
        return await original(self, *words, **more)

    def elsewhere(publication: Publication) -> None:
        assert status(publication, home) == "changed"

    monkeypatch.setattr(kind, "_pipe_file", pipe_file)
    monkeypatch.setattr(kind, "pipe_file", fsspec.asyn.sync_wrapper(pipe_file))


def test_in_azure_the_store_itself_sees_that_another_was_faster(
    blobs: str, first: Publication, second: Publication, third: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(first, blobs)
    overtake(blobs, third, monkeypatch)
    assert status(second, blobs) == "refused"
    assert without_index(contents(blobs)) == as_published(third)


def test_in_azure_a_removal_and_an_entry_are_conditional_too(blobs: str, first: Publication) -> None:
    publish(first, blobs)
    shelf: Any = shelf_at(blobs)
    name = "registry/n1.json"
    old = shelf.list("registry")[name]
    driver(blobs).pipe_file(f"{blobs.partition('://')[2]}/{name}", b"{}")
    with pytest.raises(Moved):
        shelf._remove(name, old)  # past the look before it
    for before in ({name: Listed(old.size, old.version)}, {}):
        with pytest.raises(Moved):
            shelf.put_all({name: b"[]"}, before)
    assert contents(blobs)[name] == b"{}"


def test_in_google_cloud_storage_the_last_of_two_within_a_moment_stays_until_the_newer_is_published_again(
    objects: str, first: Publication, second: Publication, third: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(first, objects)
    overtake(objects, third, monkeypatch)
    publish(second, objects)
    assert without_index(contents(objects)) != as_published(third)
    assert status(third, objects) == "changed"
    assert without_index(contents(objects)) == as_published(third)


async def test_two_publishers_in_azure_come_to_the_newer_one(
    blobs: str, first: Publication, second: Publication, third: Publication
) -> None:
    await asyncio.to_thread(publish, first, blobs)
    both = [factory.make_destinations([blobs], CONTEXT)[0] for _ in range(2)]
    older, newer = await asyncio.gather(both[0].publish(second), both[1].publish(third))
    assert older.status in ("changed", "refused")
    assert newer.status == "changed"
    assert without_index(contents(blobs)) == as_published(third)


async def test_a_bucket_or_file_that_is_not_there_is_a_failure_in_one_line(home: str, first: Publication) -> None:
    scheme = home.partition(":")[0]
    for url in (f"{home}/nowhere.json", f"{scheme}://another/x.json"):
        assert said(await source(url).fetch()).startswith(f"{url}: is not there")
    [outcome] = await asyncio.to_thread(publish, first, f"{scheme}://another/x")
    assert (outcome.status, outcome.reason) == ("failed", f"{scheme}://another/x: is not there; make it first")


def test_what_is_too_large_at_the_place_is_named_and_left(home: str, first: Publication) -> None:
    driver(home).pipe_file(f"{home.partition('://')[2]}/{PEERS}.sig", b" " * 5000)
    [outcome] = publish(first, home)
    assert outcome.reason == f"{home}: {PEERS}.sig is too large: more than 4096 bytes; move it away"
    assert contents(home) == {f"{PEERS}.sig": b" " * 5000}


async def test_a_wrong_key_of_azure_is_a_failure_in_one_line_without_it(
    blobs: str, first: Publication, monkeypatch: pytest.MonkeyPatch, azurite_server: str
) -> None:
    wrong = "aHVzaC1odXNo"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite_server.replace(azurite.KEY, wrong))
    [outcome] = await asyncio.to_thread(publish, first, blobs)
    for line in (said(await source(f"{blobs}/{PEERS}").fetch()), str(outcome.reason)):
        assert line.startswith(blobs)
        assert "\n" not in line
        assert wrong not in line
