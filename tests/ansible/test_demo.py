# SPDX-License-Identifier: MIT
"""The demo: from any folder, beside another checkout's demo, and in a folder in which everybody may write."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.collection import copy_tree
from tests.ansible.fleet import PROJECT

from blixard.documents.record import read_record

FIRST = 17001


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """Another checkout, with this one's environment, whose folder is open to everybody."""
    tree = copy_tree(tmp_path / "checkout")
    # Its environment is up to date, whatever the copy's files are dated.
    os.utime(tree / "pyproject.toml", (0, 0))
    (tree / ".venv").symlink_to(PROJECT / ".venv")
    tree.chmod(0o777)
    yield tree
    _make("demo-stop", tree)


def _make(target: str, tree: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    command: list[str | Path] = ["make", "-C", tree, target]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_the_demo_runs_from_any_folder_on_ports_that_nobody_has(checkout: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        with contextlib.suppress(OSError):  # the demo of a real checkout may have it
            other.bind(("127.0.0.1", FIRST))
        first, again = _make("demo", checkout), _make("demo", checkout)

    assert first.returncode == 0, first.stdout + first.stderr
    assert "6 of 6 edges reached" in first.stdout
    port = int((checkout / ".demo" / "first-port").read_text())
    assert port > FIRST
    record = read_record(checkout / ".demo" / "registry")
    assert {entry.address for entry in record.values()} == {f"127.0.0.1:{each}" for each in range(port, port + 3)}
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("changed=0 ") == 3
