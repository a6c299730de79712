# SPDX-License-Identifier: MIT
"""The connectivity report as a document: read from its bytes, its counts, and which edges are not as they must be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.limits import MAX_NODE_ID
from blixard.model.words import MISSING, quoted, too_small, wrong_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Check = Callable[[object, str], object]

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


def parse_report(data: bytes, *, file: str | None = None) -> dict[str, Any]:
    """Return the report that `data` holds, with the form that its schema describes. Unknown fields stay.

    Checked here field by field, since a host has no jsonschema and a large fleet's report has a hundred thousand edges.

    Raises:
        InputError: it is no JSON or no connectivity report; with the place of the first thing that is wrong.
    """
    document = loads(data, file=file)
    try:
        _object(_REPORT)(document, "")
    except InputError as error:
        mend = error.mend or "give it a report as `blixard check --json` and the playbooks write it"
        raise InputError(error.reason, file=file, place=error.place, mend=mend) from None
    assert isinstance(document, dict)  # noqa: S101  (for the type checker: it was checked just now)
    return document


def _object(shape: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    def check(value: object, place: str) -> object:
        if not isinstance(value, Mapping):
            raise InputError(wrong_kind("an object", value), place=place)
        for name, each in shape.items():
            if name not in value:
                raise InputError(MISSING, place=f"{place}/{name}")
            each(value[name], f"{place}/{name}")
        for name, each in (optional or {}).items():
            if name in value:
                each(value[name], f"{place}/{name}")
        return value

    return check


def _list(item: Check) -> Check:
    def check(value: object, place: str) -> object:
        if not isinstance(value, list):
            raise InputError(wrong_kind("a list", value), place=place)
        for index, each in enumerate(value):
            item(each, f"{place}/{index}")
        return value

    return check


def _or_null(check: Check) -> Check:
    return lambda value, place: None if value is None else check(value, place)


def _text(value: object, place: str) -> object:
    if not isinstance(value, str):
        raise InputError(wrong_kind("a string", value), place=place)
    return value


def _flag(value: object, place: str) -> object:
    if not isinstance(value, bool):
        raise InputError(wrong_kind("true or false", value), place=place)
    return value


def _amount(value: object, place: str) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(wrong_kind("a number", value), place=place)
    if value < 0:
        raise InputError(too_small(0, value), place=place)
    return value


def _count(value: object, place: str) -> object:
    return fields.integer(value, place, least=0, most=MAX_NODE_ID)


def _one_of(*choices: str) -> Check:
    def check(value: object, place: str) -> object:
        if value not in choices:
            raise InputError(f"must be one of {', '.join(choices)}, not {quoted(str(value))}", place=place)
        return value

    return check


_NODE = _object(
    {
        "node_id": _or_null(fields.node_id),
        "iroh_node_id": _or_null(_text),
        "agent": _one_of("running", "not running", "stranger", "not asked"),
    },
    {
        "name": _or_null(_text),
        "groups": _list(_text),
        "version": _or_null(_text),
        "sample": _or_null(_count),
        "error": _text,
        "problems": _list(_text),
    },
)
_EDGE = _object(
    {
        "from": _or_null(fields.node_id),
        "to": fields.node_id,
        "reached": _flag,
        "id_matched": _flag,
        "admitted": _flag,
        "path": _or_null(_one_of("direct", "relay")),
        "rtt_ms": _or_null(_amount),
        "attempts": _count,
        "waited_s": _amount,
        "error": _or_null(_object({"kind": _text, "message": _text})),
    },
    {"from_name": _or_null(_text), "to_name": _or_null(_text)},
)
_REPORT: Mapping[str, Check] = {"cluster": _or_null(fields.cluster), "nodes": _list(_NODE), "edges": _list(_EDGE)}
