# SPDX-License-Identifier: MIT
"""The fleet's connectivity report: every host's part in one document, what is wrong in it, and a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blixard.documents.connectivity_report import is_bad, summary
from blixard.errors import bounded_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from blixard.fleet.host_view import HostView

# More lines than this nobody reads: a larger fleet is shown a line a node.
MAX_EDGE_LINES = 60


@dataclass(frozen=True)
class Part:
    """What one host said. `report` is null when it could not be asked; `problem` then says why."""

    name: str
    node_id: int
    report: Mapping[str, Any] | None
    problem: str = ""


def fleet_report(
    hosts: Iterable[HostView], inventory: Iterable[HostView], *, cluster: str, others: Iterable[HostView] = ()
) -> dict[str, Any]:
    """Return the report of what `hosts` said in this run, valid against `connectivity-report`.

    A host whose node is not ours has nobody to ask; it is in the report as what the others reach. So is one that the
    playbook leaves out.

    Args:
        hosts: the hosts that were to be asked.
        inventory: every host of the inventory, for the names of peers.
        cluster: name of the cluster.
        others: hosts of other batches; edges to their nodes that are still to be started are left out.

    Raises:
        InputError: a host that was asked has no number.
    """
    return merge(
        [_part(host) for host in hosts if host.has_our_node and not host.was_left_out],
        {host.number: host.name for host in inventory if host.number is not None},
        cluster,
        {host.node_id for host in others if host.waits},
    )


def _part(host: HostView) -> Part:
    left = "the check broke off, run with -vvv to see where" if host.was_checked else "it left the run before the check"
    answer = host.connectivity
    return Part(host.name, host.node_id, answer.get("report"), bounded_lines(answer.get("msg") or left))


def merge(
    parts: Sequence[Part], names: Mapping[int, str], cluster: str, waiting: Collection[int] = ()
) -> dict[str, Any]:
    """Return the report of the fleet, valid against `connectivity-report`.

    Args:
        parts: one for every host that was to be asked.
        names: host names by node id, those of peers outside this run included.
        cluster: name of the cluster.
        waiting: node ids of nodes that are still to be started, in a later batch; edges to them are left out.
    """
    nodes = [_node(part) for part in parts]
    edges = [
        {**edge, "from_name": part.name, "to_name": names.get(edge["to"])}
        for part in parts
        if part.report
        for edge in part.report["edges"]
        if edge["to"] not in waiting
    ]
    return {
        "cluster": cluster,
        "nodes": sorted(nodes, key=lambda node: int(node["node_id"])),
        "edges": sorted(edges, key=lambda edge: (edge["from"], edge["to"])),
        "summary": {**summary(nodes, edges), "not_asked": sum(part.report is None for part in parts)},
    }


def _node(part: Part) -> dict[str, Any]:
    own: Mapping[str, Any] = next(iter(part.report["nodes"]), {}) if part.report else {}
    node = {"node_id": part.node_id, "iroh_node_id": None, "agent": "not asked", **own, "name": part.name}
    return node if part.report else {**node, "error": part.problem}


def troubles(report: Mapping[str, Any], excused: Collection[str] = ()) -> list[str]:
    """Return a line for everything that is wrong: nodes first, then exactly the edges that failed.

    Args:
        report: a report.
        excused: names of hosts of whose nodes nothing is expected now.
    """
    report = _without(report, excused)
    nodes = [
        ": ".join(filter(None, (_title(node), _NODE_TROUBLES[node["agent"]], node.get("error"))))
        for node in report["nodes"]
        if node["agent"] in _NODE_TROUBLES
    ]
    nodes += [f"{_title(node)} {line}" for node in report["nodes"] for line in node.get("problems", ())]
    return nodes + [_edge_line(edge) for edge in report["edges"] if is_bad(edge)]


def _without(report: Mapping[str, Any], hosts: Collection[str]) -> Mapping[str, Any]:
    nodes = [node for node in report["nodes"] if node.get("name") not in hosts]
    ends = ("from_name", "to_name")
    edges = [edge for edge in report["edges"] if not any(edge.get(end) in hosts for end in ends if edge.get(end))]
    return {**report, "nodes": nodes, "edges": edges}


_NODE_TROUBLES = {"not asked": "could not be asked", "not running": "its node is not running"}


def _title(node: Mapping[str, Any]) -> str:
    return f"{node['name']} (node {node['node_id']})" if node.get("name") else f"node {node['node_id']}"


def _end(edge: Mapping[str, Any], end: str) -> str:
    name = edge.get(f"{end}_name")
    return str(name) if name else f"node {edge[end]}"


def _edge_line(edge: Mapping[str, Any]) -> str:
    error = edge["error"] or {"kind": "refused", "message": "the peer does not let this node in"}
    tried = f"{edge['attempts']} attempt{'' if edge['attempts'] == 1 else 's'} in {edge['waited_s']:.1f} s"
    return f"{_end(edge, 'from')} → {_end(edge, 'to')}: {error['kind']}: {error['message']}; {tried}"


def table(report: Mapping[str, Any]) -> str:
    """Return the report for a terminal: a line an edge; in a large fleet a line a node, and each bad edge."""
    edges = report["edges"]
    counts = report["summary"]
    reached = f"{counts['reached']} of {counts['edges']} edges reached"
    last = f"{reached} between {counts['nodes']} nodes of {report['cluster']}"
    if not edges:
        return last
    if len(edges) <= MAX_EDGE_LINES:
        head = ("FROM", "TO", "REACHED", "PATH", "RTT", "ATTEMPTS", "WAITED")
        return "\n".join([*_columns([head, *(_edge_row(edge) for edge in edges)]), last])
    by_node = [("FROM", "REACHED", "DIRECT", "WORST RTT", "MOST ATTEMPTS"), *_node_rows(edges)]
    bad = [_edge_line(edge) for edge in edges if is_bad(edge)]
    return "\n".join([*_columns(by_node), *bad, last])


def _edge_row(edge: Mapping[str, Any]) -> tuple[str, ...]:
    reached = "yes" if not is_bad(edge) else "refused" if edge["reached"] else "NO"
    return (
        _end(edge, "from"),
        _end(edge, "to"),
        reached,
        edge["path"] or "-",
        _milliseconds(edge["rtt_ms"]),
        str(edge["attempts"]),
        f"{edge['waited_s']:.2f} s",
    )


def _node_rows(edges: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    by_node: dict[str, list[Mapping[str, Any]]] = {}
    for edge in edges:
        by_node.setdefault(_end(edge, "from"), []).append(edge)
    for name, own in by_node.items():
        good = [edge for edge in own if not is_bad(edge)]
        yield (
            name,
            f"{len(good)}/{len(own)}",
            str(sum(edge["path"] == "direct" for edge in good)),
            _milliseconds(max((edge["rtt_ms"] for edge in good if edge["rtt_ms"] is not None), default=None)),
            str(max(edge["attempts"] for edge in own)),
        )


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
