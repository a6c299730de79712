# SPDX-License-Identifier: MIT
"""What a connectivity report says to somebody who looks for a fault: nodes, edges, findings, one verdict.

A node that is down is one finding and not the hundred edges that lead to it; so is one group of hosts that does not
reach another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from blixard.documents.connectivity_report import is_bad, is_untold
from blixard.errors import one_line
from blixard.pages.document import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    Report = Mapping[str, Any]

EdgeState = Literal["good", "unreached", "refused", "untold"]
NodeState = Literal["good", "trouble", "not asked", "down"]
Level = Literal["good", "unsure", "bad"]

MAX_NAME = 64
MAX_GROUPS = 16
"""Groups of one host that are looked at; an inventory gives each host a few."""

SEVERAL = 3
"""So many bad edges between two groups, from one node or to one node are one finding; fewer are as quickly named."""


class Edge(NamedTuple):
    """One node's attempt to reach another. `start` and `end` are indexes of nodes."""

    start: int
    end: int
    state: EdgeState
    path: str | None
    rtt_ms: float | None
    attempts: int
    waited_s: float
    id_matched: bool
    admitted: bool
    reason: tuple[str, str] | None
    """Kind and message of its error."""


@dataclass(frozen=True)
class Node:
    """One node, and how many of those that tried reached it; `told` leaves out what could not be told."""

    name: str
    number: int | None
    groups: tuple[str, ...]
    agent: str
    version: str | None
    notes: tuple[str, ...]
    incoming: Sequence[Edge] = field(repr=False)
    outgoing: Sequence[Edge] = field(repr=False)
    state: NodeState = "good"
    """What it looks like from all sides. Nobody is in trouble for not reaching a node that is down."""

    @property
    def is_silent(self) -> bool:
        """Whether none of several reached it, for one alone may have the fault itself."""
        return _all_bad(self.incoming)

    @property
    def is_mute(self) -> bool:
        """Whether it reached none of several."""
        return _all_bad(self.outgoing)

    @property
    def is_down(self) -> bool:
        """Whether it does not run, or none of several reached it."""
        return self.agent == "not running" or self.is_silent

    @property
    def slowest(self) -> Edge | None:
        """Its slowest edge, in any direction."""
        measured = [edge for edge in (*self.outgoing, *self.incoming) if edge.rtt_ms is not None]
        return max(measured, key=lambda edge: edge.rtt_ms or 0, default=None)


@dataclass(frozen=True)
class Mesh:
    """A report's nodes, by number, and its edges."""

    cluster: str | None
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    is_sampled: bool
    """Whether a node checked some of its peers alone."""

    def name(self, index: int) -> str:
        """The name of a node."""
        return self.nodes[index].name


class Finding(NamedTuple):
    """Something that is wrong, worded, and where in the matrix it is: an edge, a row (`start`) or a column (`end`)."""

    title: str
    text: str
    level: Level
    start: int | None = None
    end: int | None = None


def mesh_of(report: Report) -> Mesh:
    """Return what a report says, from its nodes and edges alone."""
    numbers, names = _names(report)
    index = {number: place for place, number in enumerate(numbers)}
    edges = [_edge(edge, index) for edge in report["edges"]]
    incoming: dict[int, list[Edge]] = defaultdict(list)
    outgoing: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        incoming[edge.end].append(edge)
        outgoing[edge.start].append(edge)
    said = {node["node_id"]: node for node in report["nodes"]}
    nodes = [
        _node(said.get(number, {}), number, names[number], incoming[place], outgoing[place])
        for number, place in index.items()
    ]
    seen = [replace(node, state=_state_of(node, nodes)) for node in nodes]
    return Mesh(report["cluster"], seen, edges, any(node.get("sample") for node in report["nodes"]))


