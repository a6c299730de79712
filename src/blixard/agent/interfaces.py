# SPDX-License-Identifier: MIT
"""This host's addresses in the order in which peers should hear of them, judged by what the kernel says of its links.

The kind of a link, its ports and the default routes decide. A link's name is a hint where they leave it open.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

IPAddress = IPv4Address | IPv6Address

BRIDGE = "container or VM bridge"
INNER = "link to containers or VMs of this host"

_STACKED = frozenset({"vlan", "macvlan", "ipvlan", "macvtap", "ipvtap", "macsec"})
"""Kinds that lead where the link below them leads."""

_OUTWARD = frozenset({"bond", "team", "dsa", "batadv", "hsr", "ipoib", "wwan", "rmnet", "openvswitch"})
"""Kinds that are made of hardware, or stand for it."""

_STAND_INS = frozenset({"veth", "dummy", "ifb"})
"""Kinds that stand for hardware in a container or a laboratory, which has none."""

_TUNNELS = frozenset(
    {
        *("tun", "wireguard", "ovpn", "ppp", "vti", "vti6", "xfrm", "gtp"),
        *("ipip", "sit", "gre", "gretap", "ip6tnl", "ip6gre", "ip6gretap", "erspan", "vxlan", "geneve"),
    }
)

# Links of container and VM managers. Every Docker host has the same 172.17.0.1, so that such an address in a
# registry sends peers to themselves.
_INNER_NAMES = re.compile(
    r"docker|br-[0-9a-f]{12}|br-int|veth|ve-|vb-|virbr|vnet|vmnet|vboxnet|vmtap|vif[0-9]|cni|podman|nerdctl"
    r"|lxc|lxd|incus|waydroid|weave|flannel|cali|vxlan\.calico|tunl[0-9]|cilium|kube-|nodelocaldns|ovn-|ovs-system"
    r"|antrea-|genev_sys|mpqemubr"
)
_HARDWARE_NAMES = re.compile(r"e(n|th)|wl|ww|lan[0-9]|wan|ib[0-9]")
_TUNNEL_NAMES = re.compile(r"u?tun[0-9]|tap[0-9]|wg|ppp|tailscale|zt|ipsec")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A network interface.

    Attributes:
        index: its number.
        name: such as eth0.
        kind: what `ip -details link` calls it, such as bridge; empty for hardware, and where that is not known.
        is_loopback: nothing leaves the host through it.
        master: number of the link that it is a port of.
        below: number of the link that it stands on; of a veth, its other end.
        is_below_here: that link is in this network namespace.
    """

    index: int
    name: str
    kind: str = ""
    is_loopback: bool = False
    master: int | None = None
    below: int | None = None
    is_below_here: bool = True


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """An address of a link; `is_minor` if the kernel prefers another one of that link as the source."""

    link: int
    ip: IPAddress
    prefix: int
    is_minor: bool = False
    is_temporary: bool = False


@dataclass(frozen=True, kw_only=True)
class DefaultRoute:
    """A default route through a link; the kernel takes the one with the lowest metric."""

    link: int
    version: int
    metric: int = 0
    gateway: IPAddress | None = None
    source: IPAddress | None = None


@dataclass(frozen=True, kw_only=True)
class Network:
    """All that is known of this host's network."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Assigned, ...] = ()
    routes: tuple[DefaultRoute, ...] = ()


class Tier(NamedTuple):
    """How near an address is to where the peers are: the lowest comes first.

    Attributes:
        number: 0 where the default route leaves, 1 other ways out, 2 all else, 3 tunnels.
        metric: of the default route.
        place: among the addresses of a link, the one that the default route uses first.
    """

    number: int = 1
    metric: int = 0
    place: int = 0


@dataclass(frozen=True)
class LocalAddress:
    """An address of this host.

    Attributes:
        ip: the address.
        tier: where it comes among the others.
        inner: why it means nothing on other hosts, such as BRIDGE; empty if it may.
        is_temporary: it is replaced within a day (RFC 8981).
    """

    ip: IPAddress
    tier: Tier = field(default_factory=Tier)
    inner: str = ""
    is_temporary: bool = False


def judge(network: Network) -> list[LocalAddress]:
    """Return this host's addresses, each once: what a link that leads out says of it counts most."""
    judged = _Judge(network)
    best: dict[IPAddress, LocalAddress] = {}
    for assigned in network.addresses:
        found = judged.address(assigned)
        known = best.get(found.ip)
        if known is None or (bool(found.inner), found.tier) < (bool(known.inner), known.tier):
            best[found.ip] = found
    return sorted(best.values(), key=lambda each: (each.tier, each.ip.version, each.ip))


