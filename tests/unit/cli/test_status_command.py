# SPDX-License-Identifier: MIT
"""`blixard status`: the page that an operator reads."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.run import blixard, refused

from blixard.model.times import format_time

CONNECTED: dict[str, Any] = {
    "node_id": 2,
    "state": "connected",
    "since": "2026-01-01T00:00:00Z",
    "path": "direct",
    "rtt_ms": 0.74,
    "failures": 0,
    "next_attempt_s": None,
    "last_error": {"kind": "timeout", "message": "long ago", "at": "2026-01-01T00:00:00Z"},
    "sources": ["static:/srv/peers.json"],
    "addresses": [{"address": "192.168.1.2:7001", "sources": [], "state": "usable", "reason": None, "until_s": None}],
}
OPEN = CONNECTED | {
    "node_id": 3,
    "state": "open",
    "path": None,
    "rtt_ms": None,
    "failures": 7,
    "next_attempt_s": 42.0,
    "last_error": {"kind": "wrong_id", "message": "another node\x1b[2J", "at": "2026-01-01T00:00:00Z"},
    "addresses": [
        {"address": "172.17.0.1:7001", "sources": [], "state": "quarantined", "reason": "another node", "until_s": 55.0}
    ],
}
FAILED = {"state": "failed", "error": "/srv/peers.json: is not JSON", "problems": []}
SOURCES = [
    {"name": "static:/srv/peers.json", "good_at": None, **FAILED},
    {"name": "static:/srv/more.json", "good_at": None, **FAILED},
    {
        "name": "registry:/srv/r",
        "state": "found",
        "good_at": None,
        "error": None,
        "problems": ["/srv/r/9.json: is empty"],
    },
]
STATUS: dict[str, Any] = {
    "node_id": 1,
    "cluster": "prod",
    "admission": "known",
    "peers": [CONNECTED, OPEN],
    "sources": SOURCES,
    "refused_callers": {"unknown": 3, "bad_entry": 1},
}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give the answer of a node that the test may change."""
    status = json.loads(json.dumps(STATUS))
    now = datetime.now(timezone.utc)
    status["sources"][1]["good_at"] = format_time(now - timedelta(hours=5))
    status["sources"][2]["good_at"] = format_time(now)
    monkeypatch.setattr("blixard.cli.status_command.ask", lambda data_dir, op: status)
    answer: dict[str, Any] = status
    return answer


def test_the_page_says_what_is_not_written_once_and_why_no_other_host_reaches_the_node(answer: dict[str, Any]) -> None:
    answer |= {"not_remembered": ["numbers"], "not_written": ["entry", "numbers"], "not_reachable": "no address"}
    lines = blixard("status", "--data-dir", "/").out.splitlines()
    assert [line for line in lines if line.startswith("cannot")] == [
        "cannot remember what it took: numbers",
        "cannot write, and tries again: entry",
        "cannot be reached from other hosts: no address",
    ]


def test_the_page_says_that_the_relay_is_not_there_and_nothing_of_one_that_is(answer: dict[str, Any]) -> None:
    def line() -> list[str]:
        return [each for each in blixard("status", "--data-dir", "/").out.splitlines() if "relay" in each.lower()]

    assert line() == []
    answer["relay"] = {"url": "https://r.example/", "error": None}
    assert line() == []
    answer["relay"]["error"] = "not connected"
    assert line() == ["relay https://r.example/: not connected"]


@pytest.mark.usefixtures("answer")
def test_the_page_says_how_each_peer_is_and_all_that_is_wrong() -> None:
    ran = blixard("status", "--data-dir", "/")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "node 1 of cluster prod, admission known: 1 connected, 1 open"
    assert lines[1].split("  ")[0] == "NODE"
    assert lines[2].split()[:2] == ["2", "connected"]
    assert "0.7 ms" in lines[2]
    assert "long ago" not in lines[2]
    assert "42.0 s" in lines[3]
    assert r"wrong_id: another node\x1b[2J" in lines[3]
    assert lines[4:] == [
        "node 3: 172.17.0.1:7001 is not dialled: another node, for 55.0 s",
        "source static:/srv/peers.json failed, last good answer never: /srv/peers.json: is not JSON",
        "source static:/srv/more.json failed, last good answer 5 h ago: /srv/peers.json: is not JSON",
        "source registry:/srv/r: refused: /srv/r/9.json: is empty",
        "callers turned away: 1 bad_entry, 3 unknown",
    ]


def test_the_json_document_is_what_the_node_answered(answer: dict[str, Any]) -> None:
    assert json.loads(blixard("status", "--data-dir", "/", "--json").out) == answer


def test_a_node_without_peers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = STATUS | {"peers": [], "sources": [], "refused_callers": {}}
    monkeypatch.setattr("blixard.cli.status_command.ask", lambda data_dir, op: alone)
    assert blixard("status", "--data-dir", "/").out.splitlines()[0].endswith("admission known: no peers known")


def test_where_no_node_runs_is_one_line(tmp_path: Path) -> None:
    assert refused(blixard("status", "--data-dir", tmp_path), 1).startswith(f"blixard: no node runs in {tmp_path}: ")
