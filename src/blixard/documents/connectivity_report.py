# SPDX-License-Identifier: MIT
"""The connectivity report as a document: its counts, and which of its edges are not as they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def is_bad(edge: Mapping[str, Any]) -> bool:
    """Return whether an edge between two members is not as it must be: reached, and let in."""
    return not (edge["reached"] and edge["admitted"])


def summary(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the counts of a report."""
    reached = [edge for edge in edges if edge["reached"]]
    return {
        "nodes": len(nodes),
        "edges": len(edges),
        "reached": len(reached),
        "failed": len(edges) - len(reached),
        "not_admitted": sum(is_bad(edge) for edge in reached),
    }
