# SPDX-License-Identifier: MIT
"""Mutations of valid input: of its bytes, and of its structure where it is JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

LARGEST = 256 * 1024

# Pieces that parsers stumble over.
TOKENS = [
    *(
        b"\0",
        b"\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        "٣".encode(),
        "ı".encode(),
        b"\x1b[",
    ),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\\ud800", b'"a":', b'{"a":', b"[[[["),
    *(b"NaN", b"Infinity", b"-0", b"1e999", b"1e-999", b"0.1", b"18446744073709551616", b"9" * 5000, b"null", b"true"),
    *(b"0.0.0.0", b"[::]", b"::ffff:1.2.3.4", b"%eth0", b":0", b":65536", b"255.255.255.255", b"@", b"//", b"http://"),
    *(b"=", b"==", b"endpoint", b"node", b"nodeticket:", b"A" * 44, b"f" * 64, b"a" * 52, b"a" * 300),
    *(b"1970-01-01T00:00:00Z", b"9999-12-31T23:59:59.999999999-23:59", b"0000-00-00T00:00:00Z", b"+24:00"),
]

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 1.0, 1e308, 2**53, 2**63, 2**64, 10**25, -(2**64)),
    *("", "x", "\0", "é", "😀", " ", "1", "null", "x" * 3000, [], {}, [[]], [None] * 70, {"": 0}, {"a": {"b": {}}}),
    *("1.2.3.4:5", "1.2.3.4:0", "0.0.0.0:1", "[fe80::1%eth0]:1", "host:1", "https://x", "https://u:p@x", "ftp://x"),
    *("base64-encoded-node-id", "A" * 43 + "=", "AQ" + "A" * 41 + "=", "00" * 32, "a" * 52, "f" * 64),
    *("2024-02-30T00:00:00Z", [0, 0], [1, 10**9], {"secs_since_epoch": 0, "nanos_since_epoch": 0}, "present", "absent"),
]

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Return `data` after one to four mutations; `others` are what pieces are taken from."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        data = rng.choice(MUTATIONS)(data, rng, others)
    return data[:LARGEST]


def _place(data: bytes, rng: random.Random) -> int:
    return rng.randint(0, len(data))


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data), start + int(rng.expovariate(1 / 8)) + 1)


def _flip_bit(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _set_byte(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at = _place(data, rng)
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _truncate(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return data[: _place(data, rng)]


def _double(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] + data[end:]


def _insert(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def _overwrite(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at = _place(data, rng)
    token = rng.choice(TOKENS)
    return data[:at] + token + data[at + len(token) :]


def _splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _repeat(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """Make it long: what is quadratic or deep shows only then."""
    if rng.random() > 0.02:
        return _double(data, rng, _others)
    start, end = _span(data, rng)
    piece = rng.choice([data[start:end] or b"x", rng.choice(TOKENS)])
    return data[:start] + piece * rng.randint(1, LARGEST // len(piece)) + data[end:]


def _restructure(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change the JSON value that `data` is; other data gets another mutation."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _splice(data, rng, others)
    parents = _containers(document)
    if not parents:
        return json.dumps(rng.choice(VALUES)).encode()
    _change(rng.choice(parents), parents, rng)
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):  # put into itself
        return data


def _containers(document: Any) -> list[Any]:
    found: list[Any] = []
    waiting = [document]
    while waiting and len(found) < 1000:
        value = waiting.pop()
        if isinstance(value, (dict, list)):
            found.append(value)
            waiting += value.values() if isinstance(value, dict) else value
    return found


def _change(container: Any, parents: list[Any], rng: random.Random) -> None:
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    value = rng.choice([*VALUES, rng.choice(parents)])
    act = rng.choice(("set", "set", "remove", "add"))
    if act == "add" or not keys:
        if isinstance(container, dict):
            container[rng.choice(["x", "", "a/b", "attestation", "state", "discovered_at"])] = value
        else:
            container.insert(rng.randint(0, len(container)), value)
    elif act == "set":
        container[rng.choice(keys)] = value
    else:
        del container[rng.choice(keys)]


MUTATIONS: list[Mutation] = [
    _flip_bit,
    _set_byte,
    _cut,
    _truncate,
    _double,
    _insert,
    _overwrite,
    _splice,
    _repeat,
    _restructure,
    _restructure,
]
