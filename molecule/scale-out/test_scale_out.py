# SPDX-License-Identifier: MIT
"""A fleet grows without its members noticing more than new peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet

OLD = ("node1", "node2", "node3")
NEW = ("node4", "node5")


def test_nobody_was_restarted_for_it(fleet: Fleet) -> None:
    started = {node.name: int(node.unit("ExecMainStartTimestampMonotonic")[0]) for node in fleet.up}
    assert max(started[name] for name in OLD) < min(started[name] for name in NEW)


def test_the_old_entries_were_not_touched(fleet: Fleet) -> None:
    written = {path.stem: path.stat().st_mtime for path in fleet.registry.glob("*.json")}
    assert max(written[name] for name in OLD) < min(written[name] for name in NEW)


def test_the_report_has_all_twenty_edges(fleet: Fleet) -> None:
    summary = fleet.report()["summary"]
    assert (summary["edges"], summary["reached"]) == (20, 20)
