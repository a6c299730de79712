# SPDX-License-Identifier: MIT
"""The package on the host: installed once, again when it is another one, and never in check mode."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import Fleet

PLAYBOOK = """\
- hosts: blixard
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: blixard
        tasks_from: runtime
"""


def _wheel(path: Path, words: str, *, name: str = "blixard", requires: str = "") -> Path:
    """Write a wheel of a package that depends on nothing, or on `requires`, and says `words`."""
    info = f"{name}-9.9.9.dist-info"
    path.mkdir(exist_ok=True)
    file = path / f"{name}-9.9.9-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9.9\n"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"WORDS = {words!r}\n")
        wheel.writestr(f"{info}/METADATA", metadata + (f"Requires-Dist: {requires}\n" if requires else ""))
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return file


def _lock(path: Path, *wheels: Path) -> str:
    """Write a lock file for these wheels."""
    digests = [(wheel.name.partition("-")[0], hashlib.sha256(wheel.read_bytes()).hexdigest()) for wheel in wheels]
    path.write_text("# nothing else\n" + "".join(f"{name}==9.9.9 \\\n    --hash=sha256:{it}\n" for name, it in digests))
    return str(path)


@pytest.fixture
def host(new_fleet: NewFleet, tmp_path: Path) -> Fleet:
    """One host that has nothing, and the wheel that it is to have."""
    fleet = new_fleet(1)
    fleet.group |= {
        "blixard_runtime_manage": True,
        "blixard_venv": "{{ inventory_dir }}/venv",
        "blixard_package": str(_wheel(tmp_path, "first")),
        "blixard_requirements": _lock(tmp_path / "requirements.lock"),
        "blixard_pip_args": ["--no-index"],
        "blixard_python": "{{ ansible_playbook_python }}",
    }
    (tmp_path / "runtime.yml").write_text(PLAYBOOK)
    return fleet


def _installed(host: Fleet, name: str = "blixard") -> str:
    found = list((host.root / "venv").glob(f"lib/python*/site-packages/{name}/__init__.py"))
    return found[0].read_text() if found else ""


def test_the_package_is_installed_once_and_again_when_it_is_another_one(host: Fleet, tmp_path: Path) -> None:
    playbook = tmp_path / "runtime.yml"

    would = host.play(playbook, "--check", "--diff")
    assert would.code == 0, would.output
    assert would.changed == {"node1": 1}
    assert host.files() == {}

    first = host.play(playbook)
    assert first.code == 0, first.output
    assert _installed(host) == "WORDS = 'first'\n"
    assert not (host.root / "venv" / "wheels").exists()

    again = host.play(playbook)
    assert again.changed == {"node1": 0}

    # Another build of the same version, and an installation that was interrupted before its end.
    _wheel(tmp_path, "second")
    other = host.play(playbook)
    assert other.code == 0, other.output
    assert _installed(host) == "WORDS = 'second'\n"
    (host.root / "venv" / ".blixard-runtime").unlink()
    assert host.play(playbook).changed["node1"] > 0
    assert host.play(playbook).changed == {"node1": 0}


def test_a_host_takes_only_those_dependencies_whose_digests_are_in_the_lock_file(host: Fleet, tmp_path: Path) -> None:
    playbook, house = tmp_path / "runtime.yml", tmp_path / "wheelhouse"
    dependency = _wheel(house, "good", name="dependency")
    host.group["blixard_package"] = str(_wheel(tmp_path, "first", requires="dependency>=9"))
    host.group["blixard_wheelhouse"] = str(house)
    # What a folder of wheels has under the package's own name does not take its place.
    _wheel(house, "planted")

    without = host.play(playbook)
    assert without.code != 0
    assert "requires dependency" in without.output

    _lock(tmp_path / "requirements.lock", dependency)
    _wheel(house, "tampered", name="dependency")
    tampered = host.play(playbook)
    assert tampered.code != 0
    assert "DO NOT MATCH THE HASHES" in tampered.output
    assert _installed(host, "dependency") == ""
    assert not (host.root / "venv" / ".blixard-runtime").exists()

    _wheel(house, "good", name="dependency")
    _lock(tmp_path / "requirements.lock", dependency)
    good = host.play(playbook)
    assert good.code == 0, good.output
    assert _installed(host, "dependency") == "WORDS = 'good'\n"
    assert _installed(host) == "WORDS = 'first'\n"
    assert host.play(playbook).changed == {"node1": 0}

    # A new lock file is rolled out, also where the package is the same.
    newer = _wheel(house, "newer", name="dependency")
    _lock(tmp_path / "requirements.lock", newer)
    assert host.play(playbook).changed["node1"] > 0


def test_a_lock_file_without_digests_is_refused_before_any_host_is_touched(host: Fleet, tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("iroh>=1.2\n")

    run = host.play(tmp_path / "runtime.yml")

    assert run.code != 0
    assert "requirements.lock: " in run.output
    assert "has no exact version with digest" in run.output
    assert host.files() == {}


def test_a_host_without_a_good_python_is_told_what_it_needs(host: Fleet, tmp_path: Path) -> None:
    host.group["blixard_python"] = "/missing/python3"

    run = host.play(tmp_path / "runtime.yml")

    assert run.code != 0
    assert "Blixard needs Python 3.10 or newer" in run.output
    assert "/missing/python3" in run.output
    assert host.files() == {}


OLD = "import platform; platform.libc_ver = lambda: ('glibc', '2.17')"
MUSL = (
    "import platform, sysconfig; platform.libc_ver = lambda: ('', ''); "
    "sysconfig.get_config_vars()['SOABI'] = 'cpython-312-x86_64-linux-musl'"
)


@pytest.mark.parametrize(
    ("pretend", "has", "mend"),
    [
        (OLD, "the host has glibc 2.17, and iroh 1.2 has wheels", "give the host a newer system"),
        (
            MUSL,
            "the host has musl for its C library (Alpine), and",
            "run the node on a system with glibc, or in a container",
        ),
    ],
)
def test_a_host_whose_c_library_has_no_wheel_of_iroh_is_told_so(
    host: Fleet, tmp_path: Path, pretend: str, has: str, mend: str
) -> None:
    older = tmp_path / "python3"
    older.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}; $2"\n')
    older.chmod(0o755)
    host.group["blixard_python"] = str(older)

    run = host.play(tmp_path / "runtime.yml")

    assert run.code != 0
    assert has in run.words
    assert mend in run.words
    assert host.files() == {}


def test_a_package_that_is_not_there_is_refused_before_any_host_is_touched(host: Fleet, tmp_path: Path) -> None:
    host.group["blixard_package"] = "/missing/blixard-1-py3-none-any.whl"

    run = host.play(tmp_path / "runtime.yml")

    assert run.code != 0
    assert "/missing/blixard-1-py3-none-any.whl: cannot be read: No such file or directory" in run.output
    assert "Traceback" not in run.output
    assert host.files() == {}
