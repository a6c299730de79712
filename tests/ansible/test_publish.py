# SPDX-License-Identifier: MIT
"""What a run publishes to other places: what they get, what it says of them, and what a place that is down costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.fleet import Fleet, Run

from blixard.documents.peers_file import read_peers
from blixard.documents.record import read_record


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Fleet]:
    """Two hosts of a fleet that signs, and two places: one is there, the other is not mounted."""
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 2)
    fleet.sign_with(tmp_path_factory.mktemp("keys") / "fleet")
    fleet.group["blixard_publish"] = [str(place / "missing"), str(place)]
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def first(bare: Fleet) -> Run:
    return bare.play("site")


@pytest.fixture
def fleet(bare: Fleet, first: Run) -> Fleet:
    return bare


def test_a_place_that_is_down_fails_the_run_after_all_else_was_done(fleet: Fleet, first: Run, place: Path) -> None:
    assert first.code != 0
    assert f"[WARNING]: {place / 'missing'}: is not there; make it first" in first.words
    assert "all other places have it; run this again when these can be used" in first.output
    assert first.output.rindex("Every place has the record") > first.output.rindex("Connectivity | Write the report")
    assert fleet.report()["summary"]["edges"] == fleet.report()["summary"]["reached"] == 2


def test_the_other_place_has_what_the_controller_has(fleet: Fleet, place: Path) -> None:
    assert read_peers(place / "discovery-peers.json") == read_peers(fleet.peers_file)
    assert read_record(place / "registry") == read_record(fleet.registry)
    for name in ("discovery-peers.json.sig", "registry/MANIFEST"):
        assert (place / name).read_bytes() == (fleet.root / ".blixard" / name).read_bytes()


def test_a_second_run_changes_nothing_anywhere(fleet: Fleet, place: Path) -> None:
    fleet.group["blixard_publish"] = [str(place)]
    run = fleet.play("peers", "--diff")
    assert (run.code, sum(run.changed.values())) == (0, 0), run.output


def test_a_place_that_lags_behind_is_foreseen_shown_by_peers_and_brought_up_to_date(
    fleet: Fleet, place: Path, tmp_path: Path
) -> None:
    fleet.group["blixard_publish"] = [str(place), str(tmp_path)]
    foreseen = fleet.play("peers", "--check", "--diff")
    assert (foreseen.code, sum(foreseen.changed.values())) == (0, 1), foreseen.output
    assert list(tmp_path.iterdir()) == []
    run = fleet.play("peers", "--diff")
    for each in (foreseen, run):
        assert f"{tmp_path} + node1 (node 1)" in each.words
        assert "+2 −0 ~0 peers" in each.output
    assert (run.code, sum(run.changed.values())) == (0, 1), run.output
    assert read_peers(tmp_path / "discovery-peers.json") == read_peers(fleet.peers_file)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("sftp://user:hush@host/x", "blixard_publish: sftp://…@host/x #"),
        ("ftp://host/x", "is no place that can be published to"),
        ("relative/folder", "is not a whole path"),
    ],
)
def test_what_is_no_place_is_refused_before_anything_is_done(fleet: Fleet, location: str, said: str) -> None:
    before = fleet.settled()
    fleet.group["blixard_publish"] = [location]
    run = fleet.play("peers")
    assert run.code != 0
    assert said in run.words
    assert "hush" not in run.output
    assert fleet.settled() == before
