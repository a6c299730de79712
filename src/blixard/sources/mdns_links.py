# SPDX-License-Identifier: MIT
"""The links of this host: their networks, and a socket that hears what is multicast there."""

from __future__ import annotations

import contextlib
import socket
import struct
from ipaddress import IPv4Network, IPv6Network, ip_network

import ifaddr

PORT = 5353
_GROUP_4, _GROUP_6 = "224.0.0.251", "ff02::fb"


def link_networks() -> frozenset[IPv4Network | IPv6Network]:
    """Return the networks of this host's links, without those of loopback and of the link-local addresses."""
    networks = set()
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            address = each.ip if isinstance(each.ip, str) else each.ip[0]
            network = ip_network(f"{address}/{each.network_prefix}", strict=False)
            if not network.is_loopback and not network.is_link_local:
                networks.add(network)
    return frozenset(networks)


def listening_socket() -> socket.socket:
    """Return a socket that hears the multicast DNS of all links in IPv4 and, where there is any, in IPv6.

    Others on this host listen at the port too; each of them hears everything.

    Raises:
        OSError: no link can be listened on.
    """
    heard = socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if heard.family == socket.AF_INET6:
            heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        heard.bind(("", PORT))
        heard.setblocking(False)
        for index, _ in socket.if_nameindex():
            _join(heard, index)
    except BaseException:
        heard.close()
        raise
    return heard


def _join(heard: socket.socket, index: int) -> None:
    # A link without an address, or without multicast, is left out.
    with contextlib.suppress(OSError):
        group = struct.pack("4s4si", socket.inet_aton(_GROUP_4), b"\0" * 4, index)
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    if heard.family == socket.AF_INET6:
        with contextlib.suppress(OSError):
            group = struct.pack("16si", socket.inet_pton(socket.AF_INET6, _GROUP_6), index)
            heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
