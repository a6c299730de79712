# SPDX-License-Identifier: MIT
"""What is different between two connectivity reports of one fleet: nodes that came, left, fell or rose; then edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blixard.pages.mesh import Edge, Mesh, Node

    Numbers = tuple[int | None, int | None]

SLOWER, SLOWER_MS = 3.0, 5.0
"""An edge is slower when its round trip is so many times as long, and by so many milliseconds."""

Kind = Literal["worse", "better", "other"]
_KINDS = get_args(Kind)


class Change(NamedTuple):
    """One change, worded; `start` and `end` say where in the matrix it is, as in a finding."""

    title: str
    text: str
    kind: Kind
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Changes:
    """The changes, the worse first; `before` has the former edge of each place in the matrix, `edges` who changed."""

    lines: list[Change]
    before: Mapping[tuple[int, int], Edge]
    edges: set[tuple[int, int]] = field(default_factory=set)


def changes(before: Mesh, now: Mesh) -> Changes:
    """Return what is different from `before`. Nodes are the same by their numbers."""
    places = {node.number: place for place, node in enumerate(now.nodes)}
    former = {node.number: node for node in before.nodes}
    was = {
        (places[start], places[end]): edge
        for edge in before.edges
        for start, end in [(before.nodes[edge.start].number, before.nodes[edge.end].number)]
        if start in places and end in places
    }
    changed = [(edge, *said) for edge in now.edges if (said := _of_edge(was.get((edge.start, edge.end)), edge))]
    moved = {place for place, node in enumerate(now.nodes) if _moved(former.get(node.number), node)}
    lines = [*_of_nodes(before, now, former)]
    lines += [
        Change(f"{now.name(edge.start)} → {now.name(edge.end)}", text, kind, edge.start, edge.end)
        for edge, text, kind in changed
        if edge.end not in moved and edge.start not in moved
    ]
    lines.sort(key=lambda change: (_KINDS.index(change.kind), change.text.startswith("takes")))
    return Changes(lines, was, {(edge.start, edge.end) for edge, *_ in changed})


def _moved(former: Node | None, node: Node) -> bool:
    return former is not None and (former.state == "down") != (node.state == "down")


def _of_nodes(before: Mesh, now: Mesh, former: Mapping[int | None, Node]) -> Iterator[Change]:
    for place, node in enumerate(now.nodes):
        was = former.get(node.number)
        if was is None:
            yield Change(node.name, "is new", "other", end=place)
        elif _moved(was, node):
            fell = node.state == "down"
            yield Change(node.name, "went down" if fell else "is up again", "worse" if fell else "better", end=place)
    numbers = {node.number for node in now.nodes}
    for node in before.nodes:
        if node.number not in numbers:
            yield Change(node.name, "is no longer in the report", "other")


def _of_edge(was: Edge | None, now: Edge) -> tuple[str, Kind] | None:
    """Return what changed of an edge that was checked both times; None for nothing worth a word."""
    if was is None or "untold" in (was.state, now.state):
        return None
    if was.state != now.state:
        return {"good": "is good again", "unreached": "is no longer reached", "refused": "is no longer let in"}[
            now.state
        ], "better" if now.state == "good" else "worse"
    if was.path != now.path and was.path and now.path:
        return f"goes {_ways(now)}, was {_ways(was)}", "worse" if now.path == "relay" else "better"
    if was.rtt_ms is not None and now.rtt_ms is not None and _is_slower(was.rtt_ms, now.rtt_ms):
        return f"takes {now.rtt_ms:.1f} ms, was {was.rtt_ms:.1f} ms", "worse"
    return None


def _is_slower(was: float, now: float) -> bool:
    return now >= SLOWER * was and now >= was + SLOWER_MS


def _ways(edge: Edge) -> str:
    return "over the relay" if edge.path == "relay" else "directly"
