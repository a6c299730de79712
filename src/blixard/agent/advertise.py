# SPDX-License-Identifier: MIT
"""Which of its addresses a node tells others about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from blixard.agent.interfaces import Assigned, IPAddress, Link, LocalAddress, judge
from blixard.agent.interfaces import Network as HostNetwork
from blixard.agent.netlink import read_network
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.limits import MAX_ADDRESSES

Network = IPv4Network | IPv6Network


def parse_network(text: object, place: str = "") -> Network:
    """Parse a CIDR such as `10.0.0.0/8` or `fd00::/8`; host bits may be set, as in `10.1.2.3/8`."""
    if not isinstance(text, str):
        raise InputError("not a network", place=place, mend="write a CIDR such as 10.0.0.0/8")
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InputError(f"{text!r} is not a network", place=place, mend="write a CIDR such as 10.0.0.0/8") from None


@dataclass(frozen=True, kw_only=True)
class AdvertisePolicy:
    """What the operator said about advertised addresses.

    Args:
        include: if given, only addresses inside one of these networks are told.
        exclude: addresses inside one of these are never told, even if included.
        extra: addresses told in any case, such as the public side of a NAT.
        bridges: also tell addresses of container and VM bridges, and of other links that stay on this host.
    """

    include: tuple[Network, ...] = ()
    exclude: tuple[Network, ...] = ()
    extra: tuple[SocketAddress, ...] = ()
    bridges: bool = False


@dataclass(frozen=True)
class AddressDecision:
    """One candidate address and why it is told to others or kept back."""

    address: SocketAddress
    advertised: bool
    reason: str

    def to_json(self) -> dict[str, object]:
        """Return it for reports."""
        return {"address": str(self.address), "advertised": self.advertised, "reason": self.reason}


@dataclass(frozen=True)
class Candidate:
    """An address at which a socket can be reached, and what this host's network says of it."""

    address: SocketAddress
    local: LocalAddress


_LOOPBACK = "loopback"
_LOOPBACK_ALONE = "loopback, and there is nothing else"


def decide(candidates: Iterable[Candidate], policy: AdvertisePolicy, *, version: int = 4) -> list[AddressDecision]:
    """Judge every candidate, extra addresses first, then as near to the peers as their links are.

    The same candidates in any order give the same list. Loopback is told only when there is nothing else, so that
    three nodes on one machine find each other and a node with a real address never sends its peers to themselves.

    Args:
        candidates: the addresses, each once.
        policy: the operator's word.
        version: of IP, the one whose addresses come first.
    """
    rest = sorted({each for each in candidates if each.address not in policy.extra}, key=partial(_order, version))
    decisions = [AddressDecision(address, True, "extra") for address in dict.fromkeys(policy.extra)]
    decisions += [_decide_on(each, policy, loopback=False) for each in rest]
    if not any(decision.advertised for decision in decisions):
        decisions = [_decide_on(each, policy, loopback=True) for each in rest]
    return _bounded(decisions)


def _order(version: int, candidate: Candidate) -> tuple[object, ...]:
    number, metric, place = candidate.local.tier
    return number, candidate.address.ip.version != version, metric, place, candidate.address


def _bounded(decisions: list[AddressDecision]) -> list[AddressDecision]:
    """Keep back what an entry has no room for: some hosts carry every service address of their cluster."""
    surplus = {decision.address for decision in [each for each in decisions if each.advertised][MAX_ADDRESSES:]}
    reason = f"more than {MAX_ADDRESSES} addresses"
    return [AddressDecision(each.address, False, reason) if each.address in surplus else each for each in decisions]


def _decide_on(candidate: Candidate, policy: AdvertisePolicy, *, loopback: bool) -> AddressDecision:
    address, local = candidate.address, candidate.local
    excluded = next((network for network in policy.exclude if address.ip in network), None)
    if excluded:
        return AddressDecision(address, False, f"excluded by {excluded}")
    if address.ip.is_link_local:
        return AddressDecision(address, False, "link-local")
    if policy.include:
        included = next((network for network in policy.include if address.ip in network), None)
        reason = f"included by {included}" if included else "outside of what is included"
        return AddressDecision(address, included is not None, reason)
    if address.ip.is_loopback:
        return AddressDecision(address, loopback, _LOOPBACK_ALONE if loopback else _LOOPBACK)
    if local.inner and not policy.bridges:
        return AddressDecision(address, False, local.inner)
    if local.is_temporary:
        return AddressDecision(address, False, "temporary, another one takes its place within a day")
    return AddressDecision(address, True, "address of this host")


def only_loopback(decisions: Iterable[AddressDecision]) -> str | None:
    """Return what is told and what is kept back where nothing but loopback was left to tell; else None."""
    judged = list(decisions)
    told = [each for each in judged if each.advertised]
    if not told or any(each.reason != _LOOPBACK_ALONE for each in told):
        return None
    kept = [each for each in judged if not each.advertised]
    return (
        f"nothing but {_listed(told)} is left to tell the peers, which on another host leads to themselves"
        + (f"; kept back: {reasons(kept)}" if kept else "")
        + "; name an address with advertise.extra, or include its network with advertise.include"
    )


def _listed(decisions: Iterable[AddressDecision]) -> str:
    return ", ".join(str(each.address) for each in decisions)


def reasons(decisions: Iterable[AddressDecision]) -> str:
    """Return each address with its reason, on one line."""
    return ", ".join(f"{each.address} ({each.reason})" for each in decisions)


def local_addresses() -> list[LocalAddress]:
    """Ask the kernel for this host's addresses; where it cannot be asked, the names of the links decide."""
    try:
        return judge(read_network())
    except OSError:
        return judge(_network_by_name())


def _network_by_name() -> HostNetwork:
    import ifaddr

    adapters = list(enumerate(ifaddr.get_adapters(), start=1))
    # ifaddr gives IPv4 as text and IPv6 as (text, flow info, scope id).
    addresses = [
        Assigned(
            link=index,
            ip=ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0].split("%")[0]),
            prefix=ip.network_prefix,
        )
        for index, adapter in adapters
        for ip in adapter.ips
    ]
    loopback = {each.link for each in addresses if each.ip.is_loopback}
    return HostNetwork(
        links=tuple(Link(index=index, name=each.name, is_loopback=index in loopback) for index, each in adapters),
        addresses=tuple(addresses),
    )


def candidates_of(ip: IPAddress, ports: Mapping[int, int], local: Iterable[LocalAddress]) -> list[Candidate]:
    """Return the addresses at which an endpoint bound to `ip` can be reached.

    Args:
        ip: what was asked for; the unspecified address of either family stands for all addresses.
        ports: the real ports, by IP version.
        local: this host's addresses.
    """
    if not ip.is_unspecified:
        # Who binds to the address of a bridge wants it told; among all addresses of a host it is there by chance.
        return [Candidate(SocketAddress(ip, ports[ip.version]), LocalAddress(ip))]
    return [
        Candidate(SocketAddress(each.ip, ports[each.ip.version]), each)
        for each in local
        if each.ip.version in ports and not (each.ip.is_unspecified or each.ip.is_multicast)
    ]
