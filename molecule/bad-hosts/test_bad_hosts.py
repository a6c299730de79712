# SPDX-License-Identifier: MIT
"""What is wrong with a host is said of that host, with what to do about it, and stops no other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Run

# What the one who reads it must find in it.
SAID = {
    "old-python": ["3.9", "Python 3.10 or newer", "blixard_python"],
    "no-pip": ["ensurepip", "python3-venv"],
    "full-disk": ["No space left on device", "/var/lib/blixard"],
    "read-only": ["Read-only file system", "/var"],
    "port-taken": ["0.0.0.0:7001", "Address already in use", "free the port"],
}


@pytest.fixture(scope="module")
def rollout(fleet: Fleet) -> Run:
    return fleet.playbook("site.yml")


def test_the_run_fails_and_names_exactly_the_bad_hosts(rollout: Run) -> None:
    assert rollout.returncode != 0
    assert rollout.hosts("failed") - {"good1"} == set(SAID)
    assert not rollout.hosts("unreachable")


@pytest.mark.parametrize("name", SAID)
def test_each_failure_says_what_to_do(rollout: Run, name: str) -> None:
    said = re.search(rf"^fatal: \[{name}\]:.*?(?=^\S)", rollout.output, re.MULTILINE | re.DOTALL)
    assert said
    message = " ".join(said[0].split())
    assert [word for word in SAID[name] if word not in message] == []
    assert "Traceback" not in message


def test_the_good_ones_are_members_and_meshed(fleet: Fleet) -> None:
    assert set(fleet.record()) == {"good1", "good2"}
    fleet.settles_connected("good1", "good2")
