# SPDX-License-Identifier: MIT
"""A signed statement as a JSON object: of which kind it is, and that it has its members and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blixard.errors import InputError
from blixard.model import fields
from blixard.model.words import MISSING, UNKNOWN, quoted, wrong_kind


def members(obj: object, *, names: Sequence[str], domain: str | None = None) -> Mapping[str, object]:
    """Return `obj` when it is an object with exactly these members; a statement's own `domain` is one of them.

    Raises:
        InputError: it is not; with the place of the first thing that is wrong.
    """
    if not isinstance(obj, Mapping):
        raise InputError(wrong_kind("an object", obj))
    for name in names:
        if name not in obj:
            raise InputError(MISSING, place=f"/{name}")
    for name in sorted(obj):
        if name not in names:
            raise InputError(UNKNOWN, place=fields.pointer(name))
    if domain is not None and obj["domain"] != domain:
        raise InputError(f"must be {quoted(domain)}", place="/domain")
    return obj
