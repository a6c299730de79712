# SPDX-License-Identifier: MIT
"""The words in which a value of the wrong kind is refused, the same in parsers and schemas."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from blixard.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 64

MAX_NAMES = 20
"""Names in a line where each of them matters."""


def _kind_of(value: object) -> str:
    """Name the JSON kind of `value` with its article, for "must be …, not …"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number with a fraction"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return "something that JSON does not have"


def quoted(text: str) -> str:
    """Return `text` in double quotes, its middle cut out when it is longer than a line can bear."""
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 4 :]}"
    return f'"{text}"'


def named(names: Sequence[str], most: int = 5) -> str:
    """Return names for a line; of many the first ones, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(one_line, names[:most])) + more


def how_to_bind(code: int | None, flag: str, show: str) -> str:
    """Word the mend where an address and port cannot be had.

    Args:
        code: the number (errno) that the system gave, where it is known.
        flag: the option that says where to listen.
        show: the command that shows who has a port.
    """
    if code in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"this host has no such address (`ip address` shows those that it has): choose another one with {flag}"
    if code in (errno.EACCES, errno.EPERM):
        return f"this account may not have that port: choose one above 1023 with {flag}"
    return f"free the port (`{show}` shows who has it) or choose another address with {flag}"


def wrong_kind(wanted: str, value: object) -> str:
    """Word the refusal of a value of another kind than `wanted` (which carries its article)."""
    return f"must be {wanted}, not {_kind_of(value)}"


def too_small(least: int, value: object) -> str:
    """Word the refusal of a number below `least`."""
    return f"must be at least {least}, is {value}"


def too_large(most: int, value: object) -> str:
    """Word the refusal of a number above `most`."""
    return f"must be at most {most}, is {value}"


def too_many(most: int, number: int) -> str:
    """Word the refusal of a list of more than `most` items."""
    return f"must have at most {most} items, has {number}"


def too_long(most: int, length: int) -> str:
    """Word the refusal of a string of more than `most` characters."""
    return f"must have at most {most} characters, has {length}"


MISSING = "is missing"
UNKNOWN = "is not a known field here"
EMPTY = "must not be empty"
