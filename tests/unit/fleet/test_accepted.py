# SPDX-License-Identifier: MIT
"""A record that was accepted is not checked again, and nothing else is taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, RUN, attested, entry, key

from blixard.documents.peers_file import build_peers, write_peers
from blixard.documents.record import read_record, write_record
from blixard.errors import BlixardError
from blixard.fleet.accepted import Reading
from blixard.fleet.registry import Update, update_record
from blixard.trust.attestation import attest
from blixard.trust.manifest import keep_manifest

FLEET = {"one": attested(1), "two": attested(2)}
NODES: dict[str, Any] = {"one": {"managed": True, "node_id": 1}, "two": {"managed": True, "node_id": 2}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "blixard" / "accepted-records"


@pytest.fixture
def record(tmp_path: Path, cache: Path) -> Path:
    """A record that a run has accepted."""
    folder = tmp_path / "registry"
    write_record(folder, {}, FLEET)
    write_peers(tmp_path / "peers.json", build_peers(FLEET.values()))
    assert not _was_recalled(_run(folder))
    assert _was_recalled(_run(folder))
    return folder


def _run(folder: Path, **changes: Any) -> Update:
    told = {"peers_file": folder.parent / "peers.json", "hosts": ["one", "two"], "nodes": NODES, "brief": True}
    return update_record(folder, {}, **{**RUN, **told, **changes})


def _was_recalled(update: Update) -> bool:
    """Tell whether the record was not even parsed."""
    return update.is_there and not update.merged.record


def test_what_an_accepted_record_means_is_the_same_when_it_is_not_checked_again(record: Path, cache: Path) -> None:
    recalled = _run(record, hosts=["one"]), _run(record, hosts=["one"])
    (kept,) = cache.iterdir()
    kept.unlink()
    anew = _run(record, hosts=["one"])

    assert [_was_recalled(each) for each in (*recalled, anew)] == [False, True, False]
    for each in recalled:
        assert (each.sha256, each.without_host, each.touched) == (anew.sha256, ("two",), False)
        assert not each.refused


def _forge_entry(folder: Path) -> None:
    file = folder / "two.json"
    file.write_bytes(file.read_bytes().replace(b"192.168.1.2", b"192.168.6.6"))


def _forge_both(folder: Path) -> None:
    for file in (folder / "two.json", folder.parent / "peers.json"):
        file.write_bytes(file.read_bytes().replace(b"192.168.1.2", b"192.168.6.6"))


def _swap(folder: Path) -> None:
    one, two = (folder / "one.json").read_bytes(), (folder / "two.json").read_bytes()
    (folder / "one.json").write_bytes(two)
    (folder / "two.json").write_bytes(one)


def _remove(folder: Path) -> None:
    (folder / "two.json").unlink()


def _add(folder: Path) -> None:
    write_record(folder, {}, {"six": attested(6)})


@pytest.mark.parametrize("edit", [_forge_entry, _forge_both, _swap, _remove, _add])
def test_an_edited_record_is_refused_as_if_nothing_had_been_accepted(
    record: Path, edit: Callable[[Path], None]
) -> None:
    edit(record)

    assert _run(record).refused


def test_a_manifest_that_comes_later_is_looked_at(record: Path) -> None:
    keep_manifest(record, key=key(100), cluster=CLUSTER, now=NOW)
    signers = [key(100).public().hex]
    assert [_was_recalled(_run(record, signers=signers)) for _ in range(2)] == [False, True]

    manifest = record / "MANIFEST"
    manifest.write_bytes(manifest.read_bytes().replace(b"present", b"absent"))
    with pytest.raises(BlixardError, match="does not fit"):
        _run(record, signers=signers)


@pytest.mark.parametrize(
    "told",
    [
        {"states": {"two": "draining"}},
        {"max_removals": 1},
        {"prune": True},
        {"guard_inventory": False},
        {"hosts": ["one", "two", "three"]},
        {"nodes": {**NODES, "two": {"managed": True, "node_id": 3}}},
        {"signers": [key(9).public().hex]},
        {"upstream_compat": True},
        {"announced": {"two": key(9).public().hex}},
        {"brief": False},
    ],
)
def test_a_run_that_is_told_something_else_checks_the_record(record: Path, told: dict[str, Any]) -> None:
    assert not _was_recalled(_run(record, check=True, **told))


def test_a_record_of_another_cluster_is_refused_though_this_one_accepted_it(record: Path) -> None:
    assert _run(record, cluster="another").refused


def test_a_peers_file_whose_mode_is_another_is_to_be_written(record: Path) -> None:
    (record.parent / "peers.json").chmod(0o600)

    assert [peer["node_id"] for peer in _run(record).peers] == [1, 2]


def _open_to_others(kept: Path) -> None:
    kept.chmod(0o644)


def _be_a_link(kept: Path) -> None:
    kept.rename(kept.with_name("elsewhere"))
    kept.symlink_to(kept.with_name("elsewhere"))


def _have_a_second_name(kept: Path) -> None:
    (kept.with_name("second")).hardlink_to(kept)


def _be_garbage(kept: Path) -> None:
    kept.write_bytes(b'{"at": []}')


@pytest.mark.parametrize("change", [_open_to_others, _be_a_link, _have_a_second_name, _be_garbage])
def test_what_was_kept_counts_only_as_this_users_own_file(
    record: Path, cache: Path, change: Callable[[Path], None]
) -> None:
    (kept,) = cache.iterdir()
    change(kept)

    update = _run(record)
    assert not _was_recalled(update)
    assert update.merged.record == FLEET


def test_a_clock_that_was_set_back_has_the_record_checked(record: Path) -> None:
    assert not _was_recalled(_run(record, now=NOW - timedelta(seconds=1)))
    assert _was_recalled(_run(record, now=NOW + timedelta(days=400)))


def test_a_record_that_passes_only_until_the_clock_has_come_to_a_number_is_checked_each_time(record: Path) -> None:
    later = NOW + timedelta(days=10)
    moved = attest(entry(2, direct_addresses=("192.168.1.9:7001",)), key(2), cluster=CLUSTER, now=later)
    write_record(record, FLEET, {**FLEET, "two": moved})
    keep_manifest(record, key=key(100), cluster=CLUSTER, now=NOW)
    write_record(record, {**FLEET, "two": moved}, FLEET)
    signers = [key(100).public().hex]

    assert [_was_recalled(_run(record, signers=signers)) for _ in range(2)] == [False, False]
    (line,) = _run(record, signers=signers, now=later).refused
    assert "is older than in" in line


def test_a_record_that_cannot_be_kept_is_checked_each_time(record: Path, cache: Path) -> None:
    for kept in cache.iterdir():
        kept.unlink()
    cache.rmdir()
    cache.write_bytes(b"in the way")

    assert [_was_recalled(_run(record)) for _ in range(2)] == [False, False]


def test_what_changes_while_it_is_read_is_never_taken_for_what_was_checked(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    digests = []
    for late in (b"good", b"bad"):
        file.write_bytes(b"good")
        reading = Reading()
        reading.read(file, 100)
        file.write_bytes(late)
        assert reading.read(file, 100) == b"good"
        digests.append(reading.digest({}))
    assert len(set(digests)) == 1


def test_it_is_said_in_the_record_and_not_only_remembered_who_has_left(record: Path) -> None:
    two = json.loads((record / "two.json").read_bytes())
    (record / "two.json").write_text(json.dumps({**two, "state": "absent"}))

    assert read_record(record)["two"].extra["state"] == "absent"
    (line,) = _run(record).refused
    assert "node 2" in line
