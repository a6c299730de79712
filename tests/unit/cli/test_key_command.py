# SPDX-License-Identifier: MIT
"""`blixard key`: makes keys, shows ids, never a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.run import blixard, refused

from blixard.model.ids import EndpointId
from blixard.trust.keys import KEY_FILE_NAME, read_secret_key


def test_a_key_is_made_and_its_id_printed(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    ran = blixard("key", "generate", "--out", path)
    key = read_secret_key(path)
    assert (ran.code, ran.out) == (0, key.public().hex + "\n")
    assert str(path) in ran.err
    assert key.to_bytes().hex() not in ran.out + ran.err


def test_without_a_path_the_key_is_made_in_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert blixard("key", "generate").code == 0
    assert read_secret_key(tmp_path / KEY_FILE_NAME)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    blixard("key", "generate", "--out", path)
    before = path.read_bytes()
    assert "is there already" in refused(blixard("key", "generate", "--out", path), 2)
    assert path.read_bytes() == before


def test_the_id_of_a_key_is_shown_in_hex_or_as_files_have_it(tmp_path: Path) -> None:
    made = blixard("key", "generate", "--out", tmp_path / KEY_FILE_NAME).out
    assert blixard("key", "show", tmp_path / KEY_FILE_NAME).out == made
    assert blixard("key", "show", tmp_path).out == made, "a data directory will do"
    in_base64 = blixard("key", "show", "--base64", tmp_path).out
    assert EndpointId.parse(in_base64.strip()) == EndpointId.parse(made.strip())
    assert in_base64 != made


def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("correct horse battery staple")
    path.chmod(0o600)
    assert "staple" not in refused(blixard("key", "show", path), 2)
    path.chmod(0o644)
    assert f"chmod 0600 {path}" in refused(blixard("key", "show", path), 2)
    assert "does not exist" in refused(blixard("key", "show", tmp_path / "missing"), 2)
