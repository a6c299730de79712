# SPDX-License-Identifier: MIT
"""The file in which a source's last good answer is kept: what is recalled of it, and what is not."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from blixard.sources.snapshots import Snapshot, SnapshotStore

KEPT = Snapshot(b"[]\n", b"signature", datetime(2026, 1, 1, tzinfo=timezone.utc))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SnapshotStore(tmp_path).keep("static:/peers.json", KEPT)
    (path,) = (tmp_path / "remembered-peers").iterdir()
    return path


def recalled(path: Path) -> Snapshot | None:
    return SnapshotStore(path.parent.parent).recall("static:/peers.json")


def test_what_was_kept_is_recalled(path: Path) -> None:
    assert recalled(path) == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("change", [{"version": 2}, {"sha256": "0" * 64}, {"taken_at": 5}, {"signature": "!"}])
def test_what_another_version_or_nobody_wrote_is_not_recalled(path: Path, change: dict[str, object]) -> None:
    line, _, data = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(line), **change}).encode() + b"\n" + data)
    assert recalled(path) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n[]\n", b"{}\n[]\n", b" " * 20_000 + b"{}\n[]\n"])
def test_a_file_of_another_form_is_not_recalled(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert recalled(path) is None
