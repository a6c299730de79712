# SPDX-License-Identifier: MIT
"""Registries and peers files over SFTP, from and to a real sshd whose host key must be known."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from paramiko.sftp import CMD_EXTENDED
from paramiko.sftp_client import SFTPClient
from tests.integration.sftp import Sshd, new_key, sshd
from tests.integration.web import saying
from tests.unit.documents.samples import CLUSTER
from tests.unit.publishing.fleets import CONTEXT, FLEET, NOW, at, publication_of, publish, record_of, unsigned
from tests.unit.sources.files import nodes, said

from blixard.publishing import factory, shelves, store
from blixard.sources.base import SourceContext
from blixard.sources.remote_files import RemoteSource
from blixard.sources.sftp import SftpFiles
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

    whole = SftpFiles.write

    def cut(self: Any, path: str, data: bytes, **how: Any) -> None:
        if how.get("is_new"):
            return whole(self, path, data, **how)
        whole(self, path, data[:10], **how)
        raise ConnectionResetError("reset")

    with monkeypatch.context() as broken:
        broken.setattr(SftpFiles, "write", cut)
        [outcome] = publish(second, sshd.url)
    assert "cannot be written: reset" in str(outcome.reason)
    assert (sshd.folder / "discovery-peers.json").read_bytes() == first.peers
    publish(second, sshd.url)
    assert (sshd.folder / "discovery-peers.json").read_bytes() == second.peers
    assert list(sshd.folder.rglob("*.part")) == []


BOB = b'{"user": "bob", "machine": "m2", "process": 7, "since": "now"}'


def test_a_publisher_that_finds_another_one_at_work_waits_and_then_says_for_whom(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = sshd.folder / shelves.LOCK
    lock.write_bytes(BOB)
    monkeypatch.setattr(shelves, "PATIENCE", 1)
    publication = publication_of(tmp_path / "a", record_of(1), seq=at(0))
    # The clock of these tests stands still, so that a lock of today's is not an old one.
    [outcome] = publish(publication, sshd.url)
    assert outcome.status == "failed"
    assert f"is being published to: bob on m2, process 7, since now; run this again, or remove {lock}" in str(
        outcome.reason
    )
    assert (list(sshd.folder.iterdir()), lock.read_bytes()) == ([lock], BOB)
    monkeypatch.setattr(shelves, "PATIENCE", 60)
    bob = threading.Timer(0.5, lock.unlink)
    bob.start()
    assert [each.status for each in publish(publication, sshd.url)] == ["changed"]
    bob.join()
    assert not lock.exists()


def test_a_lock_of_a_publisher_that_died_is_removed(sshd: Sshd, tmp_path: Path) -> None:
    lock = sshd.folder / shelves.LOCK
    lock.write_bytes(BOB)
    died = CONTEXT.wall().timestamp() - shelves.DEAD
    os.utime(lock, (died, died))
    [outcome] = publish(publication_of(tmp_path / "a", record_of(1), seq=at(0)), sshd.url)
    assert outcome.status == "changed"
    assert list(sshd.folder.glob(".*")) == []


def test_publishers_at_once_leave_one_whole_publication(sshd: Sshd, tmp_path: Path) -> None:
    each = [publication_of(tmp_path / str(n), record_of(*range(1, n + 2)), seq=at(n)) for n in range(1, 4)]
    threads = [threading.Thread(target=publish, args=(publication, sshd.url)) for publication in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = each[-1]
    assert (sshd.folder / "discovery-peers.json").read_bytes() == last.peers
    assert (sshd.folder / store.SIGNATURE).read_bytes() == last.signature
    assert {path.stem: path.read_bytes() for path in sshd.folder.glob("registry/*.json")} == dict(last.entries)
    assert [path.name for path in sshd.folder.rglob(".*")] == []


@pytest.mark.parametrize(("sshd", "is_there"), [("", True), ("-P fsync", False)], indirect=["sshd"])
def test_what_decides_is_on_the_servers_disk_before_it_counts_where_the_server_can_say_so(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    asked: list[str] = []
    original = SFTPClient._request

    def noted(self: SFTPClient, kind: int, *words: Any) -> Any:
        asked.extend(str(word) for word in words[:1] if kind == CMD_EXTENDED)
        return original(self, kind, *words)

    monkeypatch.setattr(SFTPClient, "_request", noted)
    assert [each.status for each in publish(publication_of(tmp_path / "a", record_of(1), seq=at(0)), sshd.url)] == [
        "changed"
    ]
    synced = [word for word in asked if word.startswith(("fsync", "posix-rename"))]
    renamed = "posix-rename@openssh.com"
    if is_there:
        # Signature and peers file; the entry is not; PUBLISHED and manifest.
        decides = ["fsync@openssh.com", renamed]
        assert synced == [*decides * 2, renamed, *decides * 2]
    else:
        assert synced == [renamed] * 5


@pytest.mark.parametrize("sshd", ["-P posix-rename"], indirect=True)
def test_a_server_that_cannot_replace_a_file_in_one_step_is_named_and_keeps_what_it_has(
    sshd: Sshd, tmp_path: Path
) -> None:
    first = publication_of(tmp_path / "a", record_of(1), seq=at(0))
    assert [each.status for each in publish(first, sshd.url)] == ["changed"]
    [outcome] = publish(publication_of(tmp_path / "b", record_of(1, 2), seq=at(1)), sshd.url)
    assert "the server cannot replace a file in one step; use one that has posix-rename" in str(outcome.reason)
    assert (sshd.folder / store.SIGNATURE).read_bytes() == first.signature


def test_an_entry_that_was_written_since_it_was_listed_is_not_removed(sshd: Sshd) -> None:
    (sshd.folder / "registry").mkdir()
    file = sshd.folder / "registry" / "n1.json"
    file.write_bytes(b"1")
    shelf = shelves.shelf_at(sshd.url)
    [(name, before)] = shelf.list("registry").items()
    file.write_bytes(b"22")
    with pytest.raises(shelves.Moved):
        shelf.remove(name, before)
    [(name, before)] = shelf.list("registry").items()
    shelf.remove(name, before)
    assert not file.exists()
    shelf.remove(name, before)


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
