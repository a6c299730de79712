# SPDX-License-Identifier: MIT
"""JSON and its bytes: parsed as RFC 8259 has it and no more, written in canonical form or for people, and digested.

What Python's parser lets pass is refused, with its place.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import dataclass
from typing import Any, cast

from blixard.errors import InputError
from blixard.model.fields import pointer
from blixard.model.limits import MAX_DEPTH, MAX_INTEGER_DIGITS
from blixard.model.words import quoted


@dataclass(frozen=True)
class _Refused:
    """Stands in the parsed document where something was refused, until the walk finds its pointer."""

    reason: str


def loads(data: bytes, *, file: str | None = None) -> object:
    """Parse one JSON document in UTF-8.

    Raises:
        InputError: it is empty, cut off, not UTF-8, begins with a byte order mark, is nested deeper than
            MAX_DEPTH, or has duplicate names, NaN or Infinity, integers of more than 20 digits, numbers
            beyond a double, lone surrogates, or text after its end. The place is a JSON pointer where there
            is one, else line and column are in the reason.
    """
    try:
        text = _decode(data)
        document = _parse(text)
        # In most documents a walk that keeps the place of everything would find nothing. Text that was UTF-8 has half
        # of a surrogate pair only where it is escaped.
        if "\\u" in text or not _is_plain(document):
            _check(document)
    except InputError as error:
        raise error.located(file=file) from None
    return document


def _decode(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise InputError("begins with a byte order mark", mend="save it as UTF-8 without one")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: byte {error.start} cannot be read") from None
    if not text.strip():
        raise InputError("is empty")
    return text


def _parse(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise InputError(_too_deep()) from None
    except json.JSONDecodeError as error:
        if conflict := _CONFLICT.search(text):
            line = text.count("\n", 0, conflict.start()) + 1
            mend = "settle it in version control, then run this again"
            raise InputError(f"has the marks of a merge conflict in it (line {line})", mend=mend) from None
        if _cut_off(text[error.pos :], error.msg):
            raise InputError(f"is not JSON: it ends in the middle, at line {error.lineno}; cut off?") from None
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"is not JSON: {error.msg.rstrip(': ')} ({place})") from None


# Each side of a conflict begins with seven of one sign; git has a space and a name after the outer ones.
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: |$)|^={7}$", re.MULTILINE)


def _cut_off(rest: str, message: str) -> bool:
    return message.startswith("Unterminated string") or any(
        word.startswith(rest.strip()) for word in ("null", "true", "false", "-")
    )


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                members[name] = _Refused("stands there twice in one object")
            seen.add(name)
    return members


def _integer(digits: str) -> object:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        return _Refused(f"is an integer of more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> object:
    number = float(digits)
    return number if math.isfinite(number) else _Refused("is a number beyond what a double can hold")


def _constant(name: str) -> object:
    return _Refused(f"is {name}, which JSON does not have")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _too_deep() -> str:
    return f"is nested deeper than {MAX_DEPTH} levels"


def _is_plain(document: object) -> bool:
    """Tell whether nothing was refused, and nothing can be nested too deep."""
    level = [document]
    for _ in range(MAX_DEPTH):
        if not level or _Refused in map(type, level):
            return not level
        nested = [value.values() if isinstance(value, dict) else value for value in level if isinstance(value, _NESTED)]
        level = [*itertools.chain.from_iterable(nested)]
    return not level


_NESTED = (dict, list)


def _check(document: object) -> None:
    """Walk the document without recursion and refuse what the parser could not refuse with its place."""
    waiting: list[tuple[object, tuple[str | int, ...]]] = [(document, ())]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str):
            _check_string(value, path)
        elif isinstance(value, _Refused):
            raise InputError(value.reason, place=pointer(*path))
        elif isinstance(value, (dict, list)):
            if len(path) >= MAX_DEPTH:
                raise InputError(_too_deep(), place=pointer(*path))
            waiting += reversed(_children(value, path))


def _children(
    value: dict[str, object] | list[object], path: tuple[str | int, ...]
) -> list[tuple[object, tuple[str | int, ...]]]:
    if isinstance(value, list):
        return [(item, (*path, index)) for index, item in enumerate(value)]
    for name in value:
        _check_string(name, path)
    return [(item, (*path, name)) for name, item in value.items()]


def _check_string(text: str, path: tuple[str | int, ...]) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
        reason = f"{quoted(escaped)} has half of a surrogate pair in it"
        raise InputError(reason, place=pointer(*path)) from None


def canonical_bytes(obj: object) -> bytes:
    """Return the RFC 8785 canonical JSON of `obj`.

    Raises:
        InputError: it holds an integer beyond 2^53 - 1, NaN, Infinity or text that is no Unicode.
    """
    import rfc8785

    try:
        return rfc8785.dumps(cast("Any", obj))  # it refuses other kinds of values itself
    except rfc8785.CanonicalizationError as error:
        raise InputError(f"has no canonical form: {error}") from None


def sha256(data: bytes) -> bytes:
    """Return the 32 bytes of the SHA-256 of `data`."""
    import hashlib  # not paid for by a host that only parses

    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` in 64 lower-case hex digits."""
    return sha256(data).hex()


def pretty_bytes(obj: object) -> bytes:
    """Return `obj` as it is written to disk: two-space indent, UTF-8 unescaped, final newline, order kept."""
    return (json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
