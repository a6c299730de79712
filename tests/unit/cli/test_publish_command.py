# SPDX-License-Identifier: MIT
"""`blixard publish`: what it prints, its exit codes, and that secrets in URLs stay secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.run import Ran, blixard, refused
from tests.unit.publishing.fleets import at, keep, record_of

from blixard.documents.schemas import validate


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    return made


def run(folder: Path, *words: str | Path) -> Ran:
    files = ("--registry-dir", folder / "registry", "--peers", folder / "discovery-peers.json")
    return blixard("publish", *files, *words)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    keep(tmp_path / "fleet", record_of(1, 2), seq=at(-(10**7)))  # the command reads the clock
    return tmp_path / "fleet"


def test_what_is_published_is_printed_by_names_and_a_second_time_nothing_is(fleet: Path, place: Path) -> None:
    ran = run(fleet, place)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split(" (")[0] for line in ran.out.splitlines()] == [
        *("+ n1", "+ n2", "+2 −0 ~0 peers"),
        f"{place}: published",
    ]
    assert run(fleet, place) == Ran(0, f"{place}: up to date\n", "")


def test_check_writes_nothing_and_its_exit_code_says_whether_there_is_something_to_do(fleet: Path, place: Path) -> None:
    ran = run(fleet, "--check", place)
    assert (ran.code, ran.out.splitlines()[-1]) == (1, f"{place}: is not up to date")
    assert list(place.iterdir()) == []
    run(fleet, place)
    assert run(fleet, "--check", place).code == 0


def test_a_place_that_fails_is_named_on_stderr_and_the_others_have_it(fleet: Path, place: Path) -> None:
    ran = run(fleet, place / "missing", place)
    assert refused(ran, 1) == f"blixard: {place / 'missing'}: is not there; make it first"
    assert ran.out.splitlines()[-1] == f"{place}: published"


def test_the_json_document_says_everything(fleet: Path, place: Path) -> None:
    found = json.loads(run(fleet, "--json", place / "missing", place).out)
    validate("publication-report", found)
    assert found["summary"] == {"changed": 1, "unchanged": 0, "refused": 0, "failed": 1}
    assert [each["status"] for each in found["places"]] == ["failed", "changed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sftp://user:hush@host/x"], "sftp://…@host/x #"),
        (["ftp://host/x"], "ftp://host/x: is no place that can be published to"),
        ([], "LOC"),
    ],
)
def test_input_that_cannot_be_used_ends_with_2_and_one_line(fleet: Path, words: list[str], said: str) -> None:
    line = refused(run(fleet, *words), 2)
    assert said in line
    assert "hush" not in line


def test_a_record_that_does_not_fit_its_peers_file_is_the_answer_no(fleet: Path, place: Path) -> None:
    (fleet / "registry/n2.json").unlink()
    assert "run `blixard peers build` first" in refused(run(fleet, place), 1)
    (fleet / "registry/n1.json").write_text("{")
    assert "n1.json" in refused(run(fleet, place), 2)
