# SPDX-License-Identifier: MIT
"""Strict JSON: what RFC 8259 has is read, what Python lets pass beyond it is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from tests.unit.model.strategies import json_values

from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.model.limits import MAX_DEPTH


@given(json_values)
def test_any_json_value_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("data", "place", "reason"),
    [
        (b"", "", "is empty"),
        (b" \n\t", "", "is empty"),
        (b"\xef\xbb\xbf{}", "", "byte order mark"),
        (b'{"a": "\xff"}', "", "not UTF-8: byte 7"),
        ("{}".encode("utf-16"), "", "not UTF-8"),
        (b"\0", "", "not JSON"),
        (b'{"a": 1', "", "ends in the middle, at line 1"),
        (b'{"a":\n "b', "", "ends in the middle, at line 2"),
        (b"[1, 2,", "", "ends in the middle"),
        (b"{'a': 1}", "", r"line 1, column 2"),
        (b'{"a": 1,}', "", r"not JSON: .*line 1, column"),
        (b"[1]\n[2]", "", r"Extra data \(line 2, column 1\)"),
        (b"[01]", "", "not JSON"),
        (b'["\n"]', "", "not JSON"),
        (b'{"a": {"b": NaN}}', "/a/b", "is NaN"),
        (b"[1, -Infinity]", "/1", "is -Infinity"),
        (b"[1e999]", "/0", "beyond what a double can hold"),
        (b"[123456789012345678901]", "/0", "more than 20 digits"),
        (b"[-" + b"9" * 5000 + b"]", "/0", "more than 20 digits"),
        (b'{"a": 1, "a": 2}', "/a", "twice in one object"),
        (b'[{"x": {"a~b/c": 1, "a~b/c": 1}}]', "/0/x/a~0b~1c", "twice in one object"),
        (b'{"a": {"b": 1, "b": {}}, "a": 1}', "/a", "twice in one object"),
        (b'{"a": "\\ud800"}', "/a", "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "", "half of a surrogate pair"),
        (b"[" * 100_000, "", "nested deeper than 16"),
        (b"[" * 100_000 + b"]" * 100_000, "", "nested deeper than 16"),
        (b'{"a":' * 100_000, "", "nested deeper than 16"),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else None,
)
def test_what_is_no_strict_json_is_refused_with_its_place(data: bytes, place: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        loads(data, file="some/file.json")
    assert caught.value.place == place
    assert str(caught.value).startswith("some/file.json: ")
    assert len(str(caught.value)) < 600


def test_nesting_is_taken_up_to_its_limit() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(InputError, match="nested deeper") as caught:
        loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert caught.value.place == "/0" * MAX_DEPTH


def test_integers_are_taken_up_to_twenty_digits() -> None:
    assert loads(b"[18446744073709551615, -99999999999999999999]") == [2**64 - 1, -(10**20) + 1]


def test_pairs_of_surrogates_are_one_character() -> None:
    assert loads(b'["\\ud83d\\ude00"]') == ["😀"]
