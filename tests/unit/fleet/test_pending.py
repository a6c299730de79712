# SPDX-License-Identifier: MIT
"""Whether a host's node runs as wanted, and if not, why."""

from __future__ import annotations

from typing import Any

import pytest

from blixard.fleet.pending import pending

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
