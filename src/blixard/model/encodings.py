# SPDX-License-Identifier: MIT
"""Strict base64 and base32: one text for one value of bytes, everything else refused."""

from __future__ import annotations

import base64
import binascii


def decode_base64(text: str) -> bytes | None:
    """Decode padded standard base64; None unless `text` is exactly what encoding the result gives.

    The comparison refuses what Python's decoder lets pass: set trailing bits, characters after the padding.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if encode_base64(raw) == text else None


def encode_base64(raw: bytes) -> str:
    """Return `raw` as padded standard base64."""
    return base64.b64encode(raw).decode("ascii")


def decode_base32(text: str) -> bytes | None:
    """Decode base32 without padding, in one case throughout; None unless it is exactly that."""
    upper = text.upper()
    if text not in (upper, text.lower()) or not text.isascii():
        return None
    try:
        raw = base64.b32decode(upper + "=" * (-len(upper) % 8))
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b32encode(raw).decode("ascii").rstrip("=") == upper else None


def encode_base32(raw: bytes) -> str:
    """Return `raw` as lower-case base32 without padding."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
