# SPDX-License-Identifier: MIT
"""What a host answered, parsed: the keys that were asked for, of their types, bounded and printable; nothing else.

A host may have been taken over, and Ansible acts on much of what an action returns: `add_host`, `ansible_facts`,
`_ansible_*` and more. So an answer is built anew here, key by key. A path, a name or a number that the controller
knows itself is never taken from the host, only held against it.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

from blixard.documents.connectivity_report import summary
from blixard.documents.data_dir_files import KEPT
from blixard.documents.json_bytes import loads
from blixard.errors import MAX_LINES, InputError, bounded_lines, one_line
from blixard.fleet.look import KEY_FILE_NAME
from blixard.fleet.report import troubles
from blixard.model import fields
from blixard.model.entry import NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.model.limits import KIB, MAX_NODE_ID, MAX_PEERS, MAX_SAFE_INTEGER, MIB
from blixard.model.words import EMPTY, MISSING, quoted, too_large, too_long, too_many, too_small, wrong_kind
from blixard.trust.attestation import verify_attestation
from blixard.trust.highest_seq import MOST_TOLD
from blixard.trust.key_announcement import verify_announcement

Options = Mapping[str, Any]

MAX_NAME = 256
"""A path component, an account, a version."""

MAX_CANDIDATES = 1024
"""Addresses of a host that its node decided about, those that it keeps to itself included."""

_SHOWN_KEYS = 5


def parse_answer(host: str, operation: str, options: Options, line: str) -> dict[str, Any]:
    """Return what `host` answered in `line` to an operation of `blixard.fleet.host`.

    Args:
        host: its name in the inventory, for messages.
        operation: one of those that `blixard.fleet.host` has.
        options: what it was asked. `node_id` and `cluster`, where they are there, are those that it must have.
        line: the JSON text that it printed.

    Returns:
        The documented result. `warnings` holds a line for what a look found to be wrong with a node that runs, and one
        where keys were left out that were not asked for. What the host could not do is `failed` and `msg` alone.

    Raises:
        InputError: the answer is too long, no JSON, or has a known key of another type than documented.
        TrustError: the host says that it is another node, or signed its entry for something else.
    """
    parser = _PARSERS[operation]
    data = line.encode("utf-8", "surrogatepass")
    if len(data) > parser.most_bytes:
        raise InputError(f"has {len(data)} bytes, at most {parser.most_bytes} are read")
    at = _At()
    said = loads(data)
    if isinstance(said, dict) and said.get("failed") is True and "report" not in said:
        return {"failed": True, "msg": bounded_lines(said.get("msg") or "it did not say why")}
    answer = parser.parse(said, options, at)
    warnings = _complaints(answer)
    if at.dropped.count:
        warnings.append(f"left out of its answer, as nobody asked for it: {at.dropped}")
    if warnings:
        answer["warnings"] = [f"{host}: {line}" for line in warnings]
    return answer


def _complaints(answer: Mapping[str, Any]) -> list[str]:
    """Return what a look found that a run should say, though it stops nothing."""
    why, not_written = answer.get("not_reachable"), answer.get("agent", {}).get("not_written", ())
    lines = [f"its node cannot be reached from other hosts: {why}"] if why else []
    return lines + [f"its node cannot write, and tries again: {line}" for line in not_written]


@dataclass
class _Dropped:
    """Keys that nobody asked for: how many, and the places of the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, place: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN_KEYS:
            self.first.append(one_line(place, 64))

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more} more" if more else "")


@dataclass(frozen=True)
class _At:
    """Where in the answer a value stands, and what was dropped on the way to it."""

    place: str = ""
    dropped: _Dropped = field(default_factory=_Dropped)

    def __truediv__(self, step: str | int) -> _At:
        return _At(self.place + fields.pointer(step), self.dropped)

    def refuse(self, reason: str) -> InputError:
        return InputError(reason, place=self.place)


_Parse = Callable[[object, _At], Any]


def _members(value: object, at: _At) -> dict[str, object]:
    if not isinstance(value, dict):
        raise at.refuse(wrong_kind("an object", value))
    return value


def _object(members: Mapping[str, _Parse], *, optional: Collection[str] = ()) -> _Parse:
    """Parse an object: each of `members` that is there, those that are not `optional` must be; others are dropped."""

    def parse(value: object, at: _At) -> dict[str, Any]:
        given = _members(value, at)
        for name in given:
            if name not in members:
                at.dropped.add((at / name).place)
        for name in members:
            if name not in given and name not in optional:
                raise (at / name).refuse(MISSING)
        return {name: each(given[name], at / name) for name, each in members.items() if name in given}

    return parse


