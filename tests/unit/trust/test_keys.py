# SPDX-License-Identifier: MIT
"""Secret keys: used and kept, never shown."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import iroh
import pytest

from blixard.errors import InputError
from blixard.trust.keys import SecretKey, create_secret_key, read_secret_key, verify

RAW = bytes(range(32))
KEY = SecretKey.from_bytes(RAW)


def test_a_key_is_irohs_key() -> None:
    theirs = iroh.SecretKey.from_bytes(RAW)
    assert KEY.public().raw == theirs.public().to_bytes()
    assert KEY.sign(b"data") == theirs.sign(b"data").to_bytes()
    assert KEY.to_bytes() == RAW


def test_a_signature_holds_for_its_key_and_data_alone() -> None:
    signature = KEY.sign(b"data")
    assert len(signature) == 64
    assert verify(KEY.public(), b"data", signature)
    assert not verify(KEY.public(), b"date", signature)
    assert not verify(SecretKey.generate().public(), b"data", signature)
    for length in (0, 63, 65):
        assert not verify(KEY.public(), b"data", (signature * 2)[:length])


def test_a_bad_signature_is_cheap_to_refuse_also_where_rust_backtraces_are_on() -> None:
    # A backtrace takes 0.4 s to resolve: whoever sends bad signatures could keep a node busy with them.
    code = """
import blixard, iroh
key = iroh.SecretKey.generate()
try:
    key.public().verify(b"other", key.sign(b"data"))
except iroh.IrohError as error:
    print("backtrace" in error.debug_message())
"""
    environment = {**os.environ, "RUST_BACKTRACE": "1"}
    environment.pop("RUST_LIB_BACKTRACE", None)
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert child.stdout == "False\n"


def test_a_key_shows_itself_in_no_text() -> None:
    texts = [repr(KEY), str(KEY), f"{KEY}", f"{KEY!r:>50}", f"{[KEY]}", str(vars(logging.makeLogRecord({"key": KEY})))]
    for text in texts:
        assert RAW.hex() not in text
        assert "hidden" in text
    assert not hasattr(KEY, "__dict__")


def test_a_key_cannot_be_pickled_or_copied() -> None:
    for act in (lambda: pickle.dumps(KEY), lambda: copy.copy(KEY), lambda: copy.deepcopy([KEY])):
        with pytest.raises(TypeError, match="not to be copied"):
            act()


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused_without_showing_it(length: int) -> None:
    with pytest.raises(InputError, match=f"32 bytes, not {length}") as caught:
        SecretKey.from_bytes(b"\xab" * length)
    assert "ab" * 8 not in "".join(traceback.format_exception(caught.value))


def test_generated_keys_differ() -> None:
    assert SecretKey.generate().public() != SecretKey.generate().public()


def test_a_key_file_is_made_for_its_owner_alone_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    old = os.umask(0)
    try:
        made = create_secret_key(path)
    finally:
        os.umask(old)
    assert path.read_text() == made.to_bytes().hex() + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_secret_key(path).public() == made.public()


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("something")
    with pytest.raises(InputError, match="is there already"):
        create_secret_key(path)
    assert path.read_text() == "something"
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        create_secret_key(tmp_path / "file" / "folder" / "key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    create_secret_key(path)
    path.chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:04o}") as caught:
        read_secret_key(path)
    assert "chmod" in caught.value.mend


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "ab" * 31,
        "ab" * 33,
        "ab" * 31 + "zz",
        "ab" * 32 + "\n\n",
        " " + "ab" * 32,
        "0x" + "ab" * 31,
        "ab" * 600,
    ],
)
def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError) as caught:
        read_secret_key(path)
    shown = "".join(traceback.format_exception(caught.value))
    assert str(path) in shown
    assert "abab" not in shown
    assert "aaaa" not in shown


def test_a_key_in_upper_case_or_without_a_newline_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for text in (RAW.hex().upper(), RAW.hex() + "\n"):
        path.write_text(text)
        path.chmod(0o600)
        assert read_secret_key(path).public() == KEY.public()


def test_a_missing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_secret_key(tmp_path / "key")