def _state_of(node: Node, nodes: Sequence[Node]) -> NodeState:
    if node.is_down:
        return "down"
    if node.agent == "not asked":
        return "not asked"
    seen = [edge for edge in (*node.incoming, *node.outgoing) if edge.state != "good"]
    own = [edge for edge in seen if not (nodes[edge.start].is_down or nodes[edge.end].is_down)]
    return "trouble" if own or node.notes else "good"


def _names(report: Report) -> tuple[list[int | None], dict[int | None, str]]:
    """Return the numbers of all nodes in their order, and a name for each."""
    given: dict[int | None, str | None] = {}
    for edge in report["edges"]:
        for end in ("from", "to"):
            given[edge[end]] = edge.get(f"{end}_name") or given.get(edge[end])
    for node in report["nodes"]:
        given[node["node_id"]] = node.get("name") or given.get(node["node_id"])
    numbers = sorted(given, key=lambda number: number or 0)
    unnamed = {number: "this machine" if number is None else f"node {number}" for number in numbers}
    return numbers, {number: one_line(given[number] or unnamed[number], MAX_NAME) for number in numbers}


def _edge(edge: Mapping[str, Any], index: Mapping[int | None, int]) -> Edge:
    reason = edge["error"] and (one_line(edge["error"]["kind"]), one_line(edge["error"]["message"]))
    return Edge(
        index[edge["from"]],
        index[edge["to"]],
        _state(edge),
        edge["path"],
        edge["rtt_ms"],
        edge["attempts"],
        edge["waited_s"],
        edge["id_matched"],
        edge["admitted"],
        reason,
    )


def _state(edge: Mapping[str, Any]) -> EdgeState:
    if is_untold(edge):
        return "untold"
    # Nobody lets a stranger in; it asks whether the peer is there.
    if edge["reached"] and (edge["from"] is None or not is_bad(edge)):
        return "good"
    return "refused" if edge["reached"] else "unreached"


def _node(
    said: Mapping[str, Any], number: int | None, name: str, incoming: Sequence[Edge], outgoing: Sequence[Edge]
) -> Node:
    notes = [*said.get("problems", ()), *([said["error"]] if said.get("error") else [])]
    return Node(
        name=name,
        number=number,
        groups=tuple(one_line(group, MAX_NAME) for group in said.get("groups", ())[:MAX_GROUPS]),
        agent=said.get("agent", "no part of this report"),
        version=said.get("version"),
        notes=tuple(one_line(note) for note in notes),
        incoming=incoming,
        outgoing=outgoing,
    )


def _told(edges: Iterable[Edge]) -> list[Edge]:
    return [edge for edge in edges if edge.state != "untold"]


def _bad(edges: Iterable[Edge]) -> list[Edge]:
    return [edge for edge in edges if edge.state in ("unreached", "refused")]


def _all_bad(edges: Iterable[Edge]) -> bool:
    told = _told(edges)
    return len(told) > 1 and len(_bad(told)) == len(told)


# --- What is wrong ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Findings:
    """What is wrong, by what it is wrong with; each list with its worst first."""

    down: list[Finding]
    mute: list[Finding]
    groups: list[Finding]
    partly: list[Finding]
    edges: list[Finding]
    unsure: list[Finding]

    def __iter__(self) -> Iterator[Finding]:
        return iter((*self.down, *self.mute, *self.groups, *self.partly, *self.edges, *self.unsure))


def findings(mesh: Mesh) -> Findings:
    """Return what is wrong in a mesh, each trouble once."""
    down = {place for place, node in enumerate(mesh.nodes) if node.state == "down"}
    mute = {
        place
        for place, node in enumerate(mesh.nodes)
        if place not in down and _all_bad(edge for edge in node.outgoing if edge.end not in down)
    }
    left = [edge for edge in _bad(mesh.edges) if edge.end not in down and edge.start not in mute]
    # What a node that is down was seen to do from its files says nothing more.
    left = [edge for edge in left if edge.start not in down]
    between, left = _between_groups(mesh, left)
    partly, left = _partly(mesh, left)
    left.sort(key=lambda edge: -edge.waited_s)
    return Findings(
        down=[_down(mesh, place) for place in sorted(down)],
        mute=[_mute(mesh, place, down) for place in sorted(mute)],
        groups=between,
        partly=partly,
        edges=[_single(mesh, edge) for edge in left],
        unsure=[*_noted(mesh, down), *_untold(mesh)],
    )


