# SPDX-License-Identifier: MIT
"""`blixard report`: a page of a report, and one line for what is no report."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.browser.reports import one_way, report
from tests.unit.cli.run import blixard, refused

from blixard.documents.connectivity_report import parse_report
from blixard.documents.schemas import load_schema, validate
from blixard.errors import InputError
from blixard.pages.mesh_page import mesh_page


def test_the_page_of_a_report_and_of_an_earlier_one_is_written(tmp_path: Path) -> None:
    now, before = report(3, one_way(2, 3)), report(3)
    for name, made in (("now", now), ("before", before)):
        (tmp_path / name).write_text(json.dumps(made))

    ran = blixard("report", "--html", tmp_path / "mesh.html", "--before", tmp_path / "before", tmp_path / "now")

    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert (tmp_path / "mesh.html").read_bytes() == mesh_page(now, before)


def test_a_dash_reads_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(report(3)).encode())))
    assert blixard("report", "--html", tmp_path / "mesh.html", "-").code == 0
    assert (tmp_path / "mesh.html").read_bytes() == mesh_page(report(3))


def test_what_is_no_report_is_one_line_and_leaves_the_former_page(tmp_path: Path) -> None:
    (tmp_path / "mesh.html").write_text("former")
    (tmp_path / "now").write_text('{"cluster": "a", "nodes": []}')
    line = refused(blixard("report", "--html", tmp_path / "mesh.html", tmp_path / "now"), 2)
    assert line.startswith(f"blixard: {tmp_path}/now: /edges: is missing; give it a report as `blixard check --json`")
    assert (tmp_path / "mesh.html").read_text() == "former"


CHANGES: list[tuple[tuple[str, ...], Any, str, str]] = [
    (("cluster",), 7, "/cluster", "must be a string"),
    (("nodes",), {}, "/nodes", "must be a list"),
    (("nodes", "0", "agent"), "dead", "/nodes/0/agent", "must be one of running"),
    (("nodes", "0", "groups"), "rack", "/nodes/0/groups", "must be a list"),
    (("edges", "1"), None, "/edges/1", "must be an object"),
    (("edges", "0", "from"), 0, "/edges/0/from", "must be at least 1"),
    (("edges", "0", "to"), None, "/edges/0/to", "must be an integer"),
    (("edges", "0", "reached"), 1, "/edges/0/reached", "must be true or false"),
    (("edges", "0", "path"), "magic", "/edges/0/path", "must be one of direct, relay"),
    (("edges", "0", "rtt_ms"), -1, "/edges/0/rtt_ms", "must be at least 0"),
    (("edges", "0", "waited_s"), "1", "/edges/0/waited_s", "must be a number"),
    (("edges", "0", "attempts"), 1.5, "/edges/0/attempts", "must be an integer"),
    (("edges", "0", "error"), {"kind": "x"}, "/edges/0/error/message", "is missing"),
    (("edges", "0", "to_name"), [], "/edges/0/to_name", "must be a string"),
]


@pytest.mark.parametrize(("path", "value", "place", "reason"), CHANGES)
def test_the_first_thing_that_is_wrong_in_a_report_is_named_where_the_schema_refuses_it_too(
    path: tuple[str, ...], value: Any, place: str, reason: str
) -> None:
    made: Any = {**report(3), "summary": dict.fromkeys(("nodes", "edges", "reached", "failed", "not_admitted"), 0)}
    validate("connectivity-report", made)
    parse_report(json.dumps(made).encode())
    within = made
    for step in path[:-1]:
        within = within[int(step)] if step.isdigit() else within[step]
    within[int(path[-1]) if path[-1].isdigit() else path[-1]] = value

    with pytest.raises(InputError) as caught:
        parse_report(json.dumps(made).encode())
    assert (caught.value.place, caught.value.reason[: len(reason)]) == (place, reason)
    with pytest.raises(InputError):
        validate("connectivity-report", made)


def test_the_examples_of_the_schema_are_reports() -> None:
    for example in load_schema("connectivity-report")["examples"]:
        parse_report(json.dumps(example).encode())
