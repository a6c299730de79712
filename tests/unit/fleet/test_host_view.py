# SPDX-License-Identifier: MIT
"""What a run knows of a host by now."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.fleet.host_views import down, up

from blixard.fleet.host_view import HostView

CHECKED: dict[str, Any] = {"__blixard_connectivity": {"report": {"nodes": [{"agent": "not running"}], "edges": []}}}


@pytest.mark.parametrize(
    ("host", "waits"),
    [
        (down("n1", 1), True),
        (down("n1", 1, **CHECKED), False),
        (up("n1", 1), False),
        (up("n1", 1, **CHECKED), False),
        (HostView("n1", 1), False),
    ],
)
def test_a_host_waits_for_its_batch_while_no_node_runs_there_and_none_was_checked(host: HostView, waits: bool) -> None:
    assert host.waits is waits


def test_a_node_of_ours_is_expected_where_it_is_managed_and_has_not_left() -> None:
    assert HostView("n1").has_our_node
    assert HostView("n1", state="draining").has_our_node
    assert not HostView("n1", state="absent").has_our_node
    assert not HostView("n1", managed=False).has_our_node


def test_edges_that_were_tried_count_before_connections_that_were_seen() -> None:
    edges = [{"to": 2, "reached": True}, {"to": 3, "reached": False}]
    host = up("n1", 1, (3, 4), __blixard_connectivity={"report": {"nodes": [], "edges": edges}})

    assert host.sees(lost=[3]) == {2, 4}
    assert host.sees(lost=[3, 4]) == {2}


def test_an_edge_of_which_the_host_could_not_tell_anything_counts_as_not_checked() -> None:
    edges = [{"to": 2, "reached": False, "error": {"kind": "too_slow", "message": "busy"}}]
    host = up("n1", 1, (2,), __blixard_connectivity={"report": {"nodes": [], "edges": edges}})

    assert host.sees(lost=[]) == {2}
