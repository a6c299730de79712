# SPDX-License-Identifier: MIT
"""The two byte forms of a JSON value: the canonical one that is signed, and the one that stands on disk."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from blixard.errors import InputError


def canonical_bytes(obj: object) -> bytes:
    """Return the RFC 8785 canonical JSON of `obj`.

    Raises:
        InputError: it holds an integer beyond 2^53 - 1, NaN, Infinity or text that is no Unicode.
    """
    import rfc8785

    try:
        return rfc8785.dumps(cast("Any", obj))  # what it cannot take it refuses
    except rfc8785.CanonicalizationError as error:
        raise InputError(f"has no canonical form: {error}") from None


def sha256(data: bytes) -> bytes:
    """Return the 32 bytes of the SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` in 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def pretty_bytes(obj: object) -> bytes:
    """Return `obj` as it is written to disk: two-space indent, UTF-8 unescaped, final newline, order kept."""
    return (json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
