# SPDX-License-Identifier: MIT
"""The schemas of the documents, and validation against them in the parsers' own words.

A document has one rule book: the schema is the contract for people and for Ansible, the typed parsers add what a
schema cannot say. jsonschema takes a quarter of a second to import and comes with the `controller` extra
only, so hosts parse and the controller validates.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.files import read_limited
from blixard.documents.json_bytes import loads
from blixard.documents.peers_file import parse_peers
from blixard.documents.registry_file import parse_registry
from blixard.errors import InputError
from blixard.model import words
from blixard.model.fields import pointer
from blixard.model.limits import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from jsonschema import ValidationError
    from referencing import Registry

NAMES = (
    "node-registry",
    "record-entry",
    "discovery-peers",
    "node-config",
    "connectivity-report",
    "node-status",
    "discovery-findings",
    "record-manifest",
    "publication-report",
    "live-nodes",
    "raft-status",
    "raft-answer",
)
SUFFIX = ".schema.json"

_PARSERS: dict[str, Callable[..., object]] = {"node-registry": parse_registry, "discovery-peers": parse_peers}

_KINDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}


def load_schema(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a schema: one of NAMES, or a schema file by its path.

    Raises:
        InputError: it is neither, or the file holds no JSON object.
    """
    if name in NAMES:
        return _own_schema(str(name))
    path = Path(name)
    if path.suffix != ".json":
        raise InputError(f"no schema is called {words.quoted(str(name))}", mend=f"known are {', '.join(NAMES)}")
    schema = loads(read_limited(path, MAX_CONFIG_BYTES), file=str(path))
    if not isinstance(schema, dict):
        raise InputError(words.wrong_kind("an object", schema), file=str(path))
    return schema


def validate(name: str | os.PathLike[str], obj: object, file: str | None = None) -> None:
    """Hold a parsed JSON document against the schema `name`.

    Raises:
        InputError: with the first thing that is wrong, by its place in the document; or the schema is unusable.
    """
    import jsonschema
    import referencing.exceptions

    schema = load_schema(name)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        found = list(jsonschema.Draft202012Validator(schema, registry=_own_schemas()).iter_errors(obj))
    except (jsonschema.SchemaError, referencing.exceptions.Unresolvable) as error:
        raise InputError(f"is not a usable schema: {error}", file=str(name)) from None
    if found:
        found.sort(key=lambda error: error.validator == "pattern")  # "must not be empty" says more than no match
        path, reason = min(map(_explain, found), key=_by_place)
        raise InputError(reason, file=file, place=pointer(*path))


def validate_text(name: str | os.PathLike[str], data: bytes, file: str | None = None) -> None:
    """Hold the bytes of a document against its typed parser where there is one, and against the schema `name`.

    Raises:
        InputError: it is no JSON, breaks the schema, or breaks a rule that only the parser knows.
    """
    parse = _PARSERS.get(str(name))
    if parse is not None:
        parse(data, file=file)  # first, since its messages also say how to mend what is wrong
    validate(name, loads(data, file=file), file)


@functools.cache
def _own_schemas() -> Registry[Any]:
    """Return what a schema may refer to by its $id: our own, and nothing out of a network."""
    import referencing

    resources = ((f"urn:blixard:schema:{name}", _own_schema(name)) for name in NAMES)
    return referencing.Registry().with_contents(resources)


@functools.cache
def _own_schema(name: str) -> dict[str, Any]:
    text = importlib.resources.files("blixard.schemas").joinpath(name + SUFFIX).read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _by_place(error: tuple[tuple[str | int, ...], str]) -> list[tuple[bool, int, str]]:
    path, _ = error
    return [(isinstance(step, str), step if isinstance(step, int) else 0, str(step)) for step in path]


def _explain(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Return the path of what is wrong and the reason."""
    path = tuple(error.absolute_path)
    wanted: Any = error.validator_value
    found: Any = error.instance
    schema: Any = error.schema
    if error.validator == "required":
        return (*path, next(name for name in wanted if name not in found)), words.MISSING
    if error.validator == "additionalProperties" and wanted is False:
        return (*path, min(name for name in found if name not in schema.get("properties", {}))), words.UNKNOWN
    if error.validator == "pattern":
        return path, _no_match(wanted, found, schema.get("title"))
    reason = _REASONS.get(str(error.validator))
    return path, reason(wanted, found) if reason else error.message


def _no_match(pattern: str, found: str, title: str | None) -> str:
    if not title:
        return f"{words.quoted(found)} does not match {pattern}"
    article = "an" if title[0] in "aeiouAEIOUR" else "a"  # "an RFC 3339 time"
    return f"{words.quoted(found)} is not {article} {title}"


def _wrong_kind(wanted: Any, found: Any) -> str:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    return words.wrong_kind(" or ".join(_KINDS[kind] for kind in kinds), found)


def _too_few(wanted: int, found: Any) -> str:
    return words.EMPTY if wanted == 1 else f"must have at least {wanted} items, has {len(found)}"


def _one_of(wanted: Any, _found: Any) -> str:
    return f"must be one of {', '.join(item if isinstance(item, str) else json.dumps(item) for item in wanted)}"


_REASONS: dict[str, Callable[[Any, Any], str]] = {
    "type": _wrong_kind,
    "minimum": words.too_small,
    "maximum": words.too_large,
    "minLength": _too_few,
    "minItems": _too_few,
    "maxLength": lambda wanted, found: words.too_long(wanted, len(found)),
    "maxItems": lambda wanted, found: words.too_many(wanted, len(found)),
    "enum": _one_of,
}