def _list(parse_item: _Parse, *, most: int) -> _Parse:
    def parse(value: object, at: _At) -> list[Any]:
        if not isinstance(value, list):
            raise at.refuse(wrong_kind("a list", value))
        if len(value) > most:
            raise at.refuse(too_many(most, len(value)))
        return [parse_item(item, at / index) for index, item in enumerate(value)]

    return parse


def _or_null(parse_value: _Parse) -> _Parse:
    return lambda value, at: None if value is None else parse_value(value, at)


def _one_of(*values: str) -> _Parse:
    def parse(value: object, at: _At) -> str:
        if not isinstance(value, str) or value not in values:
            raise at.refuse(f"must be one of {', '.join(values)}")
        return value

    return parse


def _matching(form: str, what: str) -> _Parse:
    pattern = re.compile(form, re.ASCII)

    def parse(value: object, at: _At) -> str:
        if not isinstance(value, str):
            raise at.refuse(wrong_kind("a string", value))
        if not pattern.fullmatch(value):
            raise at.refuse(f"{quoted(value)} is not {what}")
        return value

    return parse


def _flag(value: object, at: _At) -> bool:
    if not isinstance(value, bool):
        raise at.refuse(wrong_kind("true or false", value))
    return value


def _integer(least: int, most: int) -> _Parse:
    return lambda value, at: fields.integer(value, at.place, least=least, most=most)


def _number(least: float, most: float) -> _Parse:
    def parse(value: object, at: _At) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise at.refuse(wrong_kind("a number", value))
        if not least <= value <= most:
            raise at.refuse(too_small(int(least), value) if value < least else too_large(int(most), value))
        return value

    return parse


def _name(value: object, at: _At) -> str:
    """Parse a short text that is compared or shown: not cut, so that it stays what it is, but refused."""
    if not isinstance(value, str):
        raise at.refuse(wrong_kind("a string", value))
    if len(value) > MAX_NAME:
        raise at.refuse(too_long(MAX_NAME, len(value)))
    if not value.isprintable():
        raise at.refuse(f"{quoted(value)} has characters that cannot be printed")
    return value


def _sentence(value: object, at: _At) -> str:
    """Parse a line for people: made printable, and cut where it is too long."""
    if not isinstance(value, str):
        raise at.refuse(wrong_kind("a string", value))
    return one_line(value)


def _sentences(value: object, at: _At) -> list[str]:
    """Parse lines for people; of too many the first are kept."""
    lines: list[str] = _list(_sentence, most=MAX_PEERS)(value, at)
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"… and {more} more lines"] if more > 0 else lines


def _text(value: object, at: _At) -> str:
    """Parse the text of a file, for a diff: its lines made printable."""
    if not isinstance(value, str):
        raise at.refuse(wrong_kind("a string", value))
    return printable(value)


def printable(text: str) -> str:
    """Return `text` with everything but printable characters and the ends of lines written out."""
    return "\n".join(one_line(line, 10 * len(line) + 1) for line in text.split("\n"))


def _endpoint_id(value: object, at: _At) -> str:
    return fields.at(at.place, EndpointId.parse, value).base64


def _cluster(value: object, at: _At) -> str:
    return fields.cluster(value, at.place)


_node_id = _integer(1, MAX_NODE_ID)
_seq = _integer(1, MAX_SAFE_INTEGER)
_digest = _matching("[0-9a-f]{64}", "a SHA-256 digest in hex")
# What the first version of the schemas called them; a host may have a package that is older than the controller's.
_OLD_NAMES = {"told": "advertised", "why": "reason"}
_address = _object({"address": _name, "advertised": _flag, "reason": _sentence})


def _advertisement(value: object, at: _At) -> dict[str, Any]:
    """Parse an address and whether its node advertises it."""
    if isinstance(value, dict) and not value.keys() & _OLD_NAMES.values():
        value = {_OLD_NAMES.get(key, key): each for key, each in value.items()}
    parsed: dict[str, Any] = _address(value, at)
    return parsed


_addresses = _list(_advertisement, most=MAX_CANDIDATES)


def _entry(value: object, at: _At) -> dict[str, Any]:
    """Parse a registry entry; what it has beyond the documented fields is dropped."""
    entry = fields.at(at.place, NodeRegistryEntry.from_json, _members(value, at))
    for name in entry.extra:
        at.dropped.add((at / name).place)
    known = entry.to_json()
    return {name: known[name] for name in known if name not in entry.extra}


def _own_entry(obj: object, options: Options) -> None:
    """Hold the entry of an answer against the node that was asked; raises as `parse_answer`."""
    if obj is None:
        return
    entry = NodeRegistryEntry.from_json(obj)
    _own_number(entry.node_id, options, "/entry/cluster_node_id")
    if entry.attestation is not None:
        cluster = options.get("cluster") or entry.attestation.cluster
        verify_attestation(entry, cluster=cluster, now=datetime.now(timezone.utc))


