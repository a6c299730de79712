# SPDX-License-Identifier: MIT
"""The rule for each field of an entry, written once for registry, peers and configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from blixard.errors import InputError
from blixard.model.addresses import HostPort, SocketAddress, parse_relay_url
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_ADDRESSES, MAX_CLUSTER, MAX_NODE_ID, MAX_SOURCE
from blixard.model.words import EMPTY, MISSING, UNKNOWN, quoted, too_large, too_long, too_many, too_small, wrong_kind

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

DEFAULT_CLUSTER = "blixard"

_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of the given member names and list indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def at(place: str, parse: Callable[[object], _T], value: object) -> _T:
    """Return `parse(value)`; an InputError gets `place` before its own place."""
    try:
        return parse(value)
    except InputError as error:
        raise error.located(prefix=place) from None


def integer(value: object, place: str, *, least: int, most: int) -> int:
    """Return `value` when it is an integer from `least` to `most`; a bool or 1.0 is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(wrong_kind("an integer", value), place=place)
    if value < least:
        raise InputError(too_small(least, value), place=place)
    if value > most:
        raise InputError(too_large(most, value), place=place)
    return value


def text(value: object, place: str, *, most: int) -> str:
    """Return `value` when it is a string of 1 to `most` characters."""
    if not isinstance(value, str):
        raise InputError(wrong_kind("a string", value), place=place)
    if not value:
        raise InputError(EMPTY, place=place)
    if len(value) > most:
        raise InputError(too_long(most, len(value)), place=place)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError("is not Unicode: it has half of a surrogate pair in it", place=place)
    return value


def node_id(value: object, place: str) -> int:
    """Return a cluster node id: an integer from 1 to 2^64 - 1."""
    return integer(value, place, least=1, most=MAX_NODE_ID)


def cluster(value: object, place: str = "/cluster") -> str:
    """Return a cluster's name: 1 to 64 letters, digits, `.`, `_`, `-`, the first a letter or digit."""
    name = text(value, place, most=MAX_CLUSTER)
    if not _CLUSTER.fullmatch(name):
        raise InputError(
            f"{quoted(name)} is not a cluster name",
            place=place,
            mend="letters, digits, '.', '_' and '-', a letter or digit first",
        )
    return name


def source(value: object, place: str = "/source") -> str:
    """Return the word that says where a peer comes from."""
    return text(value, place, most=MAX_SOURCE)


def iroh_node_id(value: object, place: str = "/iroh_node_id") -> EndpointId:
    """Return the endpoint id that `value` writes in any form."""
    return at(place, EndpointId.parse, value)


def direct_addresses(value: object, place: str = "/direct_addresses") -> tuple[str, ...]:
    """Return the addresses in the given order and spelling, each one checked; empty means relay only."""
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise InputError(wrong_kind("a list", value), place=place)
    if len(value) > MAX_ADDRESSES:
        raise InputError(too_many(MAX_ADDRESSES, len(value)), place=place)
    for index, item in enumerate(value):
        at(f"{place}/{index}", SocketAddress.parse, item)
    return tuple(value)


def relay_url(value: object, place: str = "/relay_url") -> str | None:
    """Return the relay's URL, or None for a node without one."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(wrong_kind("a string or null", value), place=place)
    return at(place, parse_relay_url, value)


def address(value: object, place: str = "/address") -> str:
    """Return the `host:port` that the node listens on, as it is written."""
    at(place, HostPort.parse, value)
    return str(value)


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
            raise InputError(UNKNOWN, place=pointer(name))
    if domain is not None and obj["domain"] != domain:
        raise InputError(f"must be {quoted(domain)}", place="/domain")
    return obj
