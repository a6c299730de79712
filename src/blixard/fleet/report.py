# SPDX-License-Identifier: MIT
"""The fleet's connectivity report: every host's part in one document, and the document for people.

People get a table, and what is wrong, in as many lines as somebody reads. A small fleet is shown edge by edge. A large
one is shown node by node, the worst first, and each trouble once: one dead node of a hundred is a line, and not the
hundred edges that lead to it. The report's file has them all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blixard.documents.connectivity_report import coverage, is_bad, is_untold, summary
from blixard.errors import bounded_lines
from blixard.model.words import named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from blixard.fleet.host_view import HostView

    Report = Mapping[str, Any]
    Edge = Mapping[str, Any]

MAX_EDGE_LINES = 50
"""A report with more edges than this is shown by nodes."""

MAX_NODE_LINES = 40
"""Lines of that table; the worst nodes come first."""

MAX_BAD_EDGES = 20
"""Lines of single edges, or of nodes in trouble, in what is wrong."""

MAX_SLOW_NAMES = 5
"""Names of nodes on machines that were too slow, of which each is as good an example as the others."""

TOO_SLOW_MEND = "check fewer at once, or from fewer hosts on one machine"

_EDGE_HEAD = ("FROM", "TO", "REACHED", "PATH", "RTT", "ATTEMPTS", "WAITED")
_NODE_HEAD = ("NODE", "REACHED BY", "REACHES", "DIRECT", "WORST RTT", "MOST ATTEMPTS")

_NODE_TROUBLES = {"not asked": "could not be asked", "not running": "its node is not running"}


@dataclass(frozen=True)
class Part:
    """What one host said. `report` is null when it could not be asked; `problem` then says why."""

    name: str
    node_id: int
    report: Mapping[str, Any] | None
    problem: str = ""
    groups: Sequence[str] = ()


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
    return Part(host.name, host.node_id, answer.get("report"), bounded_lines(answer.get("msg") or left), host.groups)


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
    nodes = [_node_of(part) for part in parts]
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
        "summary": {
            **summary(nodes, edges),
            **coverage(nodes, edges),
            "not_asked": sum(part.report is None for part in parts),
        },
    }


def _node_of(part: Part) -> dict[str, Any]:
    own: Mapping[str, Any] = next(iter(part.report["nodes"]), {}) if part.report else {}
    node = {"node_id": part.node_id, "iroh_node_id": None, "agent": "not asked", **own, "name": part.name}
    if part.groups:
        node["groups"] = list(part.groups)
    return node if part.report else {**node, "error": part.problem}


def troubles(report: Report, excused: Collection[str] = (), file: str = "") -> list[str]:
    """Return what is wrong: nodes first, then exactly the edges that failed; of very many the first, and counts.

    Args:
        report: a report.
        excused: names of hosts of whose nodes nothing is expected now.
        file: where the whole report is, for those that find no room.
    """
    report = _without(report, excused)
    nodes = [
        ": ".join(filter(None, (_title(node), _NODE_TROUBLES[node["agent"]], node.get("error"))))
        for node in report["nodes"]
        if node["agent"] in _NODE_TROUBLES
    ]
    nodes += [f"{_title(node)} {line}" for node in report["nodes"] for line in node.get("problems", ())]
    down = {node["node_id"] for node in report["nodes"] if node["agent"] == "not running"}
    return [*_first(nodes, "more nodes in trouble", file), *_bad_edges(report["edges"], down, file)]


def _bad_edges(edges: Sequence[Edge], down: Collection[int], file: str) -> list[str]:
    """Return what is wrong with the edges; in a large fleet without those to nodes that are known to be `down`."""
    untold = _untold([edge for edge in edges if is_untold(edge)])
    told = [edge for edge in edges if not is_untold(edge)]
    bad = [edge for edge in told if is_bad(edge)]
    if len(edges) <= MAX_EDGE_LINES:
        return [*map(_edge_line, bad), *untold]
    bad = [edge for edge in bad if edge["to"] not in down]
    alone, single = _reached_by_none([edge for edge in told if edge["to"] not in down])
    lines = [f"{name}: reached by none of {count} nodes: {why}" for name, count, why in alone]
    worst = sorted((edge for edge in single), key=lambda edge: -edge["waited_s"])
    lines += [_edge_line(edge) for edge in worst]
    shown = _first(lines, "more", file)
    return [*shown, *([_kinds(bad)] if len(lines) > MAX_BAD_EDGES else []), *untold]


def _untold(edges: Sequence[Edge]) -> list[str]:
    """Return a line for the edges of which a machine was too slow to tell anything."""
    if not edges:
        return []
    slow = list(dict.fromkeys(_end(edge, "from") for edge in edges))
    names = ", ".join(slow[:MAX_SLOW_NAMES]) + (
        f" and {len(slow) - MAX_SLOW_NAMES} more" if slow[MAX_SLOW_NAMES:] else ""
    )
    many = f"{len(edges)} edges" if len(edges) > 1 else f"1 edge, to {_end(edges[0], 'to')},"
    return [f"{names}: {many} could not be told, the machine was too busy; {TOO_SLOW_MEND}"]


def _reached_by_none(edges: Sequence[Edge]) -> tuple[list[tuple[str, int, str]], list[Edge]]:
    """Return nodes that none of several reached, with how many and the commonest reason; and all other bad edges."""
    by_end: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        by_end[_end(edge, "to")].append(edge)
    alone = {name: own for name, own in by_end.items() if len(own) > 1 and all(map(is_bad, own))}
    said = [(name, len(own), _commonest(own)) for name, own in alone.items()]
    return said, [edge for edge in edges if is_bad(edge) and _end(edge, "to") not in alone]


def _commonest(edges: Sequence[Edge]) -> str:
    ((reason, _),) = Counter(f"{kind}: {message}" for kind, message in map(_reason, edges)).most_common(1)
    return reason


def _kinds(bad: Sequence[Edge]) -> str:
    counts = Counter(kind for kind, _ in map(_reason, bad))
    return f"{len(bad)} edges in all: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def _first(lines: list[str], more: str, file: str) -> list[str]:
    left = len(lines) - MAX_BAD_EDGES
    return [*lines[:MAX_BAD_EDGES], *([f"… and {left} {more}{_see(file)}"] if left > 0 else [])]


def _see(file: str) -> str:
    return f", see {file}" if file else ""


def _without(report: Report, hosts: Collection[str]) -> Report:
    nodes = [node for node in report["nodes"] if node.get("name") not in hosts]
    ends = ("from_name", "to_name")
    edges = [edge for edge in report["edges"] if not any(edge.get(end) in hosts for end in ends if edge.get(end))]
    return {**report, "nodes": nodes, "edges": edges}


def _title(node: Mapping[str, Any]) -> str:
    return f"{node['name']} (node {node['node_id']})" if node.get("name") else f"node {node['node_id']}"


def _end(edge: Edge, end: str) -> str:
    name = edge.get(f"{end}_name")
    return str(name) if name else f"node {edge[end]}"


def _reason(edge: Edge) -> tuple[str, str]:
    error = edge["error"] or {"kind": "refused", "message": "the peer does not let this node in"}
    return error["kind"], error["message"]


def _edge_line(edge: Edge) -> str:
    kind, message = _reason(edge)
    tried = f"{edge['attempts']} attempt{'' if edge['attempts'] == 1 else 's'} in {edge['waited_s']:.1f} s"
    return f"{_end(edge, 'from')} → {_end(edge, 'to')}: {kind}: {message}; {tried}"


def changes(peers: Sequence[str], peers_changed: str, restarted: Sequence[str]) -> list[str]:
    """Return what a run changed, in two lines at most.

    Args:
        peers: a line for each peer that came, went or changed.
        peers_changed: the same in short.
        restarted: names of the hosts whose node was started anew.
    """
    what = [f"peers {peers_changed.removesuffix(' peers')}"] if peers else []
    what += [f"{len(restarted)} node{'' if len(restarted) == 1 else 's'} started anew"] if restarted else []
    lines = [f"changed: {', '.join(what)}" if what else "nothing changed: the same peers, no node started anew"]
    return lines + ([f"started anew: {named(restarted)}"] if restarted else [])


def table(report: Report, file: str = "", changed: Sequence[str] = ()) -> str:
    """Return the report for a terminal: a line an edge; in a large fleet a line a node, the worst first.

    Args:
        report: a report.
        file: where the whole report is, for the nodes that find no room.
        changed: what the run changed before, for the lines above the last.
    """
    return "\n".join(_table(report, file, changed))


def _table(report: Report, file: str, changed: Sequence[str]) -> list[str]:
    edges = report["edges"]
    counts = report["summary"]
    reached = f"{counts['reached']} of {counts['edges']} edges reached"
    untold = f", {counts['untold']} could not be told" if counts.get("untold") else ""
    last = f"{reached}{untold} between {counts['nodes']} nodes of {report['cluster']}{_sampled(report)}"
    if not edges:
        return [*changed, last]
    if len(edges) <= MAX_EDGE_LINES:
        return [*_columns([_EDGE_HEAD, *map(_edge_row, edges)]), *changed, last]
    rows = sorted(_node_rows(edges))
    left = len(rows) - MAX_NODE_LINES
    more = [f"… and {left} more nodes{_see(file)}"] if left > 0 else []
    return [*_columns([_NODE_HEAD, *(row for _, row in rows[:MAX_NODE_LINES])]), *more, *changed, last]


def _sampled(report: Report) -> str:
    """Say by how many others each node was checked, where not all checked all."""
    if not any(node.get("sample") for node in report["nodes"]):
        return ""
    counts = report["summary"]
    least, most = counts["checked_by_least"], counts["checked_by_most"]
    by = str(least) if least == most else f"{least} to {most}"
    return f"; a sample: each of {counts['nodes']} nodes by {by} others"


def _edge_row(edge: Edge) -> tuple[str, ...]:
    reached = "yes" if not is_bad(edge) else "refused" if edge["reached"] else "too slow" if is_untold(edge) else "NO"
    return (
        _end(edge, "from"),
        _end(edge, "to"),
        reached,
        edge["path"] or "-",
        _milliseconds(edge["rtt_ms"]),
        str(edge["attempts"]),
        f"{edge['waited_s']:.2f} s",
    )


def _node_rows(edges: Sequence[Edge]) -> Iterator[tuple[tuple[int, int], tuple[str, ...]]]:
    """Yield a row for each node, behind what rows are sorted by: those with the most bad edges first."""
    from_it: dict[str, list[Edge]] = defaultdict(list)
    to_it: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        from_it[_end(edge, "from")].append(edge)
        to_it[_end(edge, "to")].append(edge)
    for place, name in enumerate({**from_it, **to_it}):
        good = [edge for edge in from_it[name] if not is_bad(edge)]
        bad = sum(map(is_bad, (*from_it[name], *to_it[name])))
        yield (
            (-bad, place),
            (
                name,
                _share(to_it[name]),
                _share(from_it[name]),
                str(sum(edge["path"] == "direct" for edge in good)),
                _milliseconds(max((edge["rtt_ms"] for edge in good if edge["rtt_ms"] is not None), default=None)),
                str(max((edge["attempts"] for edge in from_it[name]), default=0)),
            ),
        )


def _share(edges: Sequence[Edge]) -> str:
    return f"{sum(not is_bad(edge) for edge in edges)}/{len(edges)}" if edges else "-"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
