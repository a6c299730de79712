# SPDX-License-Identifier: MIT
"""Commands, entries and frames as JSON: all that Raft puts on the wire and on the disk, each field checked when read.

Nothing is ever unpickled: a frame is data of the kinds below, or it is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.limits import MAX_SAFE_INTEGER
from blixard.model.words import wrong_kind
from blixard.raft.append_guard import Entry, is_of_order
from blixard.raft.formation import Standing
from blixard.raft.voters import MAX_VOTERS

PROTOCOL = "raft/1"
"""The name of the streams between voters."""

MAX_COMMAND = 16 * 1024
"""Bytes of one command: an attested entry of the largest size is under 8 KiB."""

BATCH = 32 * 1024
"""Bytes of commands in one frame; more than one command, because the engine has no good way for larger ones."""

CHUNK = 64 * 1024
"""Bytes of a snapshot in one frame."""

MAX_FRAME = 1024 * 1024
"""Bytes of a frame: a batch of the smallest entries, 25 bytes of JSON for each of their bytes, and one command more."""

MAX_ENTRIES = BATCH + 1
MAX_WORD = 64

REGULAR, NO_OP, MEMBERSHIP = 0, 1, 2
"""Kinds of a command. The engine's fourth, its own code's version, is not used."""


COMMAND = "apply_command"
"""The word for a command that a voter hands on to its leader."""


@dataclass(frozen=True)
class Frame:
    """One frame of another voter.

    Attributes:
        kind: `hello`, or the engine's word.
        genesis: the id of the sender's cluster; None while it has none.
        standing: of a hello, what the sender says of itself.
        cluster: of a hello, the cluster's name.
        message: else, what the engine may be given.
    """

    kind: str
    genesis: str | None
    standing: Standing | None = None
    cluster: str = ""
    message: Mapping[str, Any] | None = None


def command(kind: int, body: object = None) -> bytes:
    """Return a command as the log keeps it: one byte for its kind, then JSON.

    Raises:
        InputError: it is larger than a command may be.
    """
    data = bytes([kind]) + (b"" if body is None else _json(body))
    if len(data) > MAX_COMMAND:
        raise InputError(f"is too large for the log: {len(data)} bytes, {MAX_COMMAND} at most")
    return data


def command_body(data: bytes) -> object:
    """Return what a command says."""
    return loads(data[1:], file="command")


def entry_to_json(entry: Entry) -> list[object]:
    """Return an entry of the log as JSON: its index, its term, its kind, its text."""
    data, index, term = entry
    return [index, term, data[0], data[1:].decode()]


def entry_from_json(value: object, place: str) -> Entry:
    """Read an entry of the log."""
    if not isinstance(value, list) or len(value) != 4:
        raise InputError(wrong_kind("an index, a term, a kind and a text", value), place=place)
    kind = fields.integer(value[2], f"{place}/2", least=REGULAR, most=MEMBERSHIP)
    if not isinstance(value[3], str):
        raise InputError(wrong_kind("a text", value[3]), place=f"{place}/3")
    text = value[3].encode("utf-8", "replace")
    if len(text) >= MAX_COMMAND:
        raise InputError(f"is too large: {len(text)} bytes", place=f"{place}/3")
    if kind == NO_OP and text:
        raise InputError("must be empty for a command that does nothing", place=f"{place}/3")
    if kind == MEMBERSHIP:
        parse_membership(bytes([kind]) + text)
    return bytes([kind]) + text, _count(value[0], f"{place}/0"), _count(value[1], f"{place}/1")


def membership(action: str, node: int) -> bytes:
    """Return the command that adds (`add`) or removes (`rem`) a voter."""
    return command(MEMBERSHIP, [action, node])


def parse_membership(data: bytes) -> tuple[str, int]:
    """Read such a command."""
    body = command_body(data)
    if not isinstance(body, list) or len(body) != 2 or body[0] not in ("add", "rem"):
        raise InputError("is no change of the voters")
    return str(body[0]), fields.node_id(body[1], "/1")


def hello(standing: Standing, cluster: str) -> bytes:
    """Return the frame with which a voter says where it stands."""
    return _json(
        {
            "type": "hello",
            "genesis": standing.genesis,
            "cluster": cluster,
            "node_id": standing.node_id,
            "expected": sorted(standing.expected),
            "incarnation": standing.incarnation,
            "members": None if standing.members is None else sorted(standing.members),
            "admitted": {str(node): word for node, word in sorted((standing.admitted or {}).items())},
            "term": standing.term,
        }
    )


def frame(message: Mapping[str, Any], genesis: str | None) -> bytes:
    """Return one message of the engine as a frame."""
    body = dict(message)
    if "entries" in body:
        body["entries"] = [entry_to_json(each) for each in body["entries"]]
    if body.get("serialized") is not None:
        data, is_first, is_last = body["serialized"]
        body["serialized"] = [base64.b64encode(data).decode(), is_first, is_last]
    if "command" in body:
        body["command"] = [body["command"][0], body["command"][1:].decode()]
    return _json({**body, "genesis": genesis})


def parse(data: bytes, sender: str) -> Frame:
    """Read a frame of `sender`, who is named in errors.

    Raises:
        InputError: with the JSON pointer of the first thing that is wrong.
    """
    if len(data) > MAX_FRAME:
        raise InputError(f"a frame of {len(data)} bytes, {MAX_FRAME} at most", file=sender)
    obj = loads(data, file=sender)
    try:
        if not isinstance(obj, dict):
            raise InputError(wrong_kind("an object", obj))
        kind, genesis = obj.pop("type", None), _optional(_word)(obj.pop("genesis", None), "/genesis")
        if kind == "hello":
            standing, cluster = _standing(obj, genesis)
            return Frame(kind, genesis, standing, cluster)
        known = _MESSAGES.get(kind) if isinstance(kind, str) else None
        if known is None:
            raise InputError("is no message of Raft", place="/type")
        return Frame(str(kind), genesis, message=_message(str(kind), obj, known))
    except InputError as error:
        raise error.located(file=sender) from None


def _json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _count(value: object, place: str) -> int:
    return fields.integer(value, place, least=0, most=MAX_SAFE_INTEGER)


def _word(value: object, place: str) -> str:
    return fields.text(value, place, most=MAX_WORD)


def _flag(value: object, place: str) -> bool:
    if type(value) is not bool:
        raise InputError(wrong_kind("true or false", value), place=place)
    return value


_Read = Callable[[object, str], Any]


def _optional(read: _Read) -> _Read:
    return lambda value, place: None if value is None else read(value, place)


def _entries(value: object, place: str) -> list[Entry]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise InputError(wrong_kind(f"a list of at most {MAX_ENTRIES} entries", value), place=place)
    return [entry_from_json(each, f"{place}/{number}") for number, each in enumerate(value)]


def _chunk(value: object, place: str) -> tuple[bytes, bool, bool]:
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[0], str):
        raise InputError(wrong_kind("a piece of a snapshot", value), place=place)
    try:
        data = base64.b64decode(value[0], validate=True)
    except (binascii.Error, ValueError):
        raise InputError("is not base64", place=f"{place}/0") from None
    if len(data) > CHUNK:
        raise InputError(f"is too large: {len(data)} bytes", place=f"{place}/0")
    return data, _flag(value[1], f"{place}/1"), _flag(value[2], f"{place}/2")


def _command(value: object, place: str) -> bytes:
    if not isinstance(value, list) or len(value) != 2 or value[0] != REGULAR:
        raise InputError(wrong_kind("a command", value), place=place)
    return entry_from_json([0, 0, *value], place)[0]


# Of each kind of message: the members that it must have, and those that it may have.
_MESSAGES: dict[str, tuple[dict[str, _Read], dict[str, _Read]]] = {
    "request_vote": ({"term": _count, "last_log_index": _count, "last_log_term": _count}, {}),
    "response_vote": ({"term": _count}, {}),
    "append_entries": (
        {"term": _count, "commit_index": _count},
        {
            "entries": _entries,
            "prevLogIdx": _optional(_count),
            "prevLogTerm": _optional(_count),
            "serialized": _optional(_chunk),
        },
    ),
    "next_node_idx": ({"term": _count, "next_node_idx": _count, "reset": _flag, "success": _flag}, {}),
    COMMAND: ({"command": _command}, {"request_id": _count}),
    "apply_command_response": ({"request_id": _count}, {"error": _count, "log_idx": _count, "log_term": _count}),
    "timeout_now": ({"term": _count}, {}),
}


def _message(kind: str, obj: dict[str, Any], known: tuple[dict[str, _Read], dict[str, _Read]]) -> dict[str, Any]:
    must, may = known
    for name in must:
        if name not in obj:
            raise InputError("is missing", place=f"/{name}")
    message: dict[str, Any] = {"type": kind}
    for name, value in obj.items():
        read = must.get(name) or may.get(name)
        if read is None:
            raise InputError("is not known here", place=fields.pointer(name))
        message[name] = read(value, f"/{name}")
    if kind == "append_entries":
        _check_append(message)
    if kind == "apply_command_response" and not ("error" in message or {"log_idx", "log_term"} <= message.keys()):
        raise InputError("says neither where a command stands nor why not")
    return message


def _check_append(message: dict[str, Any]) -> None:
    is_snapshot = "serialized" in message
    if is_snapshot == ("entries" in message) or is_snapshot == ("prevLogIdx" in message):
        raise InputError("has to be either entries with what is before them, or a piece of a snapshot")
    if is_snapshot:
        return
    message.setdefault("prevLogTerm", None)
    entries = message["entries"]
    if not is_of_order(entries, message["prevLogIdx"]):
        raise InputError("are not in order", place="/entries")
    if any(term > message["term"] for _, _, term in entries):
        raise InputError("are of a later term than their leader", place="/entries")


def _voters(value: object, place: str) -> frozenset[int]:
    if not isinstance(value, list) or len(value) > MAX_VOTERS + 1:  # while one is exchanged
        raise InputError(wrong_kind("a list of voters", value), place=place)
    return frozenset(fields.node_id(each, f"{place}/{number}") for number, each in enumerate(value))


def _admitted(value: object, place: str) -> dict[int, str]:
    if not isinstance(value, dict) or len(value) > MAX_VOTERS + 1:
        raise InputError(wrong_kind("incarnations by voter", value), place=place)
    return {
        fields.node_id(int(node) if node.isdecimal() and len(node) <= 20 else node, place): _word(word, place)
        for node, word in value.items()
    }


def _standing(obj: dict[str, Any], genesis: str | None) -> tuple[Standing, str]:
    names = ("cluster", "node_id", "expected", "incarnation", "members", "admitted", "term")
    for name in names:
        if name not in obj:
            raise InputError("is missing", place=f"/{name}")
    standing = Standing(
        node_id=fields.node_id(obj["node_id"], "/node_id"),
        expected=_voters(obj["expected"], "/expected"),
        incarnation=_word(obj["incarnation"], "/incarnation"),
        members=_optional(_voters)(obj["members"], "/members"),
        genesis=genesis,
        admitted=_admitted(obj["admitted"], "/admitted"),
        term=_count(obj["term"], "/term"),
    )
    return standing, fields.cluster(obj["cluster"])
