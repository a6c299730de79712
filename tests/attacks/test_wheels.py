# SPDX-License-Identifier: MIT
"""A wheel that somebody exchanged, in a folder or on its way: pip, as the role runs it, does not install it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from blixard.fleet.wanted_package import pip_runs

NAME = "dependency-1.0-py3-none-any.whl"


def wheel(folder: Path, words: str) -> str:
    """Put a wheel there and return its digest."""
    info = "dependency-1.0.dist-info"
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("dependency.py", f"WORDS = {words!r}\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: dependency\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256((folder / NAME).read_bytes()).hexdigest()


def install(folder: Path, lock: str) -> subprocess.CompletedProcess[str]:
    lock_file = folder / "requirements.lock"
    lock_file.write_text(lock)
    # The first run of pip installs what the package depends on.
    wanted = {"kind": "requirement", "place": "blixard==1.0", "lock": str(lock_file)}
    command, *arguments = pip_runs(wanted, str(folder), offline=True)[0]
    return subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", command, "--target", folder / "installed", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_with_another_digest_than_the_lock_files_is_not_installed(tmp_path: Path) -> None:
    lock = f"dependency==1.0 --hash=sha256:{wheel(tmp_path, 'good')}\n"
    wheel(tmp_path, "tampered")
    run = install(tmp_path, lock)
    assert run.returncode != 0
    assert "DO NOT MATCH THE HASHES" in run.stderr
    assert not (tmp_path / "installed").exists()


def test_a_wheel_that_the_lock_file_names_without_digest_is_not_installed(tmp_path: Path) -> None:
    wheel(tmp_path, "good")
    assert install(tmp_path, "dependency==1.0\n").returncode != 0
    assert not (tmp_path / "installed").exists()


def test_the_right_wheel_is_installed(tmp_path: Path) -> None:
    run = install(tmp_path, f"dependency==1.0 --hash=sha256:{wheel(tmp_path, 'good')}\n")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "installed" / "dependency.py").read_text() == "WORDS = 'good'\n"
