# SPDX-License-Identifier: MIT
"""Registries and peers files in S3, against a real S3 API: read when they change, written only over what was read."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.s3 import BUCKET, HOME, _server, bucket
from tests.integration.web import reply, saying, serving
from tests.unit.documents.samples import CLUSTER
from tests.unit.publishing.fleets import CONTEXT, FLEET, NOW, at, publication_of, publish, record_of
from tests.unit.sources.files import nodes, said

from blixard.publishing import factory, store
from blixard.publishing.base import Publication
from blixard.publishing.shelves import Kept, Listed, Moved, S3Shelf, shelf_at
from blixard.sources.base import Found, SourceContext
from blixard.sources.remote_files import RemoteSource
from blixard.trust.attestation import AttestationCheck

__all__ = ["_server", "bucket"]

PEERS = f"{HOME}/discovery-peers.json"


def wall() -> datetime:
    return NOW + timedelta(hours=1)


def source(url: str = PEERS, **more: Any) -> RemoteSource:
    check = AttestationCheck(cluster=CLUSTER, wall=wall)
    context = SourceContext(check, wall, lambda _: False, signers=[FLEET.public()], cluster=CLUSTER)
    return RemoteSource(url, context, **more)


@pytest.fixture
def first(bucket: Any, tmp_path: Path) -> Publication:
    """A signed publication of two nodes, which is there."""
    publication = publication_of(tmp_path / "first", record_of(1, 2), seq=at(0))
    assert [each.status for each in publish(publication, HOME)] == ["changed"]
    return publication


@pytest.fixture
def second(tmp_path: Path) -> Publication:
    """One of three nodes that comes after it."""
    return publication_of(tmp_path / "second", record_of(1, 2, 3, changed=1), seq=at(1))


async def read(remote: RemoteSource) -> list[int]:
    return nodes(await remote.fetch())


async def test_a_node_reads_what_was_published(first: Publication) -> None:
    assert await read(source()) == [1, 2]
    assert await read(source(f"{HOME}/registry")) == [1, 2]


def test_what_is_unchanged_is_not_written(first: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3Shelf, "put", lambda *_: pytest.fail("written"))
    assert [each.status for each in publish(first, HOME)] == ["unchanged"]


def test_an_older_publication_is_refused(first: Publication, second: Publication, bucket: Any) -> None:
    publish(second, HOME)
    assert [each.status for each in publish(first, HOME)] == ["refused"]
    assert bucket.Object("prod/discovery-peers.json").get()["Body"].read() == second.peers


def test_each_file_is_written_only_over_the_version_that_was_read(first: Publication) -> None:
    shelf = shelf_at(HOME)
    there = shelf.read("discovery-peers.json", 10**6)
    assert there is not None
    shelf.put("discovery-peers.json", b"[]", there)
    with pytest.raises(Moved):
        shelf.put("discovery-peers.json", first.peers, there)  # it has changed
    with pytest.raises(Moved):
        shelf.put("discovery-peers.json", first.peers, None)  # it is there
    with pytest.raises(Moved):
        shelf.put("gone.json", b"[]", Kept(b"[]", there.version))
    with pytest.raises(Moved):
        shelf.put_all({"discovery-peers.json": b"{}"}, {"discovery-peers.json": Listed(1, there.version)})
    now = shelf.read("discovery-peers.json", 10**6)
    assert now is not None
    assert now.data == b"[]"


def test_an_entry_is_removed_only_as_the_version_that_was_listed(
    first: Publication, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_at(HOME)
    before = shelf.list("registry")["registry/n1.json"]
    bucket.Object("prod/registry/n1.json").put(Body=b"{}")
    with pytest.raises(Moved):
        shelf.remove("registry/n1.json", before)
    assert bucket.Object("prod/registry/n1.json").get()["Body"].read() == b"{}"
    shelf.remove("registry/n1.json", shelf.list("registry")["registry/n1.json"])
    assert "registry/n1.json" not in shelf.list("registry")
    shelf.remove("registry/n1.json", before)


def test_a_removal_tells_the_store_which_version_is_meant(first: Publication) -> None:
    """What comes between a look and the removal is for the store to see."""
    shelf = shelf_at(HOME)
    before = shelf.list("registry")["registry/n1.json"]
    conditions: list[str | None] = []
    client: Any = shelf.file_system.s3  # type: ignore[attr-defined]
    client.meta.events.register(
        "before-call.s3.DeleteObject", lambda params, **_: conditions.append(params["headers"].get("If-Match"))
    )
    shelf.remove("registry/n1.json", before)
    assert conditions == [before.version]


def test_what_changes_while_the_publisher_reads_it_is_looked_at_again(
    first: Publication, second: Publication, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    third = publication_of(tmp_path / "third", record_of(1, 4), seq=at(2))
    shelf = shelf_at(HOME)
    kind: Any = type(shelf.file_system)  # type: ignore[attr-defined]
    original, once = kind.open, iter([third])

    def opened(self: Any, path: str, *words: Any, **more: Any) -> Any:
        file = original(self, path, *words, **more)
        if (other := next(once, None)) is not None:
            publish(other, HOME)
        return file

    monkeypatch.setattr(kind, "open", opened)
    assert [each.status for each in publish(second, HOME)] == ["refused"]


@pytest.mark.parametrize("moment", ["before", "after_signature"])
def test_of_two_that_publish_at_once_the_newer_one_stays_whole(
    bucket: Any, first: Publication, second: Publication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    third = publication_of(tmp_path / "third", record_of(1, 4), seq=at(2))
    original, left = S3Shelf.put, iter(range(0 if moment == "before" else 1))
    overtaken = iter([third])

    def put(self: S3Shelf, name: str, data: bytes, before: Kept | None) -> None:
        if next(left, None) is None and (other := next(overtaken, None)) is not None:
            assert [each.status for each in publish(other, HOME)] == ["changed"]
        original(self, name, data, before)

    monkeypatch.setattr(S3Shelf, "put", put)
    [outcome] = publish(second, HOME)
    assert outcome.status == "refused"
    assert {each.key.removeprefix("prod/"): each.get()["Body"].read() for each in bucket.objects.all()} == {
        "discovery-peers.json": third.peers,
        "discovery-peers.json.sig": third.signature,
        "registry/MANIFEST": third.manifest,
        **{f"registry/{name}.json": data for name, data in third.entries.items()},
        store.INDEX: bucket.Object(f"prod/{store.INDEX}").get()["Body"].read(),
    }
    assert [each.status for each in publish(third, HOME)] == ["unchanged"]


async def test_a_running_node_never_meets_a_pair_that_does_not_fit_and_a_new_one_only_until_the_next_look(
    first: Publication, second: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, steps = source(), []
    assert await read(running) == [1, 2]
    destination = factory.make_destinations([HOME], CONTEXT)[0]
    original = S3Shelf.put

    async def look() -> None:
        old, new = await running.fetch(), await source().fetch()
        steps.append((nodes(old), isinstance(new, Found)))

    loop = asyncio.get_running_loop()

    def put(self: S3Shelf, name: str, data: bytes, before: Kept | None) -> None:
        original(self, name, data, before)
        asyncio.run_coroutine_threadsafe(look(), loop).result()

    monkeypatch.setattr(S3Shelf, "put", put)
    assert (await destination.publish(second)).status == "changed"
    assert steps[:2] == [([1, 2], False), ([1, 2, 3], True)]
    assert all(each == ([1, 2, 3], True) for each in steps[2:])


async def test_a_file_that_changes_between_its_description_and_its_content_is_read_as_it_is_then(
    first: Publication, second: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = source()
    file_system: Any = type(shelf_at(HOME).file_system)  # type: ignore[attr-defined]
    original, once = file_system.info, iter([second])

    def info(self: Any, path: str, **more: Any) -> Any:
        described = original(self, path, **more)
        if path.endswith("peers.json") and (other := next(once, None)) is not None:
            shelf = shelf_at(HOME)
            for name, data in (("discovery-peers.json.sig", other.signature), ("discovery-peers.json", other.peers)):
                shelf.put(name, data or b"", shelf.read(name, 10**6))
        return described

    monkeypatch.setattr(file_system, "info", info)
    answers = [await remote.fetch(), await remote.fetch()]
    assert nodes(answers[-1]) == [1, 2, 3]


async def test_a_bucket_or_key_that_is_not_there_is_a_failure_in_one_line(bucket: Any) -> None:
    assert said(await source(f"s3://{BUCKET}/nowhere.json").fetch()).startswith(
        f"s3://{BUCKET}/nowhere.json: is not there"
    )
    assert "is not there" in said(await source("s3://another-bucket/x.json").fetch())


def test_a_bucket_that_is_not_there_is_named_and_not_made(bucket: Any, tmp_path: Path) -> None:
    publication = publication_of(tmp_path / "c", record_of(1), seq=at(0))
    [outcome] = publish(publication, "s3://another-bucket/x")
    assert (outcome.status, outcome.reason) == ("failed", "s3://another-bucket/x: is not there; make it first")


def test_what_is_too_large_at_the_place_is_named_and_left(bucket: Any, tmp_path: Path) -> None:
    bucket.Object("prod/discovery-peers.json.sig").put(Body=b" " * 5000)
    [outcome] = publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), HOME)
    assert outcome.reason == f"{HOME}: discovery-peers.json.sig is too large: more than 4096 bytes; move it away"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"\x00" * 1000, b"HTTP/1.1 200 OK\r\n"]
)
async def test_a_server_that_cuts_or_says_nothing_sensible_is_a_failure_in_one_line(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes
) -> None:
    with saying(answer) as where:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{where}")
        monkeypatch.setattr(factory, "TIMEOUT", 1.0)
        assert "hush-hush" not in said(await source(timeout=1.0).fetch())
        publication = publication_of(tmp_path / "c", record_of(1), seq=at(0))
        destination = factory.make_destinations([HOME], CONTEXT)
        [outcome] = await factory.publish_everywhere(destination, publication)
    assert outcome.status == "failed"
    assert "\n" not in str(outcome.reason)
    assert str(outcome.reason).startswith(f"{HOME}: ")


async def test_a_server_that_answers_with_html_is_a_failure_in_one_line(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = reply(200, b"<html>" * 100, {"Content-Type": "text/html"})
    with serving() as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        web.replies = dict.fromkeys((f"/{BUCKET}/prod/discovery-peers.json", f"/{BUCKET}?list-type=2"), page)
        assert said(await source(timeout=2.0).fetch())
