# SPDX-License-Identifier: MIT
"""What a node takes of the entries that a peer hands on, and why it does not take the others."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from blixard.errors import InputError, TrustError
from blixard.gossip.allowance import Bucket
from blixard.gossip.messages import decode_entry
from blixard.manager.additions import GUEST_KEPT
from blixard.trust.attestation import verify_attestation

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.discovery_manager import DiscoveryManager
    from blixard.gossip.messages import Entry
    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId

VERIFIED_A_SECOND = 128
VERIFIED_AT_ONCE = 1024
"""Signatures of entries that are verified: a thirtieth of one core at most, whoever sends how many."""

TAKEN_AGAIN = 5.0
"""Seconds between two versions of one entry that are taken by gossip, for whoever signs ever new ones."""

_MAX_TAKEN = 4096


class Intake:
    """Judges entries one by one.

    Attributes:
        taken: entries that were taken.
        dropped: entries that were not, by the reason.
    """

    def __init__(self, manager: DiscoveryManager, clock: Clock, *, cluster: str, is_open: Callable[[], bool]) -> None:
        """`is_open` tells whether somebody whom no source of the operator names may become a guest."""
        self._manager = manager
        self._clock = clock
        self._cluster = cluster
        self._is_open = is_open
        self._verifying = Bucket(clock, rate=VERIFIED_A_SECOND, burst=VERIFIED_AT_ONCE)
        self._last: OrderedDict[EndpointId, float] = OrderedDict()
        self.taken = 0
        self.dropped: Counter[str] = Counter()

    def wants(self, endpoint_id: EndpointId | None) -> bool:
        """Tell whether an entry is of any use; None stands for somebody who is not known here."""
        return endpoint_id is not None or self._is_open()

    def take(self, entry: Entry) -> str | None:
        """Take an entry; return the reason when it is dropped.

        Raises:
            InputError: it is none.
        """
        peer = decode_entry(entry.data, self._clock.wall())
        reason = self._why_not(peer, entry.age)
        if reason is None:
            self.taken += 1
            is_member = self._manager.is_member(peer.endpoint_id)
            self._manager.add_peer(peer, "hello" if is_member else "gossip", age=float(entry.age))
        else:
            self.dropped[reason] += 1
        return reason

    def _why_not(self, peer: DiscoveredPeer, age: int) -> str | None:
        endpoint_id = peer.endpoint_id
        known, held = self._manager.find(endpoint_id), self._manager.attested(endpoint_id)
        if peer.attestation is None or peer.attestation.cluster != self._cluster:
            return "foreign_cluster"
        if not self.wants(endpoint_id if known is not None else None):
            return "not_a_member"
        if age >= GUEST_KEPT and not self._manager.is_member(endpoint_id):
            return "too_old"
        if held is not None and peer.seq <= held.seq:
            return "old"
        if known is not None and known.node_id != peer.node_id:
            return "not_acceptable"
        if self._was_taken(endpoint_id):
            return "too_often"
        if not self._verifying.take():
            return "too_many"
        if self._manager.why_not(peer, "hello" if known is not None else "gossip") is not None:
            return "not_acceptable" if _is_signed(peer) else "forged"
        self._note(endpoint_id)
        return None

    def _was_taken(self, endpoint_id: EndpointId) -> bool:
        last = self._last.get(endpoint_id)
        return last is not None and self._clock.now() - last < TAKEN_AGAIN

    def _note(self, endpoint_id: EndpointId) -> None:
        self._last.pop(endpoint_id, None)
        self._last[endpoint_id] = self._clock.now()
        if len(self._last) > _MAX_TAKEN:
            self._last.popitem(last=False)


def _is_signed(peer: DiscoveredPeer) -> bool:
    """Tell whether the node itself has signed this, whether or not it counts here and now."""
    try:
        verify_attestation(peer)
    except (InputError, TrustError):
        return False
    return True
