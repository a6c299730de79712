# SPDX-License-Identifier: MIT
"""Registries and peers files over SFTP, from and to a real sshd whose host key must be known."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests.integration.sftp import Sshd, new_key, sshd
from tests.integration.web import saying
from tests.unit.documents.samples import CLUSTER
from tests.unit.publishing.fleets import CONTEXT, FLEET, NOW, at, publication_of, publish, record_of, unsigned
from tests.unit.sources.files import nodes, said

from blixard.publishing import factory, shelves, store
from blixard.sources.base import SourceContext
from blixard.sources.remote_files import RemoteSource
from blixard.trust.attestation import AttestationCheck

__all__ = ["sshd"]


def wall() -> datetime:
    return NOW + timedelta(hours=1)


def source(url: str, **more: Any) -> RemoteSource:
    context = SourceContext(
        AttestationCheck(cluster=CLUSTER, wall=wall), wall, lambda _: False, signers=[FLEET.public()]
    )
    return RemoteSource(url, context, **more)


async def test_a_node_reads_what_was_published_and_what_changes(sshd: Sshd, tmp_path: Path) -> None:
    places = [f"{sshd.url}/discovery-peers.json", f"{sshd.url}/registry"]
    first, second = (
        publication_of(tmp_path / "a", record_of(1, 2), seq=at(0)),
        publication_of(tmp_path / "b", record_of(1, 2, 3), seq=at(1)),
    )
    [destination] = factory.make_destinations([sshd.url], CONTEXT)
    assert (await destination.publish(first)).status == "changed"
    readers = [source(place) for place in places]
    assert [nodes(await each.fetch()) for each in readers] == [[1, 2], [1, 2]]
    assert (await destination.publish(first)).status == "unchanged"
    assert (await destination.publish(second)).status == "changed"
    assert [nodes(await each.fetch()) for each in readers] == [[1, 2, 3], [1, 2, 3]]
    assert (await destination.publish(first)).status == "refused"
    assert [path.name for path in sshd.folder.rglob(".*")] == []


def test_what_another_wrote_since_the_look_is_not_written_over(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = (
        publication_of(tmp_path / name, record_of(1), seq=at(seq)) for name, seq in (("older", 1), ("newer", 2))
    )
    original, others = store._todo, iter([newer])

    def overtaken(*words: Any) -> Any:
        todo = original(*words)
        if (other := next(others, None)) is not None:
            publish(other, sshd.url)
        return todo

    monkeypatch.setattr(store, "_todo", overtaken)
    assert [each.status for each in publish(older, sshd.url)] == ["refused"]
    assert (sshd.folder / store.SIGNATURE).read_bytes() == newer.signature


def test_a_write_that_is_cut_off_leaves_the_old_file_whole_and_is_finished_by_the_next(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        publication_of(tmp_path / "a", unsigned(1)),
        publication_of(tmp_path / "b", unsigned(1, 2)),
    )
    publish(first, sshd.url)

    def cut(self: Any, path: str, data: bytes) -> None:
        with self.file_system.open(path, "wb") as file:
            file.write(data[:10])
        raise ConnectionResetError("reset")

    with monkeypatch.context() as broken:
        broken.setattr(shelves.RemoteShelf, "_upload", cut)
        [outcome] = publish(second, sshd.url)
    assert "cannot be written: reset" in str(outcome.reason)
    assert (sshd.folder / "discovery-peers.json").read_bytes() == first.peers
    publish(second, sshd.url)
    assert (sshd.folder / "discovery-peers.json").read_bytes() == second.peers
    assert list(sshd.folder.rglob("*.part")) == []


@pytest.mark.parametrize("line", ["", "unknown", "other"])
async def test_a_server_whose_host_key_is_not_known_is_refused_and_nothing_is_added(
    sshd: Sshd, tmp_path: Path, line: str
) -> None:
    server = sshd.known_hosts.read_text().split()[0]
    text = {"": "", "unknown": "elsewhere ", "other": f"{server} "}[line]
    sshd.known_hosts.write_text(text + new_key(tmp_path / "other") if text else "")
    before = sshd.known_hosts.read_text()
    error = said(await source(f"{sshd.url}/discovery-peers.json").fetch())
    wanted = (
        "has another host key than known_hosts says" if line == "other" else "a host key that is not in known_hosts"
    )
    assert f"{wanted}: ssh-ed25519 SHA256:" in error
    [outcome] = await factory.publish_everywhere(
        factory.make_destinations([sshd.url], CONTEXT), publication_of(tmp_path / "c", record_of(1), seq=at(0))
    )
    assert wanted in str(outcome.reason)
    assert sshd.known_hosts.read_text() == before
    assert list(sshd.folder.iterdir()) == []


async def test_known_hosts_and_key_may_be_other_files_by_the_drivers_options(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sshd.folder / "peers.json").write_bytes(b"[]")
    for name in ("known_hosts", "id_ed25519"):
        (sshd.home / ".ssh" / name).rename(tmp_path / name)
    options = {"known_hosts": str(tmp_path / "known_hosts"), "key_filename": str(tmp_path / "id_ed25519")}
    monkeypatch.setitem(fsspec.config.conf, "sftp", options)
    remote = RemoteSource(
        f"{sshd.url}/peers.json", SourceContext(AttestationCheck(cluster=None, wall=wall), wall, lambda _: False)
    )
    assert nodes(await remote.fetch()) == []
    monkeypatch.setitem(options, "known_hosts", str(tmp_path / "nowhere"))
    assert "nowhere: cannot be read; name a known_hosts file" in said(await source(f"{sshd.url}/peers.json").fetch())


async def test_a_client_that_is_not_let_in_says_so_without_its_password(sshd: Sshd) -> None:
    (sshd.home / ".ssh/id_ed25519").unlink()
    url = sshd.url.replace("@", ":hush-hush@")
    error = said(await source(f"{url}/peers.json").fetch())
    assert "uthentication" in error
    assert "hush" not in error + source(url).name


@pytest.mark.parametrize("banner", [b"", b"<html>\r\n" * 50, b"SSH-2.0-x\r\n" + b"\x00" * 500, b"SSH-2.0-x"])
async def test_what_is_no_ssh_server_is_a_failure_in_one_line(banner: bytes, tmp_path: Path) -> None:
    with saying(banner) as where:
        error = said(await source(f"sftp://{where}/x.json", timeout=2.0).fetch())
        assert error.startswith(f"sftp://{where}/x.json: ")


async def test_a_server_that_is_down_is_a_failure(sshd: Sshd) -> None:
    host, _, _ = sshd.url.rpartition(":")
    assert "cannot be read" in said(await source(f"{host}:1/x.json").fetch())