def _down(mesh: Mesh, place: int) -> Finding:
    node = mesh.nodes[place]
    told = _told(node.incoming)
    said = {"not running": "its node is not running", "not asked": "it could not be asked"}.get(node.agent)
    lines = [said] if said else []
    if node.is_silent:
        lines.append(f"reached by none of {counted(len(told), 'node')}: {_commonest(told)}")
    return Finding(node.name, "; ".join([*lines, *node.notes]), "bad", end=place)


def _mute(mesh: Mesh, place: int, down: Collection[int]) -> Finding:
    node = mesh.nodes[place]
    tried = [edge for edge in _told(node.outgoing) if edge.end not in down]
    text = f"reaches none of {counted(len(tried), 'node')}: {_commonest(tried)}"
    return Finding(node.name, text, "bad", start=place)


def _single(mesh: Mesh, edge: Edge) -> Finding:
    said = "not let in" if edge.state == "refused" else "not reached"
    tried = f"{counted(edge.attempts, 'attempt')} in {edge.waited_s:.1f} s"
    title = f"{mesh.name(edge.start)} → {mesh.name(edge.end)}"
    return Finding(title, f"{said}: {worded(edge)}; {tried}", "bad", edge.start, edge.end)


def _between_groups(mesh: Mesh, left: Sequence[Edge]) -> tuple[list[Finding], list[Edge]]:
    """Return a finding for each pair of groups between which nothing goes, and the edges that are in none."""
    told: Counter[tuple[str, str]] = Counter(pair for edge in _told(mesh.edges) for pair in _pairs(mesh, edge))
    bad: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in left:
        for pair in _pairs(mesh, edge):
            bad[pair].append(edge)
    found = []
    explained: set[tuple[int, int]] = set()
    for (one, other), edges in sorted(bad.items(), key=lambda item: (-len(item[1]), item[0])):
        new = {(edge.start, edge.end) for edge in edges} - explained
        if len(edges) == told[one, other] and len(new) >= SEVERAL:
            explained |= new
            text = f"none of {counted(len(edges), 'edge')} is good: {_commonest(edges)}"
            found.append(Finding(f"{one} → {other}", text, "bad", edges[0].start, edges[0].end))
    return found, [edge for edge in left if (edge.start, edge.end) not in explained]


def _partly(mesh: Mesh, left: Sequence[Edge]) -> tuple[list[Finding], list[Edge]]:
    """Return a finding for each node that has several of the bad edges, in one direction, and the edges of no such."""
    found = []
    rest = list(left)
    while rest:
        of = Counter([*(("start", edge.start) for edge in rest), *(("end", edge.end) for edge in rest)])
        (end, place), count = max(of.items(), key=lambda item: (item[1], item[0][0], -item[0][1]))
        if count < SEVERAL:
            break
        own = [edge for edge in rest if getattr(edge, end) == place]
        rest = [edge for edge in rest if getattr(edge, end) != place]
        nodes = counted(count, "node")
        of_all = len(_told(mesh.nodes[place].outgoing if end == "start" else mesh.nodes[place].incoming))
        text = f"{len(own)} of {counted(of_all, 'edge')} bad: {_commonest(own)}"
        if end == "start":
            found.append(Finding(f"{mesh.name(place)} → {nodes}", text, "bad", start=place))
        else:
            found.append(Finding(f"{nodes} → {mesh.name(place)}", text, "bad", end=place))
    return found, rest


def _pairs(mesh: Mesh, edge: Edge) -> Iterator[tuple[str, str]]:
    for one in mesh.nodes[edge.start].groups:
        for other in mesh.nodes[edge.end].groups:
            if one not in mesh.nodes[edge.end].groups and other not in mesh.nodes[edge.start].groups:
                yield one, other


