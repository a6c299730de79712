# SPDX-License-Identifier: MIT
"""Which node a command means when it is not told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.run import blixard, refused
from tests.unit.conftest import Hold

from blixard.cli.which_node import which_node
from blixard.errors import InputError

RunNode = Callable[[Path], Path]


@pytest.fixture
def run_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: Hold) -> RunNode:
    """Stand in an empty folder, and give the function that holds a new data directory as a running node does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BLIXARD_DATA_DIR", raising=False)

    def run(data_dir: Path) -> Path:
        data_dir.mkdir(parents=True, mode=0o700)
        hold(data_dir)
        return data_dir

    return run


def test_what_is_named_counts_before_the_environment_and_that_before_what_runs(run_node: RunNode) -> None:
    one, two, three = (run_node(Path("data") / f"node{number}") for number in (1, 2, 3))
    environ = {"BLIXARD_DATA_DIR": str(two)}
    assert which_node(one, environ=environ) == one
    assert which_node(None, environ=environ) == two
    two.rename("elsewhere")
    with pytest.raises(InputError, match="data/node2: is no directory; name the data directory"):
        which_node(None, environ=environ)
    assert three.is_dir()


def test_the_only_node_that_runs_is_meant_wherever_it_is(run_node: RunNode, tmp_path: Path) -> None:
    service = tmp_path / "service"
    Path("data/node7").mkdir(parents=True)
    with pytest.raises(InputError, match="no node runs here; name the data directory of a node with --data-dir"):
        which_node(None, environ={}, service=service)
    run_node(service)
    assert which_node(None, environ={}, service=service) == service


def test_of_several_nodes_one_has_to_be_named(run_node: RunNode) -> None:
    run_node(Path("data/node1"))
    assert which_node(None, environ={}, service=Path("nowhere")) == Path("data/node1")
    run_node(Path("data/node2"))
    with pytest.raises(InputError, match="several nodes run here: data/node1, data/node2; name"):
        which_node(None, environ={}, service=Path("nowhere"))


@pytest.mark.parametrize("command", ["status", "stop"])
def test_a_command_for_a_directory_that_is_not_there_says_what_to_do(command: str) -> None:
    mend = "name the data directory of a node with --data-dir or BLIXARD_DATA_DIR"
    line = refused(blixard(command, "--data-dir", "/nowhere/\udcff"), 2)
    assert line == f"blixard: /nowhere/\\udcff: is no directory; {mend}"
