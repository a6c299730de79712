# SPDX-License-Identifier: MIT
"""Connectivity reports of made-up fleets, the same in every run: whole, and broken in the ways that fleets break."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from random import Random
from typing import Any

Report = dict[str, Any]
Break = Callable[[int, int], dict[str, Any] | None]

RACKS = ("rack-a", "rack-b", "rack-c")

UNREACHED = {"reached": False, "id_matched": False, "admitted": False, "path": None, "rtt_ms": None}
TIMEOUT = {
    **UNREACHED,
    "attempts": 4,
    "waited_s": 9.71,
    "error": {"kind": "timeout", "message": "no answer within 3 s"},
}
REFUSED = {"admitted": False, "error": {"kind": "refused", "message": "the peer does not know this node"}}
TOO_SLOW = {**UNREACHED, "error": {"kind": "too_slow", "message": "this machine was too busy"}}


def report(
    many: int,
    broken: Break = lambda _from, _to: None,
    *,
    sample: int = 0,
    stopped: Collection[int] = (),
    not_asked: Collection[int] = (),
    seed: int = 1,
) -> Report:
    """Return the report of `many` nodes in three racks; `broken` gives the fields of an edge that is not good.

    Args:
        many: nodes, numbered from 1.
        broken: what is different of the edge between two numbers.
        sample: how many others each node checks; 0 for all.
        stopped: numbers of nodes that do not run: they check nobody, and nobody reaches them.
        not_asked: numbers of nodes that could not be asked.
        seed: of what is random.
    """
    random = Random(seed)
    quiet = {*stopped, *not_asked}
    nodes = [_node(number, sample, number in stopped, number in not_asked) for number in range(1, many + 1)]
    edges = [
        _edge(random, number, other, many, TIMEOUT if other in stopped else broken(number, other))
        for number in range(1, many + 1)
        if number not in quiet
        for other in _checked(random, number, many, sample)
    ]
    return {"cluster": "harbour", "nodes": nodes, "edges": edges, "summary": {}}


def _checked(random: Random, number: int, many: int, sample: int) -> list[int]:
    others = [other for other in range(1, many + 1) if other != number]
    return sorted(random.sample(others, sample)) if sample else others


def _name(number: int, many: int) -> str:
    return f"node{number:0{len(str(many))}d}"


def _node(number: int, sample: int, is_stopped: bool, is_not_asked: bool) -> Report:
    agent = "not running" if is_stopped else "not asked" if is_not_asked else "running"
    return {
        "node_id": number,
        "iroh_node_id": None if is_not_asked else hashlib.sha256(str(number).encode()).hexdigest(),
        "agent": agent,
        "version": None if is_not_asked else "0.1.0",
        "sample": sample or None,
        "groups": [RACKS[number % 3]],
        **({"error": "ssh: connect to host: No route to host"} if is_not_asked else {}),
    }


def _edge(random: Random, number: int, other: int, many: int, changes: dict[str, Any] | None) -> Report:
    far = 0.4 if number % 3 == other % 3 else 2.2 if (number + other) % 3 else 11.0
    is_relayed = not (number * other) % 37
    return {
        "from": number,
        "to": other,
        "from_name": _name(number, many),
        "to_name": _name(other, many),
        "reached": True,
        "id_matched": True,
        "admitted": True,
        "path": "relay" if is_relayed else "direct",
        "rtt_ms": round(far * math.exp(random.gauss(0, 0.3)) * (4 if is_relayed else 1), 3),
        "attempts": 1,
        "waited_s": 0.012,
        "error": None,
        **(changes or {}),
    }


def one_way(start: int, end: int) -> Break:
    """One edge that goes in one direction alone."""
    return lambda number, other: TIMEOUT if (number, other) == (start, end) else None
