# SPDX-License-Identifier: MIT
"""Fleets for the tests of the Ansible content; whatever a test does, none of their nodes outlives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
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
