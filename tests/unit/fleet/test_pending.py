# SPDX-License-Identifier: MIT
"""Whether a host's node runs as wanted, and if not, why."""

from __future__ import annotations

from typing import Any

import pytest

from blixard.fleet.observe import has_key, has_peers, pending

CONFIG = "/etc/blixard/node-config.json"
UNIT = "/etc/systemd/system/blixard.service"
MARKER = "/opt/blixard/venv/.blixard-runtime"

WANTED: dict[str, dict[str, Any]] = {
    "config": {"sha256": "c1", "mode": "0640", "group": "blixard"},
    "unit": {"expected": True, "mode": "0644"},
    "enabled": {"kind": "link"},
}
NEWER = ["unit", "runtime"]


def _look() -> dict[str, Any]:
    return {
        "version": "1.0.0",
        "agent": {"state": "running", "config_sha256": "c1", "version": "1.0.0", "started": 100.0},
        "files": {
            "config": {
                "path": CONFIG,
                "kind": "file",
                "sha256": "c1",
                "mode": "0640",
                "group": "blixard",
                "mtime": 200.0,
            },
            "unit": {"path": UNIT, "kind": "file", "expected": True, "mode": "0644", "group": "root", "mtime": 90.0},
            "enabled": {"path": "/etc/link", "kind": "link", "mtime": 90.0},
            "runtime": {"path": MARKER, "kind": "file", "sha256": "m1", "mtime": 90.0},
        },
    }


def test_nothing_is_pending_where_the_node_runs_as_wanted() -> None:
    assert pending(_look(), WANTED, NEWER) == []


def test_a_marker_that_nobody_wrote_makes_no_node_old() -> None:
    look = _look()
    look["files"]["runtime"] = {"path": MARKER, "kind": "absent"}

    assert pending(look, WANTED, NEWER) == []


@pytest.mark.parametrize(
    ("name", "seen", "reason"),
    [
        ("config", {"kind": "absent"}, f"{CONFIG} is missing"),
        ("config", {"sha256": "c2"}, f"{CONFIG} is not as wanted"),
        ("config", {"mode": "0644"}, f"{CONFIG} is not as wanted"),
        ("config", {"group": "root"}, f"{CONFIG} is not as wanted"),
        ("unit", {"expected": False}, f"{UNIT} is not as wanted"),
        ("enabled", {"kind": "absent"}, "/etc/link is missing"),
        ("unit", {"mtime": 101.0}, f"the node is older than {UNIT}"),
        ("runtime", {"mtime": 101.0}, f"the node is older than {MARKER}"),
    ],
)
def test_each_difference_on_disk_is_a_reason(name: str, seen: dict[str, Any], reason: str) -> None:
    look = _look()
    look["files"][name] = {**look["files"][name], **seen}

    assert pending(look, WANTED, NEWER) == [reason]


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ({"state": "not running"}, "the node is not running"),
        ({"state": "not answering", "error": "…"}, "the node is not answering"),
        ({"config_sha256": "c0"}, "the node runs with other settings"),
        ({"config_sha256": None}, "the node runs with other settings"),
        ({"version": "0.9.0"}, "the node runs version 0.9.0, installed is 1.0.0"),
    ],
)
def test_a_restart_that_an_interrupted_run_left_undone_is_still_due(agent: dict[str, Any], reason: str) -> None:
    look = _look()
    look["agent"] = {**look["agent"], **agent}

    assert pending(look, WANTED, NEWER) == [reason]


def _keyed(**different: Any) -> dict[str, Any]:
    own = {"owner": "blixard", "group": "blixard"}
    key = {"state": "present", **own, **different.get("key", {})}
    return {"key": key, "files": {"data_dir": {"mode": "0700", **own, **different.get("data_dir", {})}}}


def test_key_and_directory_that_are_the_account_s_alone_are_kept() -> None:
    assert has_key(_keyed(), "blixard", "blixard")
    assert has_key(_keyed(key={"owner": "me"}), None, None), "where the node has no account of its own"


@pytest.mark.parametrize(
    "different",
    [
        {"key": {"state": "absent"}},
        {"key": {"owner": "root"}},
        {"key": {"group": "root"}},
        {"data_dir": {"mode": "0755"}},
        {"data_dir": {"owner": "root"}},
        {"data_dir": {"group": "root"}},
    ],
)
def test_key_or_directory_that_is_anything_else_is_made_so(different: dict[str, Any]) -> None:
    assert not has_key(_keyed(**different), "blixard", "blixard")


@pytest.mark.parametrize(
    ("peers", "signature", "sent", "there"),
    [
        ("p1", {}, {}, True),
        ("p1", {}, {"sha256": None}, True),
        ("p1", {"sha256": "s1"}, {"sha256": "s1"}, True),
        ("p1", {"sha256": "s1"}, {"sha256": "s2"}, False),
        ("p1", {}, {"sha256": "s1"}, False),
        ("p0", {"sha256": "s1"}, {"sha256": "s1"}, False),
        (None, {}, {}, False),
    ],
)
def test_a_host_has_the_peers_when_file_and_signature_are_those_of_the_fleet(
    peers: str | None, signature: dict[str, Any], sent: dict[str, Any], there: bool
) -> None:
    look = {"files": {"peers": {"kind": "file", "sha256": peers}, "signature": signature}}

    assert has_peers(look, {"sha256": "p1"}, sent) is there


def test_a_node_that_started_in_the_very_moment_of_a_file_s_change_is_taken_for_newer() -> None:
    look = _look()
    look["files"]["unit"]["mtime"] = look["agent"]["started"]

    assert pending(look, WANTED, NEWER) == []
