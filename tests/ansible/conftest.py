# SPDX-License-Identifier: MIT
"""Fleets for the tests of the Ansible content, none of whose nodes outlives its test, and the release of this tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.ansible.collection import copy_tree, make_release
from tests.ansible.fleet import Fleet

NewFleet = Callable[[int], Fleet]


@pytest.fixture
def new_fleet(tmp_path: Path) -> Iterator[NewFleet]:
    """Give the function that makes a fleet on which nothing is rolled out yet."""
    made: list[Fleet] = []

    def make(size: int) -> Fleet:
        root = tmp_path / f"fleet{len(made)}"
        root.mkdir()
        made.append(Fleet.of(root, size))
        return made[-1]

    yield make
    for fleet in made:
        fleet.stop()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository with the working tree as its one commit, ready for release."""
    return copy_tree(tmp_path_factory.mktemp("source") / "blixard-fleet")


@pytest.fixture(scope="session")
def release(tree: Path) -> Path:
    """Give the folder with what a release of this tree consists of, beside which there are files that git ignores."""
    stray = tree / "roles" / "stray.egg-info"
    stray.mkdir()
    (stray / "PKG-INFO").touch()
    made = make_release(tree)
    assert made.returncode == 0, made.stdout + made.stderr
    return tree / "dist"


@pytest.fixture(scope="session")
def wheel(release: Path) -> Path:
    """Give the wheel of the release."""
    (found,) = release.glob("*.whl")
    return found