def _own_number(node_id: int, options: Options, place: str) -> None:
    wanted = options.get("node_id")
    if wanted is not None and node_id != wanted:
        mend = "give the node and the inventory the same number"
        raise InputError(f"is {node_id}, but the inventory says {wanted}", place=place, mend=mend)


# --- look -------------------------------------------------------------------------------------------------


def _not_taken(_: object, __: _At) -> None:
    """Stand for what the controller knows itself, whatever the host says."""


_FILE = _object(
    {
        "path": _not_taken,
        "kind": _one_of("absent", "file", "directory", "link", "other"),
        "mode": _matching("[0-7]{4}", "a mode of four octal digits"),
        "owner": _name,
        "group": _name,
        "mtime": _number(-1e12, 1e12),
        "sha256": _or_null(_digest),
        "expected": _not_taken,
    },
    optional=("path", "mode", "owner", "group", "mtime", "sha256", "expected"),
)
_KEY = _object(
    {"path": _not_taken, "state": _one_of("present", "absent"), "owner": _name, "group": _name},
    optional=("path", "owner", "group"),
)
_AGENT = {
    "running": _object(
        {
            "state": _name,
            "node_id": _node_id,
            "iroh_node_id": _endpoint_id,
            "cluster": _cluster,
            "version": _name,
            "pid": _integer(1, 2**31),
            "config_sha256": _or_null(_digest),
            "admission": _one_of("known", "open"),
            "connected": _list(_node_id, most=MAX_PEERS),
            "addresses": _addresses,
            "not_written": _sentences,
            "not_reachable": _or_null(_sentence),
            "started": _number(0, 1e12),
        },
        # A node that is older than the package on its host may not say all of it.
        optional=("pid", "admission", "connected", "addresses", "not_written", "not_reachable"),
    ),
    "not running": _object({"state": _name}),
    "not answering": _object({"state": _name, "error": _sentence}),
}


def _agent(value: object, at: _At) -> dict[str, Any]:
    state = _one_of(*_AGENT)(_members(value, at).get("state"), at / "state")
    return dict(_AGENT[state](value, at))


def _look(said: object, options: Options, at: _At) -> dict[str, Any]:
    asked: Mapping[str, str] = options["paths"]
    parse = _object(
        {
            "entry": _or_null(_entry),
            "entry_source": _or_null(_one_of("agent", "key", "registry")),
            "not_reachable": _or_null(_sentence),
            "config_sha256": _not_taken,
            "key": _KEY,
            "agent": _agent,
            "files": _object(dict.fromkeys(asked, _FILE)),
            "host": _object({"systemd": _flag, "uid": _integer(0, 2**32)}),
            "version": _name,
            "seen": _list(_object({"signer": _or_null(_endpoint_id), "seq": _seq}), most=MOST_TOLD + 1),
        },
        # The package on the host may be older than the controller's.
        optional=("seen", "not_reachable"),
    )
    answer = {"seen": [], "not_reachable": None, **parse(said, at)}
    config = options["config"]
    answer["config_sha256"] = None if config is None else hashlib.sha256(config.encode()).hexdigest()
    answer["key"]["path"] = str(PurePosixPath(options["data_dir"]) / KEY_FILE_NAME)
    for name, seen in answer["files"].items():
        seen["path"] = asked[name]
        seen.pop("expected", None)
        if name in options["expected"]:
            seen["expected"] = seen.get("sha256") == options["expected"][name]
    _own_entry(answer["entry"], options)
    return answer


# --- identity and service ---------------------------------------------------------------------------------

_KEPT = _object(
    {
        "changed": _flag,
        "before": _or_null(_endpoint_id),
        "after": _or_null(_endpoint_id),
        "exists": _flag,
        "removed": _flag,
        "given": _list(_one_of(".", *(kept.name for kept in KEPT)), most=len(KEPT) + 1),
    }
)


def _identity(said: object, _: Options, at: _At) -> dict[str, Any]:
    return dict(_KEPT(said, at))


_THERE = _object({"changed": _flag, "before": _or_null(_text)})
_SERVICE = _object(
    {"changed": _flag, "config": _THERE, "unit": _THERE, "facts": _THERE}, optional=("config", "unit", "facts")
)


def _service(said: object, _: Options, at: _At) -> dict[str, Any]:
    return dict(_SERVICE(said, at))


# --- check ------------------------------------------------------------------------------------------------

