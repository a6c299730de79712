# SPDX-License-Identifier: MIT
"""Which of its addresses a node tells others about."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.value_limits import MAX_ADDRESSES

Network = IPv4Network | IPv6Network

# Name prefixes of interfaces that lead to containers and virtual machines of this host only. Every Docker
# host has the same 172.17.0.1, so such an address in a registry sends peers to themselves.
_BRIDGE_PREFIXES = (
    *("docker", "br-", "veth", "virbr", "cni", "podman", "lxc", "lxd", "incus", "vmnet", "vboxnet"),
    *("flannel", "cali", "cilium", "kube-"),
)


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
        bridges: also tell addresses of container and VM bridges.
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


def decide(
    candidates: Iterable[SocketAddress],
    policy: AdvertisePolicy,
    *,
    bridge_addresses: Collection[IPv4Address | IPv6Address] = (),
) -> list[AddressDecision]:
    """Judge every candidate, extra addresses first; the same candidates in any order give the same list.

    Loopback is told only when there is nothing else, so that three nodes on one machine find each other
    and a node with a real address never sends its peers to themselves.
    """
    rest = sorted(set(candidates) - set(policy.extra))
    decisions = [AddressDecision(address, True, "extra") for address in dict.fromkeys(policy.extra)]
    decisions += [_decide_on(address, policy, bridge_addresses, loopback=False) for address in rest]
    if not any(decision.advertised for decision in decisions):
        decisions = [_decide_on(address, policy, bridge_addresses, loopback=True) for address in rest]
    return _bounded(decisions)


def _bounded(decisions: list[AddressDecision]) -> list[AddressDecision]:
    """Keep back what an entry has no room for: some hosts carry every service address of their cluster."""
    surplus = {decision.address for decision in [each for each in decisions if each.advertised][MAX_ADDRESSES:]}
    reason = f"more than {MAX_ADDRESSES} addresses"
    return [AddressDecision(each.address, False, reason) if each.address in surplus else each for each in decisions]


def _decide_on(
    address: SocketAddress,
    policy: AdvertisePolicy,
    bridge_addresses: Collection[IPv4Address | IPv6Address],
    *,
    loopback: bool,
) -> AddressDecision:
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
        reason = "loopback, and there is nothing else" if loopback else "loopback"
        return AddressDecision(address, loopback, reason)
    if address.ip in bridge_addresses and not policy.bridges:
        return AddressDecision(address, False, "container or VM bridge")
    return AddressDecision(address, True, "address of this host")


@dataclass(frozen=True)
class LocalAddresses:
    """This host's IP addresses, and which of them belong to container and VM bridges."""

    all: frozenset[IPv4Address | IPv6Address]
    bridges: frozenset[IPv4Address | IPv6Address]


def local_addresses() -> LocalAddresses:
    """Ask the operating system for this host's addresses."""
    import ifaddr

    everything: set[IPv4Address | IPv6Address] = set()
    bridges: set[IPv4Address | IPv6Address] = set()
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            # ifaddr gives IPv4 as text and IPv6 as (text, flow info, scope id).
            address = ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0].split("%")[0])
            everything.add(address)
            if adapter.name.startswith(_BRIDGE_PREFIXES):
                bridges.add(address)
    return LocalAddresses(frozenset(everything), frozenset(bridges))


def candidates_of(bind: tuple[IPv4Address | IPv6Address, int], local: LocalAddresses) -> list[SocketAddress]:
    """Return the addresses at which a socket bound to `bind` (address, real port) can be reached."""
    ip, port = bind
    if not ip.is_unspecified:
        return [SocketAddress(ip, port)]
    usable = (a for a in local.all if a.version == ip.version and not (a.is_unspecified or a.is_multicast))
    return sorted(SocketAddress(a, port) for a in usable)