class _Judge:
    """Judges links, each by itself and by those that it stands on."""

    def __init__(self, network: Network) -> None:
        self._links = {link.index: link for link in network.links}
        self._routes = network.routes
        # A container's own links look like those to containers; a host has hardware besides.
        self._is_container = not any(
            link.kind == "" and not link.is_loopback and not _is_named_inner(link) for link in network.links
        )

    def address(self, assigned: Assigned) -> LocalAddress:
        link = self._links.get(assigned.link) or Link(index=assigned.link, name="")
        routes = [
            route
            for route in self._routes
            if route.version == assigned.ip.version and (route.link == link.index or route.source == assigned.ip)
        ]
        if routes:
            route = min(routes, key=lambda each: each.metric)
            tier = Tier(0, route.metric, _place(assigned, route))
        else:
            tier = Tier(self._number(link), 0, 1 if assigned.is_minor else 0)
        inner = "" if routes else self._inner(link)
        return LocalAddress(assigned.ip, tier, inner, assigned.is_temporary)

    def _number(self, link: Link) -> int:
        if link.kind in _TUNNELS or _TUNNEL_NAMES.match(link.name):
            return 3
        return 1 if self._leads_out(link) else 2

    def _has_default_route(self, link: Link) -> bool:
        return any(route.link == link.index for route in self._routes)

    def _inner(self, link: Link) -> str:
        """Return why the addresses of a link mean nothing on other hosts."""
        if link.is_loopback or self._has_default_route(link):
            return ""
        below = self._links.get(link.below) if link.below is not None and link.is_below_here else None
        if link.kind in _STACKED and below is not None:
            return self._inner(below)
        if link.kind == "bridge":
            return "" if self._leads_out(link) else BRIDGE
        if _is_named_inner(link) or (link.kind == "veth" and not self._leads_out(link)):
            return INNER
        return ""

    def _leads_out(self, link: Link, seen: Collection[int] = ()) -> bool:
        """Tell whether a link leads to other hosts, by itself or by those that it is made of."""
        if link.index in seen or link.is_loopback:
            return False
        seen = (*seen, link.index)
        if self._has_default_route(link):
            return True
        if _is_named_inner(link) and (link.kind != "bridge" or self._is_container):
            return False
        if link.kind == "bridge":
            return any(self._leads_out(port, seen) for port in self._links.values() if port.master == link.index)
        if link.kind in _STACKED:
            below = self._links.get(link.below or 0) if link.is_below_here else None
            return below is None or self._leads_out(below, seen)
        if link.kind == "veth" and (bridge := self._bridge_beyond(link)) is not None:
            return self._leads_out(bridge, seen)
        if link.kind == "" or link.kind in _OUTWARD:
            return True
        return self._is_container and (link.kind in _STAND_INS or _HARDWARE_NAMES.match(link.name) is not None)

    def _bridge_beyond(self, link: Link) -> Link | None:
        """Return the bridge of this host of which the other end of a pair of links is a port."""
        other = self._links.get(link.below or 0) if link.is_below_here else None
        return None if other is None else self._links.get(other.master or 0)


def _is_named_inner(link: Link) -> bool:
    return _INNER_NAMES.match(link.name) is not None


def _place(assigned: Assigned, route: DefaultRoute) -> int:
    if route.source == assigned.ip:
        return 0
    if assigned.is_minor:
        return 3
    own = ipaddress.ip_network(f"{assigned.ip}/{assigned.prefix}", strict=False)
    return 1 if route.gateway is not None and route.gateway in own else 2
