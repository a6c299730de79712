# SPDX-License-Identifier: MIT
"""Registry files: one node's entry in one file."""

from __future__ import annotations

import os

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import loads, pretty_bytes
from blixard.errors import InputError
from blixard.model.entry import NodeRegistryEntry
from blixard.model.limits import MAX_REGISTRY_BYTES


def parse_registry(data: bytes, *, file: str | None = None) -> NodeRegistryEntry:
    """Read the entry that the bytes of a registry file hold.

    Raises:
        InputError: with `file` and the JSON pointer of the first thing that is wrong.
    """
    if len(data) > MAX_REGISTRY_BYTES:
        raise InputError(f"is too large: more than {MAX_REGISTRY_BYTES} bytes", file=file)
    obj = loads(data, file=file)
    try:
        return NodeRegistryEntry.from_json(obj)
    except InputError as error:
        raise error.located(file=file) from None


def format_registry(entry: NodeRegistryEntry) -> bytes:
    """Return the bytes of the registry file: the seed's order, two-space indent, final newline."""
    return pretty_bytes(entry.to_json())


def read_registry(path: str | os.PathLike[str]) -> NodeRegistryEntry:
    """Read a registry file; raises InputError as parse_registry and read_limited do."""
    return parse_registry(read_limited(path, MAX_REGISTRY_BYTES), file=os.fspath(path))


def write_registry(path: str | os.PathLike[str], entry: NodeRegistryEntry, *, mode: int = 0o644) -> None:
    """Write a registry file in one step; it holds nothing secret, so all may read it."""
    write_atomic(path, format_registry(entry), mode)
