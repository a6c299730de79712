# SPDX-License-Identifier: MIT
"""A publication in a folder, and in an object store of the simplest kind: what is written there, and what is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tests.unit.documents.samples import key
from tests.unit.publishing.fleets import at, publication_of, publish, record_of, unsigned

from blixard.errors import InputError
from blixard.publishing import shelves, store
from blixard.publishing.shelves import FolderShelf, Kept

HOME = "memory://fleet"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder."""
    made = tmp_path / "place"
    made.mkdir()
    return made


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """An empty object store."""
    made = fsspec.filesystem("memory")
    made.store.clear()
    yield made
    made.store.clear()


def files(place: Path) -> dict[str, bytes]:
    """All that stands in a folder, without the lock."""
    found = (path for path in place.rglob("*") if path.is_file() and path.name != shelves.LOCK)
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found}


def test_all_of_it_is_there_to_the_byte(tmp_path: Path, place: Path) -> None:
    [outcome] = publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(0)), place)
    assert (outcome.status, outcome.place) == ("changed", str(place))
    there = files(place)
    del there[store.INDEX]
    assert there == files(tmp_path / "c")


def test_what_changes_is_told_by_the_names_of_peers(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(0)), place)
    [outcome] = publish(publication_of(tmp_path / "c", record_of(1, 3, changed=1), seq=at(1)), place)
    assert [line.split(" (")[0] for line in outcome.changes] == ["~ n1", "− n2", "+ n3", "+1 −1 ~1 peers"]


def test_an_unchanged_publication_writes_nothing(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publication = publication_of(tmp_path / "c", record_of(1, 2), seq=at(0))
    publish(publication, place)
    monkeypatch.setattr(FolderShelf, "put", lambda *_: pytest.fail("written"))
    assert [each.status for each in publish(publication, place)] == ["unchanged"]


def test_one_change_writes_one_entry(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(0)), place)
    before = {name: (place / name).stat().st_ino for name in files(place)}
    publish(publication_of(tmp_path / "c", record_of(1, 2, changed=1), seq=at(1)), place)
    same = {name for name, inode in before.items() if (place / name).stat().st_ino == inode}
    assert same == {"registry/n2.json"}


def test_check_mode_says_the_same_and_writes_nothing(tmp_path: Path, place: Path) -> None:
    publication = publication_of(tmp_path / "c", record_of(1), seq=at(0))
    foreseen = publish(publication, place, check=True)
    assert list(place.iterdir()) == []
    assert publish(publication, place) == foreseen


def test_a_file_that_is_gone_or_cut_off_at_the_place_is_written_again(tmp_path: Path, place: Path) -> None:
    publication = publication_of(tmp_path / "c", record_of(1, 2), seq=at(0))
    publish(publication, place)
    whole = files(place)
    (place / "registry/n1.json").unlink()
    (place / "registry/n2.json").write_bytes(b"{")
    [outcome] = publish(publication, place)
    assert outcome.changes == ("the same peers; new: 2 files of the record",)
    assert files(place) == whole


def test_only_what_a_publication_put_there_is_removed(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(0)), place)
    (place / "registry/by-hand.json").write_bytes(b"{}")
    publish(publication_of(tmp_path / "c", record_of(1), seq=at(1)), place)
    assert sorted(path.name for path in (place / "registry").iterdir()) == ["MANIFEST", "by-hand.json", "n1.json"]


def test_an_index_that_somebody_else_wrote_leads_to_no_other_file(tmp_path: Path, place: Path) -> None:
    publication = publication_of(tmp_path / "c", record_of(1), seq=at(0))
    publish(publication, place)
    other = tmp_path / "other.json"
    other.write_bytes(b"mine")
    for name in ("registry/../../other.json", "../other.json", str(other), "registry/MANIFEST"):
        (place / store.INDEX).write_text(f'{{"{name}": "x", "registry/n1.json": 5}}')
        assert [each.status for each in publish(publication, place)] == ["changed"]
    assert other.read_bytes() == b"mine"
    assert (place / "registry/MANIFEST").is_file()


