# SPDX-License-Identifier: MIT
"""A large document in parts, for places that take only small values: the index names the parts by their digests.

A part ends where its content says so, and not after so many bytes: where one entry of a long list changes, all parts
but one are as they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from blixard.documents.json_bytes import canonical_bytes, loads, sha256, sha256_hex
from blixard.errors import InputError
from blixard.model import fields

MAX_PART = 256 * 1024
"""Bytes of a part; etcd takes 1.5 MiB in one request."""

MAX_PARTS = 4096
"""Parts of a document: far more than the largest has."""

_MEMBER = "parts"
_END_OF_ENTRY = b"},\n"
_ONE_IN = 128  # entries that a part has on average
_DIGEST = re.compile(r"[0-9a-f]{64}")


def split(data: bytes) -> tuple[list[str], dict[str, bytes]]:
    """Return the digests of a document's parts, in order, and the parts by their digests; joined they are it."""
    digests, parts = [], {}
    for part in _cut(data):
        digests.append(sha256_hex(part))
        parts[digests[-1]] = part
    return digests, parts


def write_index(digests: list[str]) -> bytes:
    """Return the index of parts in this order."""
    return canonical_bytes({_MEMBER: digests})


def read_index(data: bytes) -> list[str] | None:
    """Return the digests that an index names; None for a document that is there as a whole.

    Raises:
        InputError: it is an object and no index.
    """
    if not data.lstrip(b" \t\r\n").startswith(b'{"' + _MEMBER.encode() + b'"'):
        return None
    members = fields.members(loads(data), names=(_MEMBER,))
    listed = members[_MEMBER]
    if not isinstance(listed, list) or len(listed) > MAX_PARTS:
        raise InputError(f"is no list of at most {MAX_PARTS} digests", place=f"/{_MEMBER}")
    for index, each in enumerate(listed):
        if not isinstance(each, str) or not _DIGEST.fullmatch(each):
            raise InputError("is no SHA-256 in hex", place=f"/{_MEMBER}/{index}")
    return listed


def join(digests: list[str], parts: Mapping[str, bytes], most: int) -> bytes:
    """Return the document of these parts.

    Raises:
        InputError: it has more than `most` bytes.
    """
    if sum(len(parts[digest]) for digest in digests) > most:
        raise InputError(f"is too large: more than {most} bytes")
    return b"".join(parts[digest] for digest in digests)


def _cut(data: bytes) -> Iterator[bytes]:
    start = end = 0
    while end < len(data):
        before, end = end, data.find(_END_OF_ENTRY, end) + len(_END_OF_ENTRY)
        if end < len(_END_OF_ENTRY) or end > len(data):
            end = len(data)
        if end - start > MAX_PART and before > start:
            yield data[start:before]
            start = before
        while end - start > MAX_PART:
            yield data[start : start + MAX_PART]
            start += MAX_PART
        if sha256(data[before:end])[0] < 256 // _ONE_IN:
            yield data[start:end]
            start = end
    if start < len(data):
        yield data[start:]
