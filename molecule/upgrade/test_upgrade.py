# SPDX-License-Identifier: MIT
"""A new release comes to a running fleet without anybody losing more than one node at a time, and changes no member."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blixard import __version__

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node


def test_the_node_ran_the_previous_release_and_runs_this_one(node: Node) -> None:
    log = node.run('journalctl --no-pager --output=cat --unit blixard | grep "msg=\\"node ready\\""')
    assert re.findall(r"version=(\S+)", log) == ["0.0.9", __version__]
    assert node.status()["version"] == __version__
    assert node.run("/opt/blixard/venv/bin/blixard --version") == f"blixard {__version__}"


def test_every_node_is_who_it_was_where_it_was(fleet: Fleet) -> None:
    before = {path.stem: path.read_bytes() for path in (fleet.work / "registry-before").glob("*.json")}
    assert fleet.record_files() == before
    for node in fleet.up:
        assert node.status()["iroh_node_id"] == fleet.record()[node.name]["iroh_node_id"]


def test_never_were_two_nodes_down_at_the_same_time(fleet: Fleet) -> None:
    assert {node.name: len(node.downtimes()) for node in fleet.up} == dict.fromkeys(fleet.nodes, 1)
    assert not fleet.downtimes_overlap()
