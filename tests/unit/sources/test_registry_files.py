# SPDX-License-Identifier: MIT
"""Registry files on disk as a source."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.unit.peers.people import peer
from tests.unit.sources.files import CHECK, in_an_hour, nodes, registry_of, write

from blixard.model.addresses import HostPort
from blixard.sources.base import Failed, Found, Nothing, Sighting
from blixard.sources.registry_files import RegistryFiles


def source(location: Path | str) -> RegistryFiles:
    return RegistryFiles(location, check=CHECK, wall=in_an_hour)


async def test_one_file_names_one_node(tmp_path: Path) -> None:
    write(tmp_path / "n.json", registry_of(peer(1, "192.0.2.1:7001")))
    answer = await source(tmp_path / "n.json").fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert answer.sightings[0].listens_at == HostPort("192.0.2.1", 7001)
    assert answer.sightings[0].place == str(tmp_path / "n.json")


async def test_a_file_that_is_missing_or_bad_is_a_failure(tmp_path: Path) -> None:
    registry = source(tmp_path / "n.json")
    missing = await registry.fetch()
    assert isinstance(missing, Failed)
    assert "does not exist" in missing.error
    write(tmp_path / "n.json", "{}")
    bad = await registry.fetch()
    assert isinstance(bad, Failed)
    assert "/cluster_node_id" in bad.error


async def test_a_missing_file_is_picked_up_when_it_comes(tmp_path: Path) -> None:
    registry = source(tmp_path / "n.json")
    await registry.fetch()
    assert not await registry.changed()
    write(tmp_path / "n.json", registry_of(peer(1)))
    assert await registry.changed()
    assert nodes(await registry.fetch()) == [1]
    assert not await registry.changed()


async def test_a_directory_names_all_nodes_whose_files_are_in_it(tmp_path: Path) -> None:
    write(tmp_path / "b.json", registry_of(peer(1)))
    write(tmp_path / "a.json", registry_of(peer(2)))
    write(tmp_path / "notes.txt", "no registry")
    write(tmp_path / ".hidden.json", "half written")
    assert nodes(await source(tmp_path).fetch()) == [1, 2]


async def test_a_pattern_names_what_it_matches(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"node{number}").mkdir()
        write(tmp_path / f"node{number}" / "node-registry.json", registry_of(peer(number)))
    registry = source(f"{tmp_path}/node[12]/*-registry.json")
    assert nodes(await registry.fetch()) == [1, 2]
    assert await source(f"{tmp_path}/nothing*").fetch() == Nothing()


async def test_a_bad_file_in_a_directory_hides_no_other_and_keeps_what_it_said(tmp_path: Path) -> None:
    write(tmp_path / "a.json", registry_of(peer(1)))
    write(tmp_path / "b.json", registry_of(peer(2)))
    registry = source(tmp_path)
    await registry.fetch()
    write(tmp_path / "b.json", b"\x00", age=50.0)
    write(tmp_path / "c.json", registry_of(peer(3)))
    answer = await registry.fetch()
    assert nodes(answer) == [1, 2, 3]
    assert isinstance(answer, Found)
    assert len(answer.problems) == 1
    assert str(tmp_path / "b.json") in answer.problems[0]


async def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        write(tmp_path / f"{number}.json", registry_of(peer(number)))
    registry = source(tmp_path)
    before = await registry.fetch()
    read: list[str] = []
    original = registry._set._reader.read

    def noted(data: bytes, place: str, old: Sighting | None) -> Sighting | None:
        read.append(place)
        return original(data, place, old)

    monkeypatch.setattr(registry._set._reader, "read", noted)
    assert await registry.fetch() is before
    write(tmp_path / "3.json", registry_of(peer(3, "10.0.0.33:1")), age=50.0)
    after = await registry.fetch()
    assert read == [str(tmp_path / "3.json")]
    assert isinstance(before, Found)
    assert isinstance(after, Found)
    kept = [old is new for old, new in zip(before.sightings, after.sightings, strict=True)]
    assert kept == [True, True, False, True, True]


async def test_a_file_that_is_taken_out_of_a_directory_takes_its_node_away(tmp_path: Path) -> None:
    write(tmp_path / "a.json", registry_of(peer(1)))
    write(tmp_path / "b.json", registry_of(peer(2)))
    registry = source(tmp_path)
    await registry.fetch()
    (tmp_path / "b.json").unlink()
    assert await registry.changed()
    assert nodes(await registry.fetch()) == [1]
    (tmp_path / "a.json").unlink()
    assert await registry.fetch() == Nothing()


async def test_a_directory_that_vanishes_is_a_failure_and_not_an_empty_one(tmp_path: Path) -> None:
    folder = tmp_path / "registries"
    folder.mkdir()
    write(folder / "a.json", registry_of(peer(1)))
    registry = source(folder)
    await registry.fetch()
    shutil.rmtree(folder)
    assert isinstance(await registry.fetch(), Failed)


async def test_an_empty_mount_point_in_the_place_of_a_full_directory_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "registries"
    folder.mkdir()
    write(folder / "a.json", registry_of(peer(1)))
    registry = source(folder)
    await registry.fetch()
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    answer = await registry.fetch()
    assert isinstance(answer, Failed)
    assert "mount" in answer.error


@pytest.mark.parametrize("state", ["draining", "absent"])
async def test_a_node_that_is_leaving_or_has_left_is_not_named(tmp_path: Path, state: str) -> None:
    write(tmp_path / "a.json", registry_of(peer(1), state=state))
    write(tmp_path / "b.json", registry_of(peer(2), state="present"))
    assert nodes(await source(tmp_path).fetch()) == [2]


async def test_of_two_files_for_one_node_the_newer_attestation_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.json", registry_of(peer(1, "10.0.0.1:1", seq=5)))
    write(tmp_path / "b.json", registry_of(peer(1, "10.0.0.2:1", seq=6)))
    answer = await source(tmp_path).fetch()
    assert isinstance(answer, Found)
    assert tuple(answer.peers[0].direct_addresses) == ("10.0.0.2:1",)
    assert "also, and newer" in answer.problems[0]


async def test_two_nodes_that_claim_one_id_are_told_apart_the_same_way_whatever_the_files_are_called(
    tmp_path: Path,
) -> None:
    kept = []
    for first, second in (("a", "b"), ("b", "a")):
        write(tmp_path / f"{first}.json", registry_of(peer(1, node_id=7)))
        write(tmp_path / f"{second}.json", registry_of(peer(2, node_id=7)))
        answer = await source(tmp_path).fetch()
        assert isinstance(answer, Found)
        kept += [each.iroh_node_id for each in answer.peers]
        assert "remove the wrong file" in answer.problems[0]
    assert len(kept) == 2
    assert kept[0] == kept[1]


async def test_a_registry_with_a_broken_attestation_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.json", registry_of(peer(1, seq=5)).replace(b"10.0.0.1:7001", b"10.6.6.6:7001"))
    answer = await source(tmp_path / "a.json").fetch()
    assert isinstance(answer, Failed)
    assert "signature does not fit" in answer.error


async def test_an_unreadable_directory_is_a_failure(tmp_path: Path) -> None:
    answer = await source(str(tmp_path / "a\0b")).fetch()
    assert isinstance(answer, Failed)


async def test_a_fifo_in_a_directory_blocks_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    write(tmp_path / "b.json", registry_of(peer(2)))
    assert nodes(await source(tmp_path).fetch()) == [2]