def _noted(mesh: Mesh, down: Collection[int]) -> Iterator[Finding]:
    for place, node in enumerate(mesh.nodes):
        if place not in down and (node.notes or node.agent == "not asked"):
            lines = [*(["it could not be asked"] if node.agent == "not asked" else []), *node.notes]
            yield Finding(node.name, "; ".join(lines), "unsure", start=place)


def _untold(mesh: Mesh) -> Iterator[Finding]:
    by_start: dict[int, list[Edge]] = defaultdict(list)
    for edge in mesh.edges:
        if edge.state == "untold":
            by_start[edge.start].append(edge)
    for place, edges in by_start.items():
        text = f"{counted(len(edges), 'edge')} could not be told, because its machine was too busy"
        yield Finding(mesh.name(place), text, "unsure", start=place)


def worded(edge: Edge) -> str:
    """Return why an edge is bad."""
    return ": ".join(edge.reason) if edge.reason else "refused: the peer does not let this node in"


def _commonest(edges: Iterable[Edge]) -> str:
    ((reason, _),) = Counter(worded(edge) for edge in edges).most_common(1)
    return reason


# --- The verdict ------------------------------------------------------------------------------------------

_NAMED = 3


def verdict(mesh: Mesh, found: Findings) -> tuple[Level, str]:
    """Return how it is, in one sentence."""
    parts = [
        *_of_names(found.down, "is down", "are down"),
        *_of_names(found.mute, "reaches nobody", "reach nobody"),
        *_of_pairs([*found.groups, *found.partly]),
        *_of_edges(found.edges, more=bool(found.down or found.mute or found.groups or found.partly)),
    ]
    if parts:
        return "bad", f"{_joined(parts)}."
    if found.unsure:
        return "unsure", f"{_joined(_of_names(found.unsure, 'needs a look', 'need a look'))}. All else is reached."
    if not mesh.edges:
        return "unsure", "Nothing was checked."
    return "good", _all_well(mesh)


def _of_names(found: Sequence[Finding], one: str, many: str) -> list[str]:
    names = list(dict.fromkeys(finding.title for finding in found))
    if not names:
        return []
    if len(names) > _NAMED:
        return [f"{counted(len(names), 'node')} {many}: {', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"]
    return [f"{_joined(names)} {one if len(names) == 1 else many}"]


def _of_pairs(found: Sequence[Finding]) -> list[str]:
    said = [_pair_said(finding) for finding in found[:_NAMED]]
    return [*said, *([f"{len(found) - _NAMED} more like that"] if len(found) > _NAMED else [])]


def _pair_said(finding: Finding) -> str:
    start, end = finding.title.split(" → ", 1)
    many = finding.start is None
    return f"{start} {'do' if many else 'does'} not reach {end}"


def _of_edges(found: Sequence[Finding], *, more: bool) -> list[str]:
    if len(found) == 1:
        start, end = found[0].title.split(" → ", 1)
        refused = found[0].text.startswith("not let in")
        return [f"{end} does not let {start} in" if refused else f"{start} does not reach {end}"]
    return [f"{counted(len(found), 'more edge' if more else 'edge')} fail"] if found else []


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _all_well(mesh: Mesh) -> str:
    many, starts = len(mesh.nodes), {edge.start for edge in mesh.edges}
    if len(starts) == 1 and many > 1:
        return f"{mesh.name(next(iter(starts)))} reaches {_all_of(len(mesh.edges), 'peer')}."
    if len(mesh.edges) == many * (many - 1):
        return f"{_all_of(many, 'node').capitalize()} reach each other."
    return f"{_all_of(len(mesh.edges), 'edge').capitalize()} that were checked are good."


def _all_of(number: int, noun: str) -> str:
    return f"its {noun}" if number == 1 else f"all {counted(number, noun)}"