@pytest.mark.parametrize("junk", [b"[", b"[]", b'{"registry/n1.json": []}', b"\xff" * 100])
def test_an_index_that_cannot_be_read_counts_for_nothing(tmp_path: Path, place: Path, junk: bytes) -> None:
    publication = publication_of(tmp_path / "c", record_of(1), seq=at(0))
    publish(publication, place)
    whole = files(place)
    (place / store.INDEX).write_bytes(junk)
    publish(publication, place)
    assert files(place) == whole


def test_a_newer_one_is_never_written_over(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(5)), place)
    whole = files(place)
    [outcome] = publish(publication_of(tmp_path / "d", record_of(1), seq=at(4)), place)
    assert outcome.status == "refused"
    assert f"number {at(5)} is there, this is {at(4)}; fetch" in str(outcome.reason)
    assert files(place) == whole


def test_two_that_were_signed_under_one_number_do_not_write_over_each_other(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(5)), place)
    [outcome] = publish(publication_of(tmp_path / "d", record_of(1), seq=at(5)), place)
    assert "another publication of the same number" in str(outcome.reason)


def test_what_is_signed_is_not_written_over_by_what_is_not(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), place)
    [outcome] = publish(publication_of(tmp_path / "d", record_of(1, 2)), place)
    assert (outcome.status, "sign it" in str(outcome.reason)) == ("refused", True)


def test_of_unsigned_ones_the_one_with_the_newer_attestation_stays(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2, changed=2)), place)
    [outcome] = publish(publication_of(tmp_path / "d", record_of(1, 2)), place)
    assert (outcome.status, "node 2 is there with number" in str(outcome.reason)) == ("refused", True)


def test_a_fleet_in_which_nobody_signs_can_publish_too(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", unsigned(1)), place)
    [outcome] = publish(publication_of(tmp_path / "c", unsigned(1, 2)), place)
    assert outcome.changes[-1] == "+1 −0 ~0 peers"


@pytest.mark.parametrize("number", [at(5 * 86400), None])
def test_a_number_of_the_future_or_a_damaged_signature_does_not_block_the_place(
    tmp_path: Path, place: Path, number: int | None
) -> None:
    publish(publication_of(tmp_path / "c", record_of(1), seq=number or at(0)), place)
    if number is None:
        (place / store.SIGNATURE).write_bytes(b"<html>")
    good = publication_of(tmp_path / "d", record_of(1, 2), seq=at(1))
    assert [each.status for each in publish(good, place)] == ["changed"]
    assert files(place)[store.SIGNATURE] == good.signature


def test_a_new_fleet_key_goes_on_from_the_numbers_of_the_old_one(tmp_path: Path, place: Path) -> None:
    publish(publication_of(tmp_path / "c", record_of(1), seq=at(5)), place)
    assert publish(publication_of(tmp_path / "d", record_of(1), seq=at(4), by=key(101)), place)[0].status == "refused"
    assert publish(publication_of(tmp_path / "d", record_of(1), seq=at(6), by=key(101)), place)[0].status == "changed"


def test_the_signature_goes_first_and_the_peers_file_directly_after_it(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    original = FolderShelf.put

    def noted(self: FolderShelf, name: str, data: bytes, before: Kept | None) -> None:
        written.append(name)
        original(self, name, data, before)

    monkeypatch.setattr(FolderShelf, "put", noted)
    publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), place)
    assert written[:2] == ["discovery-peers.json.sig", "discovery-peers.json"]


