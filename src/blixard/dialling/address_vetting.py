# SPDX-License-Identifier: MIT
"""Which addresses of a peer are dialled: who answers at each, and the quarantine of those where another does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.protocols import DialError
from blixard.model.addresses import SocketAddress
from blixard.ordered_set import OrderedSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blixard.dialling.protocols import AddressProber
    from blixard.model.ids import EndpointId
    from blixard.peers.status import AddressState


PROBES_AT_ONCE = 8
"""Addresses of one peer probed at the same time; each costs an endpoint of 4 descriptors and 0.5 MB."""

_log = logging.getLogger("blixard.dialling")


def longest(addresses: Sequence[str]) -> float:
    """Return the seconds that probing these addresses may take."""
    return DIAL_TIMEOUT * -(-len(addresses) // PROBES_AT_ONCE)


async def probe_all(
    prober: AddressProber, endpoint_id: EndpointId, addresses: Sequence[str], *, timeout: float = DIAL_TIMEOUT
) -> dict[str, bool | None]:
    """Probe each address alone: True the peer answers there, False another iroh node does, None nobody did."""
    slots = asyncio.Semaphore(PROBES_AT_ONCE)

    async def probe(address: str) -> bool | None:
        async with slots:
            try:
                return await prober.probe(SocketAddress.parse(address), endpoint_id, timeout=timeout)
            except DialError:
                return None
            except Exception:
                # One broken probe must not take the answers of the others with it.
                _log.exception("probing an address broke", extra={"address": address})
                return None

    answers = await asyncio.gather(*(probe(address) for address in addresses))
    return dict(zip(addresses, answers, strict=True))


QUARANTINE = 300.0
"""Seconds until a quarantined address is probed again: as long as a circuit stays open at most, so that a peer that
moves to an address where somebody else was is found as soon as one that was down."""


@dataclass(frozen=True)
class Verdict:
    """How one address stands, why, and until when (monotonic seconds) it is left alone."""

    state: AddressState
    reason: str | None = None
    until: float | None = None


_USABLE = Verdict("usable")


@dataclass
class _Peer:
    addresses: tuple[str, ...] = ()
    has_relay: bool = False
    quarantined: dict[str, float] = field(default_factory=dict)


class Vetting:
    """The addresses of all peers, as texts in their normal form."""

    def __init__(self) -> None:
        self._peers: dict[EndpointId, _Peer] = {}
        self._listed: dict[str, OrderedSet[EndpointId]] = {}
        self._own: frozenset[str] = frozenset()

    def set_own(self, addresses: Collection[str]) -> None:
        """Tell at which addresses this node itself answers."""
        self._own = frozenset(addresses)

    def learn(self, endpoint_id: EndpointId, addresses: Sequence[str], *, has_relay: bool) -> None:
        """Enter or replace a peer's addresses; what is quarantined stays so."""
        peer = self._peers.setdefault(endpoint_id, _Peer())
        self._unlist(endpoint_id, peer)
        peer.addresses, peer.has_relay = tuple(addresses), has_relay
        peer.quarantined = {a: until for a, until in peer.quarantined.items() if a in peer.addresses}
        for address in peer.addresses:
            self._listed.setdefault(address, OrderedSet()).add(endpoint_id)

    def forget(self, endpoint_id: EndpointId) -> None:
        """Drop a peer."""
        peer = self._peers.pop(endpoint_id, None)
        if peer is not None:
            self._unlist(endpoint_id, peer)

    def candidates(self, endpoint_id: EndpointId, *, failures: int = 0) -> tuple[str, ...]:
        """Return the addresses for the next dial, after `failures` failures in a row.

        Those held back come along in every second attempt of a row: somebody else may list a peer's only good
        address, by mistake or not.
        """
        peer = self._peers[endpoint_id]
        free = tuple(a for a in peer.addresses if a not in peer.quarantined)
        if failures % 2 == 1:
            return free
        return tuple(a for a in free if not self._sharer(endpoint_id, a)) or free

    def to_probe(self, endpoint_id: EndpointId) -> tuple[str, ...]:
        """Return the addresses to probe alone after another iroh node answered a dial.

        Empty where that would change nothing: there is but one way to the peer.
        """
        peer = self._peers[endpoint_id]
        return peer.addresses if len(peer.addresses) + peer.has_relay > 1 else ()

    def to_release(self, endpoint_id: EndpointId, now: float) -> tuple[str, ...]:
        """Return the quarantined addresses whose time is over, which a probe may bring back."""
        return tuple(a for a, until in self._peers[endpoint_id].quarantined.items() if now >= until)

    def judge(
        self, endpoint_id: EndpointId, answers: Mapping[str, bool | None], now: float
    ) -> tuple[list[str], list[str]]:
        """Take in what probes found; return the addresses that are newly quarantined, and those released.

        Args:
            endpoint_id: the peer.
            answers: for each address probed: True the peer answers there, False another iroh node does, None
                nobody did.
            now: monotonic seconds.
        """
        peer = self._peers.get(endpoint_id)
        if peer is None:
            return [], []
        impostors = [a for a in peer.addresses if answers.get(a) is False]
        released = [a for a in peer.quarantined if answers.get(a)]
        for address in released:
            del peer.quarantined[address]
        if not peer.has_relay and all(a in impostors or a in peer.quarantined for a in peer.addresses):
            # Nothing would be left to dial. The breaker keeps the pace, and a changed address is found by dialling.
            peer.quarantined.clear()
            return [], []
        fresh = [a for a in impostors if a not in peer.quarantined]
        peer.quarantined.update(dict.fromkeys(impostors, now + QUARANTINE))
        return fresh, released

    def verdict(self, endpoint_id: EndpointId, address: str) -> Verdict:
        """Return how an address of a peer stands."""
        peer = self._peers[endpoint_id]
        if address in peer.quarantined:
            return Verdict("quarantined", "another iroh node answers there", peer.quarantined[address])
        sharer = self._sharer(endpoint_id, address)
        if sharer and address not in self.candidates(endpoint_id):
            return Verdict("held_back", f"{sharer} has it too")
        return _USABLE

    def _sharer(self, endpoint_id: EndpointId, address: str) -> str | None:
        if address in self._own:
            return "this node"
        return next((other.short for other in self._listed[address] if other != endpoint_id), None)

    def _unlist(self, endpoint_id: EndpointId, peer: _Peer) -> None:
        for address in peer.addresses:
            listed = self._listed[address]
            listed.discard(endpoint_id)
            if not listed:
                del self._listed[address]
