# SPDX-License-Identifier: MIT
"""How far the network of an address reaches: what a server on the internet says must not lead into the one here."""

from __future__ import annotations

import enum
import ipaddress
from ipaddress import IPv4Address, IPv6Address

_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_V4_AT_THE_END = (ipaddress.IPv6Network("64:ff9b::/96"), _LOCAL_NAT64, ipaddress.IPv6Network("::/96"))
"""NAT64 (RFC 6052, RFC 8215), and the form that is out of use: they stand for the IPv4 address at their end."""

_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
"""Where clouds answer machines about themselves, keys included, outside 169.254.0.0/16."""


class Network(enum.IntEnum):
    """The narrowest first."""

    LOOPBACK = 0
    LINK_LOCAL = 1
    """Also where clouds answer machines about themselves."""
    PRIVATE = 2
    """All that is neither of the others: private, shared, reserved."""
    GLOBAL = 3


def network_of(address: str) -> Network:
    """Return the network of an IP address, of IPv6 also with a zone; one that carries an IPv4 address is in its."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return min(map(_of, (ip, *_carried(ip))))


def may_lead(start: Network, to: Network) -> bool:
    """Tell whether a server in `start` may send a client on `to` there: never into a narrower network than its own.

    To link-local addresses only from one: nothing but a cloud's metadata is there to be asked.
    """
    return to == start or (to > start and to is not Network.LINK_LOCAL)


def _of(ip: IPv4Address | IPv6Address) -> Network:
    if ip.is_loopback or ip.is_unspecified:  # 0.0.0.0 and :: connect to this machine
        return Network.LOOPBACK
    if ip.is_link_local or ip in _METADATA:
        return Network.LINK_LOCAL
    is_global = ip.is_global and not ip.is_multicast
    if ip.version == 6:  # which older versions of Python take for global
        is_global = is_global and not ip.is_site_local and ip not in _LOCAL_NAT64
    return Network.GLOBAL if is_global else Network.PRIVATE


def _carried(ip: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address may be translated to."""
    if ip.version == 4:
        return []
    found = [ip.sixtofour, *(ip.teredo or ())]
    if int(ip) > 1 and any(ip in network for network in _V4_AT_THE_END):
        found.append(IPv4Address(int(ip) & 0xFFFF_FFFF))
    return [each for each in found if each is not None]
