# SPDX-License-Identifier: MIT
"""The connectivity report as a document: its counts, and which of its edges are not as they must be."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOO_SLOW = "too_slow"
"""The kind of error of an edge whose time ran out while the machine that dialled was too busy to look at what had come
in: nothing is known about the peer."""


def is_bad(edge: Mapping[str, Any]) -> bool:
    """Return whether an edge between two members is not as it must be: reached, and let in."""
    return not (edge["reached"] and edge["admitted"])


def is_untold(edge: Mapping[str, Any]) -> bool:
    """Return whether nothing is known about an edge, because the machine that dialled was too slow."""
    return (edge.get("error") or {}).get("kind") == TOO_SLOW


def summary(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the counts of a report."""
    reached = [edge for edge in edges if edge["reached"]]
    untold = sum(map(is_untold, edges))
    return {
        "nodes": len(nodes),
        "edges": len(edges),
        "reached": len(reached),
        "failed": len(edges) - len(reached) - untold,
        "untold": untold,
        "not_admitted": sum(is_bad(edge) for edge in reached),
    }


def coverage(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return by how many others each of `nodes` was checked: those with the fewest, and those with the most."""
    by: dict[int, set[int]] = defaultdict(set)
    for edge in edges:
        by[edge["to"]].add(edge["from"])
    counts = [len(by[node["node_id"]]) for node in nodes]
    return {"checked_by_least": min(counts, default=0), "checked_by_most": max(counts, default=0)}