_COUNT = _integer(0, 2**53)
_NODE = _object(
    {
        "node_id": _node_id,
        "iroh_node_id": _endpoint_id,
        "agent": _one_of("running", "not running"),
        "version": _name,
        "addresses": _addresses,
        "sample": _or_null(_integer(1, MAX_PEERS)),
        "problems": _sentences,
    },
    optional=("version", "addresses", "sample", "problems"),
)
_EDGE = _object(
    {
        "from": _node_id,
        "to": _node_id,
        "reached": _flag,
        "id_matched": _flag,
        "admitted": _flag,
        "path": _or_null(_one_of("direct", "relay")),
        "rtt_ms": _or_null(_number(0, 1e9)),
        "attempts": _integer(0, 10**6),
        "waited_s": _number(0, 1e6),
        "state": _or_null(_matching("[a-z_]{1,32}", "a state of a peer")),
        "error": _or_null(_object({"kind": _matching("[a-z_]{1,32}", "a kind of error"), "message": _sentence})),
    },
    optional=("state",),
)
_REPORT = _object(
    {
        "cluster": _cluster,
        "nodes": _list(_NODE, most=1),
        "edges": _list(_EDGE, most=MAX_PEERS),
        "summary": _not_taken,
    }
)


def _check(said: object, options: Options, at: _At) -> dict[str, Any]:
    """Parse a host's part of the report; what is wrong in it is worded here and not taken from the host."""
    parse = _object({"report": _REPORT, "failed": _not_taken, "msg": _not_taken}, optional=("failed", "msg"))
    report = dict(parse(said, at)["report"])
    if not report["nodes"]:
        raise InputError(EMPTY, place="/report/nodes")
    own = report["nodes"][0]["node_id"]
    _own_number(own, options, "/report/nodes/0/node_id")
    for index, edge in enumerate(report["edges"]):
        if edge["from"] != own:
            raise InputError(f"is {edge['from']}, but the node is {own}", place=f"/report/edges/{index}/from")
    report["summary"] = summary(report["nodes"], report["edges"])
    lines = troubles(report)
    return {"report": report, **({"failed": True, "msg": bounded_lines("\n".join(lines))} if lines else {})}


# --- put --------------------------------------------------------------------------------------------------

_PUT = _object({"changed": _flag, "before": _or_null(_text)}, optional=("before",))


def _put(said: object, _: Options, at: _At) -> dict[str, Any]:
    return dict(_PUT(said, at))


# --- refresh and rotation ---------------------------------------------------------------------------------

_REFRESH = _object({"running": _flag, "peers": _list(_node_id, most=MAX_PEERS), "problems": _sentences})
_SWAP = _object({"changed": _flag})


def _announcement(value: object, at: _At) -> dict[str, Any]:
    """Parse an announcement, which must hold by itself; that it fits the record is seen where it is merged."""
    said = _members(value, at)
    cluster = _cluster(said.get("cluster"), at / "cluster")
    fields.at(at.place, functools.partial(verify_announcement, cluster=cluster), said)
    return dict(said)


_PREPARE = _object(
    {
        "changed": _flag,
        "due": _flag,
        "old": _endpoint_id,
        "new": _or_null(_endpoint_id),
        "announcement": _or_null(_announcement),
        "entry": _or_null(_entry),
        "restart": _flag,
    }
)


def _refresh(said: object, _: Options, at: _At) -> dict[str, Any]:
    return dict(_REFRESH(said, at))


def _rotation(said: object, options: Options, at: _At) -> dict[str, Any]:
    if options["new"] is not None:
        return dict(_SWAP(said, at))
    answer = dict(_PREPARE(said, at))
    entry, announcement, new = answer["entry"], answer["announcement"], answer["new"]
    if [entry is None, announcement is None] != [new is None] * 2:
        raise InputError("comes with its entry and its announcement, or without both", place="/new")
    if new is not None and {new} != {entry["iroh_node_id"], EndpointId.parse(announcement["new"]).base64}:
        raise InputError("is not the id in its entry and its announcement", place="/new")
    _own_entry(entry, options)
    return answer


@dataclass(frozen=True)
class _Parser:
    parse: Callable[[object, Options, _At], dict[str, Any]]
    most_bytes: int


_PARSERS = {
    # Node ids of all peers, up to 21 bytes each, and what is bounded otherwise.
    "look": _Parser(_look, 2 * MIB),
    "identity": _Parser(_identity, 64 * KIB),
    "refresh": _Parser(_refresh, 2 * MIB),
    # An edge is some 300 bytes.
    "check": _Parser(_check, 16 * MIB),
    "rotation": _Parser(_rotation, 64 * KIB),
    # A quarter of a mebibyte of the file that was there, of which each byte may have become an escape.
    "put": _Parser(_put, 2 * MIB),
    "put_packed": _Parser(_put, 2 * MIB),
    "service": _Parser(_service, 4 * MIB),
}
