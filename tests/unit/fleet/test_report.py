# SPDX-License-Identifier: MIT
"""The fleet's report: parts merged, what is wrong named exactly, and a table that people can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.unit.documents.samples import key

from blixard.documents.schemas import validate
from blixard.fleet.host_view import HostView
from blixard.fleet.report import Part, changes, fleet_report, merge, table, troubles

NAMES = {1: "alpha", 2: "beta", 3: "gamma"}


def _edge(source: int, target: int, **changes: Any) -> dict[str, Any]:
    good = {
        "from": source,
        "to": target,
        "reached": True,
        "id_matched": True,
        "admitted": True,
        "path": "direct",
        "rtt_ms": 0.7131,
        "attempts": 1,
        "waited_s": 0.004,
        "error": None,
    }
    return {**good, **changes}


def _dead(source: int, target: int) -> dict[str, Any]:
    return _edge(
        source,
        target,
        reached=False,
        id_matched=False,
        admitted=False,
        path=None,
        rtt_ms=None,
        attempts=4,
        waited_s=9.71,
        error={"kind": "timeout", "message": "no answer in 3 s"},
    )


def _part(node_id: int, *edges: dict[str, Any], agent: str = "running") -> Part:
    node = {"node_id": node_id, "iroh_node_id": key(node_id).public().base64, "agent": agent, "version": "0.1.0"}
    return Part(NAMES[node_id], node_id, {"cluster": "test", "nodes": [node], "edges": list(edges), "summary": {}})


def _whole() -> list[Part]:
    return [_part(a, *[_edge(a, b) for b in NAMES if b != a]) for a in NAMES]


def test_a_whole_mesh_has_every_edge_by_name_and_no_troubles() -> None:
    report = merge(_whole()[::-1], NAMES, "test")

    validate("connectivity-report", report)
    assert report["summary"] == {
        "nodes": 3,
        "edges": 6,
        "reached": 6,
        "failed": 0,
        "untold": 0,
        "not_admitted": 0,
        "checked_by_least": 2,
        "checked_by_most": 2,
        "not_asked": 0,
    }
    assert [(edge["from"], edge["to"]) for edge in report["edges"]] == [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)]
    assert [node["name"] for node in report["nodes"]] == ["alpha", "beta", "gamma"]
    assert troubles(report) == []


def test_a_dead_node_is_named_with_exactly_the_edges_to_it_and_how_they_were_tried() -> None:
    parts = [
        _part(1, _dead(1, 2), _edge(1, 3)),
        _part(2, _edge(2, 1), _edge(2, 3), agent="not running"),
        _part(3, _edge(3, 1), _dead(3, 2)),
    ]

    assert troubles(merge(parts, NAMES, "test")) == [
        "beta (node 2): its node is not running",
        "alpha → beta: timeout: no answer in 3 s; 4 attempts in 9.7 s",
        "gamma → beta: timeout: no answer in 3 s; 4 attempts in 9.7 s",
    ]


def test_a_host_that_could_not_be_asked_is_in_the_report_with_the_reason() -> None:
    report = merge([*_whole()[:2], Part("gamma", 3, None, "Failed to connect to the host")], NAMES, "test")

    validate("connectivity-report", report)
    assert report["summary"]["not_asked"] == 1
    assert troubles(report) == ["gamma (node 3): could not be asked: Failed to connect to the host"]


def test_an_edge_that_is_reached_but_not_let_in_is_a_trouble_between_members() -> None:
    refused = _edge(1, 2, admitted=False, error={"kind": "refused", "message": "unknown id"})
    report = merge([_part(1, refused)], NAMES, "test")

    assert report["summary"]["not_admitted"] == 1
    assert troubles(report) == ["alpha → beta: refused: unknown id; 1 attempt in 0.0 s"]


def test_one_hosts_part_names_nodes_by_their_ids() -> None:
    part = _part(2, _dead(2, 1), agent="not running").report
    assert part

    assert troubles(part) == [
        "node 2: its node is not running",
        "node 2 → node 1: timeout: no answer in 3 s; 4 attempts in 9.7 s",
    ]


def test_a_peer_whose_host_is_not_in_the_inventory_is_named_by_its_node_id() -> None:
    report = merge([_part(1, _dead(1, 9))], NAMES, "test")

    assert troubles(report)[0].startswith("alpha → node 9: ")


def _busy(source: int, target: int) -> dict[str, Any]:
    return {**_dead(source, target), "error": {"kind": "too_slow", "message": "this machine was too busy to tell"}}


def test_edges_of_which_a_machine_was_too_busy_to_tell_are_one_line_that_says_what_to_do_and_blame_no_peer() -> None:
    report = merge([_part(1, _busy(1, 2), _busy(1, 3)), _part(2, _edge(2, 1), _dead(2, 3))], NAMES, "test")

    assert (report["summary"]["failed"], report["summary"]["untold"]) == (1, 2)
    assert troubles(report) == [
        "beta → gamma: timeout: no answer in 3 s; 4 attempts in 9.7 s",
        "alpha: 2 edges could not be told, the machine was too busy; check fewer at once, or from fewer hosts on one"
        " machine",
    ]
    assert "alpha beta too slow" in " ".join(table(report).split())
    assert table(report).splitlines()[-1] == "1 of 4 edges reached, 2 could not be told between 2 nodes of test"


def test_a_node_that_nobody_could_tell_of_is_not_one_that_nobody_reached() -> None:
    report = _fleet(10, {(a, 4): _busy(a, 4) for a in range(1, 11)})

    assert troubles(report) == [
        "host1, host2, host3, host5, host6 and 4 more: 9 edges could not be told, the machine was too busy;"
        " check fewer at once, or from fewer hosts on one machine",
    ]


def test_the_one_edge_that_could_not_be_told_is_named() -> None:
    report = merge([_part(1, _busy(1, 2), _edge(1, 3))], NAMES, "test")

    assert troubles(report)[0].startswith("alpha: 1 edge, to beta, could not be told, ")


def test_a_sampled_check_says_by_how_many_others_each_node_was_checked() -> None:
    parts = [_part(1, _edge(1, 2)), _part(2, _edge(2, 3)), _part(3, _edge(3, 1))]
    for part in parts:
        assert part.report
        part.report["nodes"][0]["sample"] = 1
    report = merge(parts, NAMES, "test")
    validate("connectivity-report", report)
    assert table(report).splitlines()[-1] == (
        "3 of 3 edges reached between 3 nodes of test; a sample: each of 3 nodes by 1 others"
    )
    without_gamma = merge([*parts[:2], Part("gamma", 3, None, "lost")], NAMES, "test")
    assert table(without_gamma).splitlines()[-1].endswith("; a sample: each of 3 nodes by 0 to 1 others")


def test_the_table_of_a_small_fleet_has_a_line_for_every_edge() -> None:
    report = merge([_part(1, _edge(1, 2), _dead(1, 3))], NAMES, "test")

    assert table(report).splitlines() == [
        "FROM   TO     REACHED  PATH    RTT      ATTEMPTS  WAITED",
        "alpha  beta   yes      direct  0.71 ms  1         0.00 s",
        "alpha  gamma  NO       -       -        4         9.71 s",
        "1 of 2 edges reached between 1 nodes of test",
    ]


def _fleet(size: int, special: Mapping[tuple[int, int], dict[str, Any]]) -> dict[str, Any]:
    """The report of so many hosts, with other edges than good ones in places."""
    names = {number: f"host{number}" for number in range(1, size + 1)}
    edges = {a: [special.get((a, b)) or _edge(a, b) for b in names if b != a] for a in names}
    nodes = {number: {"node_id": number, "agent": "running"} for number in names}
    parts = [Part(names[a], a, {"nodes": [nodes[a]], "edges": edges[a]}) for a in names]
    return merge(parts, names, "test")


def _dead_node(dead: int, size: int) -> dict[tuple[int, int], dict[str, Any]]:
    return {(a, dead): _dead(a, dead) for a in range(1, size + 1)}


def test_the_table_of_a_large_fleet_has_a_line_for_every_node_the_worst_first() -> None:
    report = _fleet(9, {(2, 5): _dead(2, 5), (3, 5): _dead(3, 5), (3, 6): _edge(3, 6, rtt_ms=2.5)})

    lines = table(report).splitlines()

    assert lines[0].split() == ["NODE", "REACHED", "BY", "REACHES", "DIRECT", "WORST", "RTT", "MOST", "ATTEMPTS"]
    assert lines[1].split() == ["host5", "6/8", "8/8", "8", "0.71", "ms", "1"]
    assert lines[2].split() == ["host2", "8/8", "7/8", "7", "0.71", "ms", "4"]
    assert lines[3].split() == ["host3", "8/8", "7/8", "7", "2.50", "ms", "4"]
    assert [line.split()[0] for line in lines[4:10]] == ["host1", "host4", "host6", "host7", "host8", "host9"]
    assert lines[10:] == ["70 of 72 edges reached between 9 nodes of test"]


def test_what_a_run_prints_of_a_hundred_nodes_is_read_by_a_person_healthy_or_broken() -> None:
    healthy = _fleet(100, {})
    broken = _fleet(100, {(a, b): _dead(a, b) for a in range(1, 101) for b in range(1, 101) if (a + b) % 6})
    for report in (healthy, broken):
        lines = [*table(report, "/r.json").splitlines(), *troubles(report, file="/r.json")]
        assert len(lines) <= 70
    assert table(healthy, "/r.json").splitlines()[-2:] == [
        "… and 60 more nodes, see /r.json",
        "9900 of 9900 edges reached between 100 nodes of test",
    ]
    said = troubles(broken, file="/r.json")
    assert said[-2] == "… and 8246 more, see /r.json"
    assert said[-1] == "8266 edges in all: 8266 timeout"


def test_in_a_large_fleet_a_node_that_nobody_reaches_is_one_line_and_other_bad_edges_are_named() -> None:
    report = _fleet(10, {**_dead_node(4, 10), (2, 5): _edge(2, 5, admitted=False), (3, 6): _dead(3, 6)})

    assert troubles(report) == [
        "host4: reached by none of 9 nodes: timeout: no answer in 3 s",
        "host3 → host6: timeout: no answer in 3 s; 4 attempts in 9.7 s",
        "host2 → host5: refused: the peer does not let this node in; 1 attempt in 0.0 s",
    ]


def test_in_a_large_fleet_a_node_that_does_not_run_is_one_trouble_and_not_its_edges_too() -> None:
    report = _fleet(10, {**_dead_node(4, 10), (3, 6): _dead(3, 6)})
    report["nodes"][3]["agent"] = "not running"

    assert troubles(report) == [
        "host4 (node 4): its node is not running",
        "host3 → host6: timeout: no answer in 3 s; 4 attempts in 9.7 s",
    ]


def test_of_many_nodes_that_could_not_be_asked_the_first_are_named() -> None:
    parts = [Part(f"host{number}", number, None, "no route") for number in range(1, 31)]
    lines = troubles(merge(parts, {}, "test"), file="/r.json")
    assert lines[0] == "host1 (node 1): could not be asked: no route"
    assert lines[20:] == ["… and 10 more nodes in trouble, see /r.json"]


def test_a_fleet_of_one_has_a_table_too() -> None:
    assert table(merge([_part(1)], NAMES, "test")) == "0 of 0 edges reached between 1 nodes of test"


def test_edges_to_nodes_of_a_later_batch_are_left_out() -> None:
    report = merge([_part(1, _edge(1, 2), _dead(1, 3))], NAMES, "test", waiting={3})

    assert [edge["to"] for edge in report["edges"]] == [2]
    assert report["summary"]["failed"] == 0
    assert troubles(report) == []


def test_parts_are_not_changed_by_merging() -> None:
    parts = _whole()
    before = json.dumps([part.report for part in parts])

    merge(parts, NAMES, "test")

    assert json.dumps([part.report for part in parts]) == before


def test_in_a_large_fleet_edges_without_a_round_trip_do_no_harm() -> None:
    report = _fleet(9, {(3, other): _edge(3, other, rtt_ms=None) for other in range(1, 10)})
    assert table(report).splitlines()[3].split() == ["host3", "8/8", "8/8", "8", "-", "1"]


def test_an_edge_that_is_reached_and_not_let_in_is_called_refused_in_a_small_table() -> None:
    report = merge([_part(1, _edge(1, 2, admitted=False, rtt_ms=None))], NAMES, "test")

    assert table(report).splitlines()[1].split() == ["alpha", "beta", "refused", "direct", "-", "1", "0.00", "s"]


def test_nothing_is_expected_of_excused_hosts_and_of_edges_that_touch_them() -> None:
    parts = [_part(1, _dead(1, 2), _dead(1, 3)), _part(2, _dead(2, 1), agent="not running")]
    report = merge(parts, NAMES, "test")

    assert troubles(report, ["beta"]) == ["alpha → gamma: timeout: no answer in 3 s; 4 attempts in 9.7 s"]


def test_a_host_that_the_playbook_leaves_out_is_not_one_that_left() -> None:
    out = HostView("router", number=9, variables={"__blixard_connectivity": {"skipped": True}})
    lost = HostView("lost", number=8)
    report = fleet_report([out, lost], [out, lost], cluster="test")
    assert [node["name"] for node in report["nodes"]] == ["lost"]


def test_a_host_without_a_report_says_whether_it_left_before_or_within_the_check() -> None:
    before, within = HostView("one", number=1), HostView("two", number=2, variables={"__blixard_connectivity": {}})
    report = fleet_report([before, within], [before, within], cluster="test")
    assert [node["error"] for node in report["nodes"]] == [
        "it left the run before the check",
        "the check broke off, run with -vvv to see where",
    ]
    assert report["summary"]["not_asked"] == 2


def test_peers_have_the_names_that_the_inventory_gives_them() -> None:
    said = {"report": {"cluster": "test", "nodes": [], "edges": [_edge(1, 2), _edge(1, 3)], "summary": {}}}
    alpha = HostView("alpha", number=1, variables={"__blixard_connectivity": said})
    inventory = [alpha, HostView("beta", number=2), HostView("no number")]
    report = fleet_report([alpha], inventory, cluster="test")
    assert [edge["to_name"] for edge in report["edges"]] == ["beta", None]


def test_what_a_run_changed_is_two_lines_at_most_above_the_one_that_counts_the_edges() -> None:
    names = [f"node{number}" for number in range(1, 9)]
    changed = changes(["+ x (node 9) abc"], "+1 −0 ~0 peers", names)
    assert changed == [
        "changed: peers +1 −0 ~0, 8 nodes started anew",
        "started anew: node1, node2, node3, node4, node5 and 3 more",
    ]
    last = "2 of 2 edges reached between 2 nodes of test"
    report = merge([_part(1, _edge(1, 2)), _part(2, _edge(2, 1))], NAMES, "test")
    assert table(report, "", changed).splitlines()[-3:] == [*changed, last]


def test_a_run_that_changed_nothing_says_so() -> None:
    assert changes([], "+0 −0 ~0 peers", []) == ["nothing changed: the same peers, no node started anew"]
    assert changes([], "+0 −0 ~0 peers", ["web"]) == ["changed: 1 node started anew", "started anew: web"]
