# SPDX-License-Identifier: MIT
"""A file that is put into a data directory: whole, once, under a name in there, and in the place of whatever had it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from blixard.errors import InputError
from blixard.fleet.host import run
from blixard.fleet.put import packed, put, unpacked

CONTENT = b'[{"one": 1}]\n'
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(0o700)
    return path


def test_a_file_is_put_once_and_again_when_content_or_mode_differ(data_dir: Path, source: Path) -> None:
    path = data_dir / "peers.json"
    path.write_bytes(b"old\n")
    assert put(data_dir, "peers.json", sha256=DIGEST, mode=0o644, source=source, diff=True) == {
        "changed": True,
        "before": "old\n",
    }
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o7777 == 0o644
    assert put(data_dir, "peers.json", sha256=DIGEST, mode=0o644, source=source) == {"changed": False}
    assert put(data_dir, "peers.json", sha256=DIGEST, mode=0o640, source=source) == {"changed": True}
    assert path.stat().st_mode & 0o7777 == 0o640


def test_without_a_source_it_is_only_said_whether_anything_would_change(data_dir: Path, source: Path) -> None:
    assert put(data_dir, "registry.d/a.json", sha256=DIGEST, mode=0o644) == {"changed": True}
    assert list(data_dir.iterdir()) == []
    put(data_dir, "registry.d/a.json", sha256=DIGEST, mode=0o644, source=source)
    assert put(data_dir, "registry.d/a.json", sha256=DIGEST, mode=0o644) == {"changed": False}


def test_a_link_is_replaced_and_what_it_led_to_stays(data_dir: Path, source: Path) -> None:
    other = data_dir.parent / "other"
    other.write_bytes(CONTENT)
    other.chmod(0o644)
    (data_dir / "peers.json").symlink_to("../other")
    assert put(data_dir, "peers.json", sha256=DIGEST, mode=0o644, source=source) == {"changed": True}
    assert not (data_dir / "peers.json").is_symlink()
    os.link(other, data_dir / "again.json")
    assert put(data_dir, "again.json", sha256=DIGEST, mode=0o644, source=source) == {"changed": True}
    assert other.stat().st_nlink == 1


def test_what_is_not_what_was_sent_is_refused_and_nothing_good_is_lost(data_dir: Path, source: Path) -> None:
    (data_dir / "peers.json").write_bytes(b"good\n")
    with pytest.raises(InputError, match="is not what was sent"):
        put(data_dir, "peers.json", sha256="0" * 64, mode=0o644, source=source)
    assert (data_dir / "peers.json").read_bytes() == b"good\n"


@pytest.mark.parametrize("name", ["..", "../a", "/a", "a/../../b", "", "."])
def test_a_name_that_leads_out_is_refused(data_dir: Path, source: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name of a file in a data directory"):
        put(data_dir, name, sha256=DIGEST, mode=0o644, source=source)


def test_a_directory_that_is_missing_is_named_and_not_made(data_dir: Path, source: Path) -> None:
    data_dir.rmdir()
    with pytest.raises(InputError, match=f"{data_dir}: is no directory; make it"):
        put(data_dir, "peers.json", sha256=DIGEST, mode=0o644, source=source)
    assert not data_dir.exists()


def test_what_stands_in_the_way_is_named(data_dir: Path, source: Path) -> None:
    (data_dir / "registry.d").touch()
    (data_dir / "peers.json").mkdir()
    for name in ("registry.d/a.json", "peers.json"):
        with pytest.raises(InputError, match=str(data_dir)):
            put(data_dir, name, sha256=DIGEST, mode=0o644, source=source)


def test_an_operation_that_this_package_does_not_know_says_which_is_too_old() -> None:
    answer = run("teleport", {})
    assert answer["failed"]
    assert "older than the role (teleport); run site.yml first" in answer["msg"]


def test_small_content_goes_along_with_the_command_and_large_content_does_not(data_dir: Path) -> None:
    along = packed(CONTENT)
    assert along is not None
    assert put(data_dir, "peers.json", sha256=DIGEST, mode=0o644, source=unpacked(along)) == {"changed": True}
    assert (data_dir / "peers.json").read_bytes() == CONTENT
    assert packed(os.urandom(49_153)) is None
    assert packed(b"x" * 10_000_000) is not None


def test_content_that_unpacks_to_more_than_any_file_of_ours_is_refused(data_dir: Path) -> None:
    bomb = packed(bytes(17 * 1024 * 1024))
    assert bomb is not None
    with pytest.raises(InputError, match="is not what was sent"):
        put(data_dir, "peers.json", sha256=DIGEST, mode=0o644, source=unpacked(bomb))
    assert list(data_dir.iterdir()) == []