@pytest.mark.parametrize("last", range(5))
def test_what_was_cut_off_anywhere_is_finished_by_the_next_publication(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    publish(publication_of(tmp_path / "c", record_of(1, 2), seq=at(0)), place)
    publication = publication_of(tmp_path / "d", record_of(1, 3, changed=1), seq=at(1))
    original, left = FolderShelf.put, iter(range(last))

    def cut(self: FolderShelf, name: str, data: bytes, before: Kept | None) -> None:
        if next(left, None) is None:
            raise OSError(5, "cut off")
        original(self, name, data, before)

    with monkeypatch.context() as broken:
        broken.setattr(FolderShelf, "put", cut)
        [outcome] = publish(publication, place)
    assert (outcome.status, outcome.reason) == ("failed", f"{place}: cannot be written: [Errno 5] cut off")
    assert [each.status for each in publish(publication, place)] == ["changed"]
    there = files(place)
    del there[store.INDEX]
    assert there == files(tmp_path / "d")


def test_publishers_of_one_folder_wait_for_each_other(tmp_path: Path, place: Path) -> None:
    older, newer = (
        publication_of(tmp_path / name, record_of(1, 2, changed=1), seq=at(seq)) for name, seq in (("c", 1), ("d", 2))
    )
    threads = [threading.Thread(target=publish, args=(each, place)) for each in (older, newer) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = files(place)
    assert (there[store.SIGNATURE], there[store.MANIFEST]) == (newer.signature, newer.manifest)


def test_a_link_in_the_folder_is_replaced_and_not_followed(tmp_path: Path, place: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (place / "discovery-peers.json").symlink_to(other)
    publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), place)
    assert other.read_bytes() == b"mine"


def test_what_is_published_can_be_read_by_all_whatever_the_umask_is(tmp_path: Path, place: Path) -> None:
    before = os.umask(0o077)
    try:
        publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), place)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (place / "registry", *(place / "registry").iterdir())}
    assert modes == {"registry": 0o755, "n1.json": 0o644, "MANIFEST": 0o644}
    assert (place / "discovery-peers.json").stat().st_mode & 0o777 == 0o644


def test_a_link_that_was_planted_for_an_entry_is_not_followed(tmp_path: Path, place: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (place / "registry").mkdir()
    for name in ("n1.json", ".n1.json.part"):
        (place / "registry" / name).symlink_to(other)
    publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), place)
    assert other.read_bytes() == b"mine"
    assert not (place / "registry/n1.json").is_symlink()


def test_a_place_that_is_down_keeps_no_other_from_getting_it(tmp_path: Path, place: Path) -> None:
    missing = tmp_path / "not-mounted"
    outcomes = publish(publication_of(tmp_path / "c", record_of(1), seq=at(0)), missing, place)
    assert [each.status for each in outcomes] == ["failed", "changed"]
    assert outcomes[0].reason == f"{missing}: is not there; make it first"


def test_an_object_store_gets_the_same_files(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    publication = publication_of(tmp_path / "c", record_of(1, 2), seq=at(0))
    assert [each.status for each in publish(publication, HOME)] == ["changed"]
    assert [each.status for each in publish(publication, HOME)] == ["unchanged"]
    assert memory.cat_file("/fleet/discovery-peers.json") == publication.peers
    assert memory.cat_file("/fleet/registry/n2.json") == publication.entries["n2"]


def test_what_another_wrote_since_the_look_is_looked_at_again(
    tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = publication_of(tmp_path / "d", record_of(1, 2), seq=at(2))
    original = store._todo
    others = iter([lambda: publish(newer, HOME)])

    def overtaken(*words: object) -> object:
        todo = original(*words)  # type: ignore[arg-type]
        next(others, lambda: None)()
        return todo

    monkeypatch.setattr(store, "_todo", overtaken)
    [outcome] = publish(publication_of(tmp_path / "c", record_of(1), seq=at(1)), HOME)
    assert outcome.status == "refused"
    assert memory.cat_file("/fleet/discovery-peers.json.sig") == newer.signature


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("ftp://host/x", "ftp://host/x: is no place that can be published to; name a folder"),
        ("https://host/x", "https://host/x: cannot be written to; publish to the folder that"),
        ("sftp://user:hush@host/x", "has a password or a query; leave it out"),
        ("sftp://user:hu/sh@host/x", "sftp://… #"),
        ("s3://bucket/x?sig=secret", "s3://bucket/x?… #"),
        ("", "is not a place"),
    ],
)
def test_a_location_that_is_no_place_is_refused_before_anything_is_written(
    tmp_path: Path, place: Path, location: str, words: str
) -> None:
    publication = publication_of(tmp_path / "c", record_of(1), seq=at(0))
    with pytest.raises(InputError) as raised:
        publish(publication, place, location)
    assert words in str(raised.value)
    assert not any(secret in str(raised.value) for secret in ("hush", "hu/sh", "secret", "user"))
    assert files(place) == {}
