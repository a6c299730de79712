# SPDX-License-Identifier: MIT
"""What a report says: the verdict in one sentence, each trouble once, and what has changed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.browser.reports import REFUSED, TIMEOUT, TOO_SLOW, one_way, report

from blixard.pages.changes import changes
from blixard.pages.mesh import findings, mesh_of, verdict

Report = dict[str, Any]


def racks_apart(start: int, end: int) -> Report | None:
    return TIMEOUT if start % 3 == 0 and end % 3 == 1 else None


def one_untold(start: int, end: int) -> Report | None:
    return TOO_SLOW if (start, end) == (1, 2) else None


def said(made: Report) -> tuple[str, str]:
    """The level and the sentence of a report."""
    mesh = mesh_of(made)
    return verdict(mesh, findings(mesh))


def titles(made: Report) -> list[str]:
    """The titles of what is wrong."""
    return [finding.title for finding in findings(mesh_of(made))]


def changed(before: Report, now: Report) -> list[tuple[str, str, str]]:
    """Kind, title and text of each change."""
    return [(each.kind, each.title, each.text) for each in changes(mesh_of(before), mesh_of(now)).lines]


@pytest.mark.parametrize(
    ("made", "level", "sentence"),
    [
        (report(3), "good", "All 3 nodes reach each other."),
        (report(300, sample=5), "good", "All 1,500 edges that were checked are good."),
        ({**report(3), "edges": report(3)["edges"][:2]}, "good", "node1 reaches all 2 peers."),
        (report(1), "unsure", "Nothing was checked."),
        (report(3, one_way(2, 3)), "bad", "node2 does not reach node3."),
        (report(9, lambda a, b: REFUSED if (a, b) == (2, 3) else None), "bad", "node3 does not let node2 in."),
        (report(9, stopped=[4]), "bad", "node4 is down."),
        (report(9, one_way(1, 2), stopped=[4, 5]), "bad", "node4 and node5 are down and node1 does not reach node2."),
        (report(9, lambda a, _: TIMEOUT if a == 7 else None), "bad", "node7 reaches nobody."),
        (report(9, lambda a, b: TIMEOUT if a == 7 and b < 4 else None), "bad", "node7 does not reach 3 nodes."),
        (report(9, lambda a, b: TIMEOUT if b == 7 and a < 4 else None), "bad", "3 nodes do not reach node7."),
        (report(9, lambda a, b: TIMEOUT if b == a + 1 else None), "bad", "8 edges fail."),
        (
            report(30, lambda a, b: TIMEOUT if a % 3 == 0 and b % 3 == 1 else None),
            "bad",
            "rack-a does not reach rack-b.",
        ),
        (report(9, not_asked=[3]), "unsure", "node3 needs a look. All else is reached."),
        (
            report(9, lambda a, b: TOO_SLOW if (a, b) == (1, 2) else None),
            "unsure",
            "node1 needs a look. All else is reached.",
        ),
        (report(9, stopped=[1, 2, 3, 4]), "bad", "4 nodes are down: node1, node2, node3 and 1 more."),
    ],
)
def test_the_verdict_is_one_sentence_with_the_broken_nodes_first(made: Report, level: str, sentence: str) -> None:
    assert said(made) == (level, sentence)


def test_a_node_that_is_down_is_one_finding_and_puts_nobody_else_in_trouble() -> None:
    made = report(50, stopped=[23])
    (finding,) = findings(mesh_of(made))
    assert finding[:3] == (
        "node23",
        "its node is not running; reached by none of 49 nodes: timeout: no answer within 3 s",
        "bad",
    )
    assert (finding.start, finding.end) == (None, 22)
    assert [node.state for node in mesh_of(made).nodes].count("good") == 49


def test_a_stranger_that_no_peer_lets_in_has_found_its_peers_well() -> None:
    made = {**report(4, lambda _a, _b: REFUSED)}
    made["edges"] = [{**edge, "from": None, "from_name": None} for edge in made["edges"] if edge["from"] == 1]
    made["nodes"] = [{"node_id": None, "iroh_node_id": None, "agent": "stranger"}]
    assert said({**made, "cluster": None}) == ("good", "this machine reaches all 3 peers.")


def test_an_edge_that_no_group_explains_stays_beside_the_groups() -> None:
    made = report(30, lambda a, b: TIMEOUT if (a % 3 == 0 and b % 3 == 1) or (a, b) == (2, 5) else None)
    assert titles(made) == ["rack-a → rack-b", "node02 → node05"]


def test_what_fell_and_what_is_mended_is_told_node_by_node_and_then_edge_by_edge() -> None:
    before, now = report(6, one_way(1, 2), stopped=[5]), report(7, one_way(2, 3), stopped=[4])
    # Other nodes, other times: what takes longer is looked at below.
    assert [line for line in changed(before, now) if not line[2].startswith(("takes", "goes"))] == [
        ("worse", "node4", "went down"),
        ("worse", "node2 → node3", "is no longer reached"),
        ("better", "node5", "is up again"),
        ("better", "node1 → node2", "is good again"),
        ("other", "node7", "is new"),
    ]


def test_an_edge_that_goes_over_the_relay_now_or_takes_far_longer_is_told() -> None:
    before = report(3)
    now = report(3)
    now["edges"][0] = {**now["edges"][0], "path": "relay"}
    now["edges"][3] = {**now["edges"][3], "rtt_ms": before["edges"][3]["rtt_ms"] * 3 + 5}
    now["edges"][5] = {**now["edges"][5], "rtt_ms": before["edges"][5]["rtt_ms"] + 4.9}
    lines = changed(before, now)
    assert [(kind, title) for kind, title, _ in lines] == [("worse", "node1 → node2"), ("worse", "node2 → node3")]
    assert lines[0][2] == "goes over the relay, was directly"


def test_the_same_report_has_not_changed() -> None:
    assert changed(report(5, one_way(1, 2)), report(5, one_way(1, 2))) == []


def test_who_is_no_longer_there_is_told() -> None:
    assert changed(report(4), report(3)) == [("other", "node4", "is no longer in the report")]
