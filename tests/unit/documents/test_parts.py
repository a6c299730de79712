# SPDX-License-Identifier: MIT
"""Large documents in parts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.documents.parts import MAX_PART, MAX_PARTS, join, read_index, split, write_index
from blixard.errors import InputError


def document(entries: int, changed: int | None = None) -> bytes:
    """A list of entries as peers files have it, of which one differs."""
    listed = [
        f'  {{\n    "node_id": {n},\n    "iroh_node_id": "{hashlib.sha256(str(n).encode()).hexdigest()}"'
        + (',\n    "x": 1' if n == changed else "")
        + "\n  }"
        for n in range(entries)
    ]
    return ("[\n" + ",\n".join(listed) + "\n]\n").encode()


@given(st.binary(max_size=2000))
def test_the_parts_of_a_document_joined_are_the_document(data: bytes) -> None:
    digests, parts = split(data)
    assert join(digests, parts, len(data)) == data
    assert all(hashlib.sha256(part).hexdigest() == digest for digest, part in parts.items())


@pytest.mark.parametrize("data", [b"", b"x" * (3 * MAX_PART), b"},\n" * MAX_PART, b"a" * MAX_PART + b"},\n" + b"b"])
def test_no_part_is_larger_than_a_value_may_be(data: bytes) -> None:
    digests, parts = split(data)
    assert join(digests, parts, len(data)) == data
    assert all(0 < len(part) <= MAX_PART for part in parts.values())


def test_one_entry_that_changed_is_one_part_that_changed() -> None:
    before, _ = split(document(5000))
    after, _ = split(document(5000, changed=2500))
    assert len(before) > 10
    assert 1 <= len(set(after) - set(before)) <= 2


def test_an_index_names_its_parts_and_any_other_document_is_there_as_a_whole() -> None:
    digests, _ = split(document(1000))
    assert read_index(write_index(digests)) == digests
    assert read_index(b"[]") is None
    assert read_index(b'{"cluster": 1}') is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"parts": 1}', "is no list"),
        (b'{"parts": ["x"]}', "is no SHA-256"),
        (b'{"parts": [1]}', "is no SHA-256"),
        (b'{"parts": [], "more": 1}', "/more"),
        (b'{"parts": [', "is not JSON"),
        (b'{"parts": [' + b'"x",' * MAX_PARTS + b'"x"]}', "is no list of at most"),
    ],
)
def test_an_index_that_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_index(data)


def test_what_the_parts_come_to_has_a_limit() -> None:
    digests, parts = split(document(100))
    with pytest.raises(InputError, match="too large"):
        join(digests * 100, parts, 100_000)
