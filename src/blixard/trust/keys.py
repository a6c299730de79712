# SPDX-License-Identifier: MIT
"""Secret keys: made, kept in a file of their own, used for signing, and never shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

from blixard.documents.data_dir_files import KEY_FILE_NAME as KEY_FILE_NAME
from blixard.documents.files import create_atomic, read_limited
from blixard.errors import InputError
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_KEY_BYTES

_KEY_BYTES = 32

KEY_FORM = re.compile(rb"([0-9a-fA-F]{64})\n?")
"""What stands in a key file: the bytes as hex digits."""


class SecretKey:
    """An iroh secret key.

    No way of printing, copying or pickling it shows the key; `to_bytes` is the only way to its bytes.
    """

    __slots__ = ("__key",)

    def __init__(self, raw: bytes) -> None:
        """Make a key of its 32 bytes; raises InputError (which does not show them) for another length."""
        if len(raw) != _KEY_BYTES:
            raise InputError(f"a secret key has {_KEY_BYTES} bytes, not {len(raw)}")
        from blixard.model.bindings import iroh

        self.__key = iroh.SecretKey.from_bytes(bytes(raw))

    @classmethod
    def generate(cls) -> SecretKey:
        """Make a new key from the system's random numbers."""
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def from_bytes(cls, raw: bytes) -> SecretKey:
        """Make a key of its 32 bytes."""
        return cls(raw)

    def public(self) -> EndpointId:
        """Return the endpoint id that belongs to it."""
        return EndpointId(self.__key.public().to_bytes())

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte ed25519 signature of `data`."""
        return self.__key.sign(data).to_bytes()

    def to_bytes(self) -> bytes:
        """Return the 32 secret bytes, for the endpoint and the key file alone."""
        return self.__key.to_bytes()

    def __repr__(self) -> str:
        return "SecretKey(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not to be copied or pickled")


def verify(endpoint_id: EndpointId, data: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is that of `endpoint_id`'s key over `data`."""
    from blixard.model.bindings import iroh

    try:
        iroh.EndpointId.from_bytes(endpoint_id.raw).verify(data, iroh.Signature.from_bytes(signature))
    except iroh.IrohError:
        return False
    return True


def read_secret_key(path: str | os.PathLike[str], *, own: bool = False) -> SecretKey:
    """Read a key file: 64 hex digits and a newline, for its owner alone.

    Args:
        path: its file.
        own: take only a file of this user's that has no other name, and follow no link: for the key of a node.

    Raises:
        InputError: it is missing, is no such file, or others may use it. Its content is never shown.
    """
    data = read_limited(path, MAX_KEY_BYTES, forbidden=0o077, own=own)
    match = KEY_FORM.fullmatch(data)
    if match is None:
        raise InputError(
            f"is not a secret key (64 hex digits and a newline), but {len(data)} bytes of something else",
            file=os.fspath(path),
            mend="put the key back from a backup, or make a new one (`blixard key generate`)",
        )
    return SecretKey(bytes.fromhex(match[1].decode("ascii")))


def create_secret_key(path: str | os.PathLike[str]) -> SecretKey:
    """Make a new key and its file (0600, its folder 0700 when it has to be made), whole or not at all.

    Raises:
        InputError: there is something at `path` already, or it cannot be written.
    """
    key = SecretKey.generate()
    folder = Path(path).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be made: {reason}", file=str(folder)) from None
    create_atomic(path, key.to_bytes().hex().encode("ascii") + b"\n", 0o600)
    return key
