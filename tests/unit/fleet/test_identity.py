# SPDX-License-Identifier: MIT
"""The secret key on a host: made, kept, replaced, removed, and never shown."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from blixard.errors import InputError
from blixard.fleet.identity import Wanted, keep, keep_for, remove
from blixard.trust.keys import read_secret_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "iroh-secret-key"


def test_a_missing_key_is_made_for_its_owner_alone(path: Path) -> None:
    made = keep(path, regenerate="never", check=False)

    assert made.changed
    assert made.before is None
    assert made.after == read_secret_key(path).public().base64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_second_run_keeps_the_key_and_changes_nothing(path: Path) -> None:
    made = keep(path, regenerate="never", check=False)
    content = path.read_bytes()

    for regenerate in ("never", "fail"):
        again = keep(path, regenerate=regenerate, check=False)
        assert not again.changed
        assert again.before == again.after == made.after
    assert path.read_bytes() == content


def test_always_replaces_the_key_by_a_new_one(path: Path) -> None:
    old = keep(path, regenerate="never", check=False)

    new = keep(path, regenerate="always", check=False)

    assert new.changed
    assert new.before == old.after
    assert new.after == read_secret_key(path).public().base64 != old.after
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_check_mode_says_what_would_be_done_and_writes_nothing(path: Path) -> None:
    would = keep(path, regenerate="never", check=True)
    assert (would.changed, would.after, would.after_in_words) == (True, None, "a new one")
    assert not path.parent.exists()

    keep(path, regenerate="never", check=False)
    content = path.read_bytes()
    assert keep(path, regenerate="always", check=True).changed
    assert remove(path, check=True).changed
    assert path.read_bytes() == content


def test_a_key_that_others_could_read_is_narrowed_by_never_and_refused_by_fail(path: Path) -> None:
    made = keep(path, regenerate="never", check=False)
    path.chmod(0o644)

    with pytest.raises(InputError):
        keep(path, regenerate="fail", check=False)
    assert keep(path, regenerate="never", check=True).changed
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    narrowed = keep(path, regenerate="never", check=False)
    assert narrowed.changed
    assert narrowed.after == made.after
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"not a key\n", b"0" * 63 + b"\n", bytes(32)])
def test_a_file_that_holds_no_key_is_refused_without_showing_it_and_replaced_only_by_always(
    path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)

    for regenerate in ("never", "fail"):
        with pytest.raises(InputError) as refused:
            keep(path, regenerate=regenerate, check=False)
        assert str(path) in str(refused.value)
        assert "not a key\\n" not in str(refused.value)
    assert path.read_bytes() == content

    replaced = keep(path, regenerate="always", check=False)
    assert replaced.before is None
    assert replaced.after == read_secret_key(path).public().base64


def test_removing_a_key_removes_it_once(path: Path) -> None:
    made = keep(path, regenerate="never", check=False)

    removed = remove(path, check=False)
    assert (removed.changed, removed.before, removed.after) == (True, made.after, None)
    assert not path.exists()
    assert not remove(path, check=False).changed


def test_a_key_that_goes_away_during_the_work_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.lexists", lambda _: True)
    with pytest.raises(InputError, match="iroh-secret-key: No such file or directory; see to it, and run this again"):
        keep_for(path, Wanted(), check=False)
