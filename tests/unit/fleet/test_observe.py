# SPDX-License-Identifier: MIT
"""What a file is like, as it is told to the controller."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from blixard.fleet import observe as observing
from blixard.fleet.observe import differs, observe

ZEROS_64_MIB = "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351"


def test_a_file_is_told_with_digest_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    path.chmod(0o640)

    seen = observe(path)

    assert seen["kind"] == "file"
    assert seen["sha256"] == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert seen["mode"] == "0640"
    assert seen["owner"] == path.owner()
    assert seen["group"] == path.group()
    assert seen["mtime"] == path.stat().st_mtime


def test_nothing_at_a_path_is_told_as_absent_even_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert observe(tmp_path / "missing") == {"kind": "absent"}
    assert observe(tmp_path / "file" / "below") == {"kind": "absent"}


def test_a_link_is_told_as_a_link_and_not_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")

    assert observe(tmp_path / "link")["kind"] == "link"
    assert observe(tmp_path / "link")["sha256"] is None


def test_directories_and_pipes_are_told_without_being_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert observe(tmp_path)["kind"] == "directory"
    assert observe(tmp_path / "pipe")["kind"] == "other"
    assert observe(tmp_path / "pipe")["sha256"] is None


def test_a_sparse_file_of_a_gibibyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(1 << 30)

    assert observe(path)["sha256"] is None


def test_a_file_of_64_mebibytes_has_a_digest_and_a_larger_one_has_none(tmp_path: Path) -> None:
    for size in (67_108_864, 67_108_865):
        with (tmp_path / str(size)).open("wb") as stream:
            stream.truncate(size)

    assert observe(tmp_path / "67108864")["sha256"] == ZEROS_64_MIB
    assert observe(tmp_path / "67108865")["sha256"] is None


def test_a_file_that_turns_out_larger_than_it_was_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    version = Path("/proc/version")
    content = version.read_bytes()
    assert version.stat().st_size == 0

    monkeypatch.setattr(observing, "MAX_DIGEST_BYTES", len(content))
    assert observe(version)["sha256"] == hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(observing, "MAX_DIGEST_BYTES", len(content) - 1)
    assert observe(version)["sha256"] is None


def test_a_pipe_or_link_that_takes_the_name_of_a_file_while_it_is_looked_at_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")

    assert observing._digest(tmp_path / "link") is None
    assert observing._digest(tmp_path / "pipe") is None


def test_an_owner_without_a_name_is_told_by_number(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root gives files away")
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 54321, 54322)

    assert observe(path)["owner"] == "54321"
    assert observe(path)["group"] == "54322"


@pytest.mark.parametrize("wanted", [{"sha256": "b"}, {"mode": "0600"}, {"owner": "root"}, {"group": "root"}])
def test_a_file_differs_when_any_wanted_attribute_does(wanted: dict[str, str | None]) -> None:
    seen = {"kind": "file", "sha256": "a", "mode": "0640", "owner": "blixard", "group": "blixard"}

    assert differs(seen, **wanted)
    assert not differs(seen, **dict.fromkeys(wanted))
    assert not differs(seen, sha256="a", mode="0640", owner="blixard", group="blixard")


@pytest.mark.parametrize("kind", ["absent", "directory", "link", "other"])
def test_what_is_no_file_always_differs(kind: str) -> None:
    assert differs({"kind": kind})
