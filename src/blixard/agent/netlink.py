# SPDX-License-Identifier: MIT
"""What the kernel says of this host's network. Source: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h.

Netlink rather than /sys: a process in a network namespace of its own may see the host's links there.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from blixard.agent.interfaces import Assigned, DefaultRoute, IPAddress, Link, Network

_TIMEOUT = 2.0
_RECEIVE = 1 << 18
_MOST_ROUTES = 4096
"""Routes that are looked at: the default ones come first, and a router may have a million."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_SOL_NETLINK, _STRICT_CHECK = 270, 12

_NEW_LINK, _GET_LINK = 16, 18
_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, change
_IFNAME, _LINK_BELOW, _MASTER, _LINKINFO, _BELOW_NAMESPACE = 3, 5, 10, 18, 37
_INFO_KIND = 1
_IFF_LOOPBACK = 0x8

_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_SECONDARY_OR_TEMPORARY, _IS_DUPLICATE, _DEPRECATED = 0x01, 0x08, 0x20

_NEW_ROUTE, _GET_ROUTE = 24, 26
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, destination and source length, TOS, table, protocol, scope, type, flags
_OUT_LINK, _GATEWAY, _PRIORITY, _PREFERRED_SOURCE, _MULTIPATH = 4, 5, 6, 7, 9
_NEXT_HOP = struct.Struct("=HBBi")  # length, flags, hops, index
_MAIN_TABLE, _UNICAST = 254, 1

_VERSIONS = {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}


class _Message(NamedTuple):
    kind: int
    body: bytes


def read_network() -> Network:
    """Ask the kernel for links, addresses and default routes.

    Raises:
        OSError: it does not answer, or this is not Linux.
    """
    links = [_link(body) for body in _dump(_GET_LINK, _NEW_LINK, _LINK.pack(0, 0, 0, 0, 0))]
    addresses = [_address(body) for body in _dump(_GET_ADDRESS, _NEW_ADDRESS, _ADDRESS.pack(0, 0, 0, 0, 0))]
    return Network(
        links=tuple(links),
        addresses=tuple(each for each in addresses if each is not None),
        routes=tuple(route for family in _VERSIONS for route in _routes(family)),
    )


def _routes(family: int) -> Iterator[DefaultRoute]:
    request = _ROUTE.pack(family, 0, 0, 0, _MAIN_TABLE, 0, 0, 0, 0)
    try:
        for body in itertools.islice(_dump(_GET_ROUTE, _NEW_ROUTE, request), _MOST_ROUTES):
            yield from _default_routes(body)
    except FileNotFoundError:
        return  # the family has no such table


def _dump(asked: int, answered: int, payload: bytes) -> Iterator[bytes]:
    """Yield the body of each message that answers a request for all of something."""
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("this system has no netlink")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as kernel:
        kernel.settimeout(_TIMEOUT)
        with contextlib.suppress(OSError):  # before Linux 4.20 it answers with all tables
            kernel.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        kernel.send(_HEADER.pack(_HEADER.size + len(payload), asked, _REQUEST_DUMP, 1, 0) + payload)
        while True:
            for message in _messages(kernel.recv(_RECEIVE)):
                if message.kind == _DONE:
                    return
                if message.kind == _ERROR:
                    (code,) = struct.unpack_from("=i", message.body)
                    raise OSError(-code, "the kernel refuses to say")
                if message.kind == answered:
                    yield message.body


def _messages(data: bytes) -> Iterator[_Message]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield _Message(kind, data[_HEADER.size : length])
        data = data[_aligned(max(length, _HEADER.size)) :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[_aligned(max(length, 4)) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    said = _attributes(body[_LINK.size :])
    kind = _attributes(said.get(_LINKINFO, b"")).get(_INFO_KIND, b"")
    return Link(
        index=index,
        name=_text(said.get(_IFNAME, b"")),
        kind=_text(kind),
        is_loopback=bool(flags & _IFF_LOOPBACK),
        master=_number(said.get(_MASTER)),
        below=_number(said.get(_LINK_BELOW)),
        is_below_here=_BELOW_NAMESPACE not in said,
    )


def _address(body: bytes) -> Assigned | None:
    family, prefix, flags, _, index = _ADDRESS.unpack_from(body)
    said = _attributes(body[_ADDRESS.size :])
    # Of a point-to-point link, the other address is that of the other end.
    ip = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS)
    flags = _number(said.get(_IFA_FLAGS)) or flags
    if family not in _VERSIONS or ip is None or flags & _IS_DUPLICATE:
        return None
    is_second = bool(flags & _SECONDARY_OR_TEMPORARY)
    return Assigned(
        link=index,
        ip=ipaddress.ip_address(ip),
        prefix=prefix,
        is_minor=is_second or bool(flags & _DEPRECATED),
        is_temporary=is_second and _VERSIONS[family] == 6,
    )


def _default_routes(body: bytes) -> Iterator[DefaultRoute]:
    family, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    if length or table != _MAIN_TABLE or kind != _UNICAST or family not in _VERSIONS:
        return
    said = _attributes(body[_ROUTE.size :])
    metric = _number(said.get(_PRIORITY)) or 0
    source = _ip(said.get(_PREFERRED_SOURCE))
    for link, gateway in _hops(said):
        yield DefaultRoute(link=link, version=_VERSIONS[family], metric=metric, gateway=gateway, source=source)


def _hops(said: dict[int, bytes]) -> Iterator[tuple[int, IPAddress | None]]:
    link = _number(said.get(_OUT_LINK))
    if link is not None:
        yield link, _ip(said.get(_GATEWAY))
    hops = said.get(_MULTIPATH, b"")
    while len(hops) >= _NEXT_HOP.size:
        length, _, _, index = _NEXT_HOP.unpack_from(hops)
        yield index, _ip(_attributes(hops[_NEXT_HOP.size : length]).get(_GATEWAY))
        hops = hops[_aligned(max(length, _NEXT_HOP.size)) :]


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _number(data: bytes | None) -> int | None:
    return None if data is None else int.from_bytes(data[:4], sys.byteorder)


def _ip(data: bytes | None) -> IPAddress | None:
    return None if data is None else ipaddress.ip_address(data)
