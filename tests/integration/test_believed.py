# SPDX-License-Identifier: MIT
"""Which registries and peers files are believed, by where they come from and by whether signers are trusted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import trustme
from tests.integration.s3 import BUCKET, _server, bucket
from tests.integration.sftp import Sshd, sshd
from tests.integration.web import authority, certified, reply, serving
from tests.unit.peers.people import CLUSTER, NOON, key, peer
from tests.unit.sources.files import CHECK, in_an_hour, peers_file_of, registry_of

from blixard.sources.base import Answer, Failed, Found, SourceContext
from blixard.sources.factory import registry_at
from blixard.trust.peers_signature import sign_peers

__all__ = ["_server", "authority", "bucket", "sshd"]

FLEET = key(1000)
BARE, ATTESTED = peer(1), peer(2, seq=5)

Put = Callable[[str, bytes], str]
"""Puts a file of that name at a place and returns its location."""


def signature_of(data: bytes) -> bytes:
    return sign_peers(data, FLEET, cluster=CLUSTER, previous_seq=None, now=NOON)


@pytest.fixture
def put_file(tmp_path: Path) -> Put:
    return lambda name, data: str(write(tmp_path / name, data))


@pytest.fixture
def put_folder(tmp_path: Path) -> Put:
    folder = tmp_path / "folder"
    folder.mkdir()
    return lambda name, data: str(write(folder / name, data).parent)


@pytest.fixture
def put_https(authority: trustme.CA) -> Iterator[Put]:
    with serving(certified(authority, "localhost")) as web:
        yield lambda name, data: web.on(f"/{name}", reply(200, data))


@pytest.fixture
def put_http_here() -> Iterator[Put]:
    with serving() as web:
        yield lambda name, data: web.on(f"/{name}", reply(200, data))


@pytest.fixture
def put_http_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **words: original("localhost", *more, **words))
    with serving(host="registries.test") as web:
        yield lambda name, data: web.on(f"/{name}", reply(200, data))


@pytest.fixture
def put_memory() -> Put:
    store = fsspec.filesystem("memory")
    store.store.clear()

    def put(name: str, data: bytes) -> str:
        store.pipe(f"/{name}", data)
        return f"memory://{name}"

    return put


@pytest.fixture
def put_s3(bucket: Any) -> Put:
    def put(name: str, data: bytes) -> str:
        bucket.Object(name).put(Body=data)
        return f"s3://{BUCKET}/{name}"

    return put


@pytest.fixture
def put_sftp(sshd: Sshd) -> Put:
    return lambda name, data: f"{sshd.url}/{write(sshd.folder / name, data).name}"


HERE = ["file", "folder"]
AFAR = ["https", "http_here", "http_elsewhere", "memory", "s3", "sftp"]


@pytest.fixture(params=[*HERE, *AFAR])
def place(request: pytest.FixtureRequest) -> tuple[str, Put]:
    """A place by its kind, and how a file gets there."""
    return request.param, request.getfixturevalue(f"put_{request.param}")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def ask(location: str, *, signers: bool) -> Answer:
    trusted = [FLEET.public()] if signers else []
    context = SourceContext(CHECK, in_an_hour, lambda _: False, signers=trusted, cluster=CLUSTER)
    return await registry_at(location, context).fetch()


def believed(answer: Answer) -> list[int]:
    return [each.node_id for each in answer.peers] if isinstance(answer, Found) else []


def reasons(answer: Answer) -> str:
    return answer.error if isinstance(answer, Failed) else " ".join(getattr(answer, "problems", ()))


@pytest.mark.parametrize("signers", [False, True])
async def test_a_registry_that_its_node_signed_is_believed_from_everywhere(
    place: tuple[str, Put], signers: bool
) -> None:
    kind, put = place
    answer = await ask(put("n.json", registry_of(ATTESTED)), signers=signers)
    assert believed(answer) == [2]
    assert isinstance(answer, Found)
    # Over a network its server could have chosen it: where signers are trusted, that makes nobody a member.
    assert [each.is_hint for each in answer.sightings] == [signers and kind not in HERE]


@pytest.mark.parametrize("signers", [False, True])
async def test_one_that_nobody_signed_only_from_this_host_or_where_no_signers_are_trusted_and_the_server_is_proved(
    place: tuple[str, Put], signers: bool
) -> None:
    kind, put = place
    answer = await ask(put("n.json", registry_of(BARE)), signers=signers)
    if kind in HERE or (not signers and kind != "http_elsewhere"):
        assert believed(answer) == [1]
    else:
        assert believed(answer) == []
        assert "node 1 (" in reasons(answer)
        assert "have its node sign it" in reasons(answer)


@pytest.mark.parametrize("place", AFAR, indirect=True)
async def test_a_peers_file_needs_the_fleets_signature_where_signers_are_trusted(place: tuple[str, Put]) -> None:
    _, put = place
    data = peers_file_of(BARE, ATTESTED)
    where = put("peers.json", data)
    assert believed(await ask(where, signers=True)) == []
    put("peers.json.sig", signature_of(data))
    assert believed(await ask(where, signers=True)) == [1, 2]
    put("peers.json.sig", sign_peers(data, key(7), cluster=CLUSTER, previous_seq=None, now=NOON))
    assert believed(await ask(where, signers=True)) == []


@pytest.mark.parametrize("place", AFAR, indirect=True)
async def test_without_trusted_signers_a_server_that_proves_nothing_is_believed_what_nodes_signed_alone(
    place: tuple[str, Put],
) -> None:
    kind, put = place
    answer = await ask(put("peers.json", peers_file_of(BARE, ATTESTED)), signers=False)
    assert believed(answer) == ([2] if kind == "http_elsewhere" else [1, 2])
    assert ("use https or sftp" in reasons(answer)) == (kind == "http_elsewhere")
