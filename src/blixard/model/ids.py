# SPDX-License-Identifier: MIT
"""Iroh endpoint ids: ed25519 public keys in every form that people and files write them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from blixard.errors import InputError
from blixard.model.encodings import decode_base32, decode_base64, encode_base64
from blixard.model.words import quoted, wrong_kind

ID_BYTES = 32

_FIELD_PRIME = 2**255 - 19
_SIGN_BIT = 1 << 255

# The y coordinates of the eight points whose order divides 8; the sign of x tells the points of a pair apart.
# Whoever lists one as an id can sign for it without any secret, so it names nobody.
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BASE32_LENGTH = 52
_PLACEHOLDER = re.compile(r"node[-_ ]?id|example|placeholder|change[-_ ]?me|your|<.*>|xxx", re.IGNORECASE)
_FORMS = "44 characters of base64, 64 hex digits or 52 characters of base32"
_MEND = "put the node's real id there (`blixard key show`)"


@functools.lru_cache(maxsize=1024)
def _fault(raw: bytes) -> str | None:
    """Say what is wrong with 32 bytes as a public key; None when they are one."""
    y = int.from_bytes(raw, "little") & ~_SIGN_BIT
    if y % _FIELD_PRIME in _SMALL_ORDER_Y:
        return "is a weak key (a point of small order): anyone could sign for it"
    if y >= _FIELD_PRIME:
        return "is not the canonical form of a key (y is not below 2^255 - 19)"
    return None if _on_curve(raw) else "is not a key: no point of the ed25519 curve has this encoding"


def _on_curve(raw: bytes) -> bool:
    from blixard.model.bindings import iroh

    try:
        iroh.EndpointId.from_bytes(raw)
    except iroh.IrohError:
        return False
    return True


@dataclass(frozen=True, order=True)
class EndpointId:
    """The 32-byte public key that names an Iroh endpoint; only good keys can be made into one.

    Args:
        raw: the compressed Edwards point, 32 bytes (RFC 8032).

    Raises:
        InputError: the length is wrong, or the key is weak, non-canonical or not on the curve.
    """

    raw: bytes

    __slots__ = ("raw",)

    def __post_init__(self) -> None:
        if len(self.raw) != ID_BYTES:
            raise InputError(f"is {len(self.raw)} bytes long; an Iroh node id has {ID_BYTES}", mend=_MEND)
        fault = _fault(self.raw)
        if fault is not None:
            raise InputError(f"the Iroh node id {self.raw.hex()} {fault}", mend=_MEND)

    def __reduce__(self) -> tuple[type[EndpointId], tuple[bytes]]:
        return EndpointId, (self.raw,)

    @classmethod
    def from_bytes(cls, raw: bytes) -> EndpointId:
        """Make an id of the 32 bytes of a public key; raises InputError as the class does."""
        return cls(bytes(raw))

    @classmethod
    def parse(cls, text: object) -> EndpointId:
        """Read an id from padded standard base64, 64 hex digits in either case, or 52-character base32.

        Raises:
            InputError: another form, or a key that the class refuses.
        """
        if not isinstance(text, str):
            raise InputError(wrong_kind("a string", text))
        return _parse(text)

    @property
    def base64(self) -> str:
        """Padded standard base64, 44 characters: the form for files."""
        return encode_base64(self.raw)

    @property
    def hex(self) -> str:
        """64 lower-case hex digits: the form for people."""
        return self.raw.hex()

    @property
    def short(self) -> str:
        """The first 10 hex digits, for tables and logs."""
        return self.raw[:5].hex()

    def __str__(self) -> str:
        return self.hex

    def __repr__(self) -> str:
        return f"EndpointId({self.hex})"


@functools.lru_cache(maxsize=65536)
def _parse(text: str) -> EndpointId:
    raw = _decode(text)
    if raw is None or _looks_like_ticket(text):
        raise InputError(_not_an_id(text), mend=_MEND)
    return EndpointId(raw)


def _decode(text: str) -> bytes | None:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if len(text) == _BASE32_LENGTH:
        return decode_base32(text)
    return decode_base64(text) or None


def _looks_like_ticket(text: str) -> bool:
    return text.startswith(("endpoint", "node")) and len(text) > _BASE32_LENGTH


def _not_an_id(text: str) -> str:
    if _looks_like_ticket(text):
        return f"{quoted(text)} is a ticket, not an Iroh node id"
    if _PLACEHOLDER.search(text):
        return f"{quoted(text)} is a placeholder, not an Iroh node id: that is 32 bytes, written as {_FORMS}"
    return f"{quoted(text)} is not an Iroh node id: that is 32 bytes, written as {_FORMS}"
