# SPDX-License-Identifier: MIT
"""What `make release` leaves: files that install, with their digests, and nothing of the folder besides the commit."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import yaml
from tests.ansible.collection import Controller, git
from tests.ansible.fleet import PROJECT

SCHEMAS = {
    "connectivity-report", "discovery-findings", "discovery-peers", "live-nodes", "node-config", "node-registry",
    "node-status", "publication-report", "record-entry", "record-manifest",
}  # fmt: skip


def version() -> str:
    return str(yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"])


def test_a_release_is_the_wheel_the_sdist_the_collection_and_their_digests(release: Path) -> None:
    assert sorted(file.name for file in release.iterdir()) == [
        "SHA256SUMS",
        f"blixard-{version()}-py3-none-any.whl",
        f"blixard-{version()}.tar.gz",
        f"blixard-fleet-{version()}.tar.gz",
    ]
    check = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, capture_output=True)
    assert check.returncode == 0
    assert check.stdout.count(b": OK\n") == 3


def test_the_wheel_holds_the_package_with_its_schemas_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"blixard", f"blixard-{version()}.dist-info"}
    assert {f"blixard/schemas/{each}.schema.json" for each in SCHEMAS} <= set(names)
    assert "blixard/py.typed" in names


def test_the_sdist_holds_the_source_of_the_package_and_nothing_of_the_fleet(release: Path) -> None:
    with tarfile.open(release / f"blixard-{version()}.tar.gz") as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    assert {name.split("/")[0] for name in names} == {
        ".gitignore", "CHANGELOG.md", "LICENSES", "PKG-INFO", "README.md", "pyproject.toml", "src",
    }  # fmt: skip


def test_the_sdist_gives_the_same_package_as_the_tree(release: Path, tree: Path) -> None:
    with tarfile.open(release / f"blixard-{version()}.tar.gz") as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/src/" in name}
    assert packed == {it for it in git("ls-files", at=tree).splitlines() if it.startswith("src/")}


def test_the_wheel_installs_where_no_such_package_is_and_says_its_version(wheel: Path, tmp_path: Path) -> None:
    controller = Controller.make(tmp_path / "controller")
    controller.install(wheel)
    command: list[str | Path] = [controller.python.with_name("blixard"), "--version"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert said == f"blixard {version()}\n"
