# SPDX-License-Identifier: MIT
"""Which addresses of a peer count, and how often one that only the peer itself names is tried: pure bookkeeping.

A dial is answered by nobody at the wrong address, and sends it some 8 KB all the same. So whoever may list addresses
could make all nodes send to a victim. An address counts, and is dialled like any other, when

- a source that the operator named brings it (a peers file, a registry, `add_peer`), or
- the peer was met there: its connection came from this address, or was made to it. The handshake proves both.

Any other is the peer's own word. It is *tried* at most: by a probe of its own with a short limit, after the addresses
that count have failed, and out of a budget that is never filled up again. A peer that really is there has better ways
to say so: it calls, and is met.

- A guest, whom no source of the operator names, has tries only at hosts where it was met: behind the same router.
- A member has tries anywhere.
- All tries at one host, whatever the port and whoever claimed it, come out of one budget.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.ordered_set import OrderedSet

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

TRY_TIMEOUT = 0.9
"""Seconds: iroh sends one datagram of 1200 bytes at once, one after a second, and one when it gives up."""

MEMBER_TRIES = 8
"""Tries for a member as long as it is one."""

GUEST_TRIES = 2
"""Tries for a guest as long as it is remembered."""

HOST_TRIES = 4
"""Tries at one host, for all peers together, as long as this node runs."""

MAX_HOSTS = 4096
"""Hosts whose tries are remembered. With that many, no other host is tried: forgetting one would be a new budget."""

GUEST_ADDRESSES = 4
"""Addresses of a guest that are dialled: it has proved each by calling from there."""

_MAX_MET = 8
"""Addresses remembered at which one peer was met, the newest."""

_V6_HOST = 64
"""Bits of an IPv6 address that tell one network from another: whoever has one address there has all."""


def host_of(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return what a host is told apart by: its IPv4 address, or the /64 of its IPv6 address."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ipaddress.ip_network((ip, _V6_HOST), strict=False))
        ip = ip.ipv4_mapped
    return str(ip)


class Tries:
    """The tries that were spent at each host, never forgotten."""

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}

    def spend(self, host: str, *, for_guest: bool) -> bool:
        """Take one try at `host`; False when there is none left. Guests leave half of the room to members."""
        spent = self._spent.get(host, 0)
        most = MAX_HOSTS // 2 if for_guest else MAX_HOSTS
        if spent >= HOST_TRIES or (spent == 0 and len(self._spent) >= most):
            return False
        self._spent[host] = spent + 1
        return True

    def give_back(self, host: str) -> None:
        """Return a try that found the peer there."""
        self._spent[host] -= 1
        if not self._spent[host]:
            del self._spent[host]


@dataclass
class _Peer:
    """One peer. `met` holds addresses, the newest last; `tried` how often each address was."""

    addresses: tuple[str, ...] = ()
    vouched: frozenset[str] = frozenset()
    is_guest: bool = True
    met: OrderedSet[str] = field(default_factory=OrderedSet)
    tried: dict[str, int] = field(default_factory=dict)
    tries: int = 0


class Proofs:
    """What speaks for the addresses of all peers. Addresses are texts in their normal form."""

    def __init__(self) -> None:
        self._peers: dict[EndpointId, _Peer] = {}
        self._tries = Tries()

    def learn(
        self, endpoint_id: EndpointId, addresses: Sequence[str], *, vouched: Collection[str], is_guest: bool
    ) -> None:
        """Enter or replace a peer's addresses and which of them the operator's sources bring; the rest is kept."""
        peer = self._peers.setdefault(endpoint_id, _Peer())
        peer.addresses, peer.vouched, peer.is_guest = tuple(addresses), frozenset(vouched), is_guest
        peer.tried = {address: count for address, count in peer.tried.items() if address in peer.addresses}

    def forget(self, endpoint_id: EndpointId) -> None:
        """Drop a peer. What was spent at hosts stays spent."""
        self._peers.pop(endpoint_id, None)

    def met(self, endpoint_id: EndpointId, address: str) -> None:
        """A connection with the peer came from `address`, or was made to it."""
        peer = self._peers.get(endpoint_id)
        if peer is None:
            return
        peer.met.renew(address)
        while len(peer.met) > _MAX_MET:
            peer.met.pop()

    def host(self, endpoint_id: EndpointId) -> str | None:
        """Return the host at which the peer was met last."""
        peer = self._peers.get(endpoint_id)
        return _host(next(reversed(peer.met))) if peer is not None and peer.met else None

    def counting(self, endpoint_id: EndpointId) -> tuple[str, ...]:
        """Return the addresses that count, in the peer's order."""
        peer = self._peers[endpoint_id]
        good = tuple(a for a in peer.addresses if a in peer.vouched or a in peer.met)
        return good[:GUEST_ADDRESSES] if peer.is_guest else good

    def take_tries(self, endpoint_id: EndpointId) -> tuple[str, ...]:
        """Return the addresses to try now, each at the cost of one try: first those that were tried least."""
        peer = self._peers.get(endpoint_id)
        if peer is None:
            return ()
        counting = self.counting(endpoint_id)
        hosts = {_host(address) for address in peer.met}
        mine = [a for a in peer.addresses if a not in counting and (not peer.is_guest or _host(a) in hosts)]
        taken = []
        # The sort is stable: of those tried equally often, where the peer was met comes first, then its own order.
        for address in sorted(mine, key=lambda each: (peer.tried.get(each, 0), _host(each) not in hosts)):
            if peer.tries >= (GUEST_TRIES if peer.is_guest else MEMBER_TRIES):
                break
            if self._tries.spend(_host(address), for_guest=peer.is_guest):
                peer.tries += 1
                peer.tried[address] = peer.tried.get(address, 0) + 1
                taken.append(address)
        return tuple(taken)

    def found(self, endpoint_id: EndpointId, address: str) -> None:
        """A try found the peer at `address`: it was met there, and the try cost nothing."""
        self._tries.give_back(_host(address))
        peer = self._peers.get(endpoint_id)
        if peer is not None:
            peer.tries = max(0, peer.tries - 1)
            self.met(endpoint_id, address)

    def held_back(self, endpoint_id: EndpointId) -> dict[str, str]:
        """Return the addresses of a peer that are not dialled, each with the reason."""
        peer = self._peers.get(endpoint_id)
        if peer is None:
            return {}
        counting = frozenset(self.counting(endpoint_id))
        return {address: _reason(peer, address) for address in peer.addresses if address not in counting}


def _reason(peer: _Peer, address: str) -> str:
    if address in peer.met:
        return f"a guest is dialled at {GUEST_ADDRESSES} addresses at most"
    tried = peer.tried.get(address, 0)
    return "only the peer itself names it" + (f"; not found there in {_times(tried)}" if tried else "")


def _times(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def _host(address: str) -> str:
    return host_of(SocketAddress.parse(address).ip)


def normal(address: str | None) -> str | None:
    """Return the address of a connection's path in its normal form; None when it is none that could be dialled."""
    try:
        parsed = SocketAddress.parse(address)
        mapped = parsed.ip.ipv4_mapped if isinstance(parsed.ip, ipaddress.IPv6Address) else None
        return str(parsed if mapped is None else SocketAddress(mapped, parsed.port))
    except InputError:
        return None
