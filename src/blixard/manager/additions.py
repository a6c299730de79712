# SPDX-License-Identifier: MIT
"""Peers that no source names: added by an operator, joined through, or come by themselves (guests)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from blixard.peers.claims import Origin
from blixard.sources.base import Sighting

if TYPE_CHECKING:
    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId
    from blixard.peers.table import Change, PeerTable
    from blixard.trust.attestation import AttestationCheck

MAX_GUESTS = 1024
"""Whoever may come in can invent identities without end; the table must not grow with them."""

GUEST_KEPT = 24 * 3600.0
"""Seconds that a guest is remembered without a connection: through a night's outage, not for ever. It knows the way
back by the means that it came by."""

PASSER_BY_KEPT = 300.0
"""The same for one whose connections have all died young: it has shown nothing but that it can say hello."""

AddedBy = Literal["manual", "join", "hello"]

_ORIGINS: dict[AddedBy, Origin] = {
    "manual": Origin("manual", "manual", 0),
    "join": Origin("join", "join", 0),
    "hello": Origin("hello", "hello", 0),
}
_GUESTS = _ORIGINS["hello"]


class Additions:
    """Decides what of it enters the table. All methods return the table's changes."""

    def __init__(
        self,
        table: PeerTable,
        check: AttestationCheck,
        *,
        own: EndpointId | None,
        alone_since: Callable[[EndpointId], float | None],
        is_proven: Callable[[EndpointId], bool],
        host_of: Callable[[EndpointId], str | None],
    ) -> None:
        """Take what is known about connections.

        Args:
            table: where the peers go.
            check: what attestations are held against.
            own: this node, which is never a peer.
            alone_since: when (monotonic seconds) a peer lost its connection; None while it has one.
            is_proven: whether one of its connections has lived long enough.
            host_of: at which host it was met last; None where it was not.
        """
        self._table = table
        self._check = check
        self._own = own
        self._alone_since = alone_since
        self._is_proven = is_proven
        self._host_of = host_of

    def why_not(self, peer: DiscoveredPeer, added_by: AddedBy) -> str | None:
        """Return why a peer is not taken; None when it is."""
        endpoint_id = peer.endpoint_id
        if endpoint_id == self._own:
            return "it is this node"
        problem = self._check.problem(peer)
        if problem is not None:
            return problem
        newest = self._table.newest_seq(endpoint_id)
        if 0 < peer.seq < newest:
            return f"its attestation has number {peer.seq}, and {newest} was seen before"
        return self._why_no_guest(peer) if added_by == "hello" else None

    def add(self, peer: DiscoveredPeer, added_by: AddedBy) -> list[Change]:
        """Take a peer for which there is no reason not to."""
        sighting = Sighting(peer, added_by)
        known = self._table.find(sighting.endpoint_id)
        if added_by == "hello" and known is not None and known.sources != (_GUESTS.name,):
            # It is a member by another's word, and must not stay one by its own when that word is taken back.
            return self._table.attest(sighting)
        changes = self._make_room() if added_by == "hello" and known is None else []
        return changes + self._table.put(_ORIGINS[added_by], sighting)

    def remove(self, node_id: int, added_by: AddedBy) -> list[Change] | None:
        """Take back what was added under a node id; None when there is nothing."""
        origin = _ORIGINS[added_by]
        claims = [claim for claim in self._table.claims_of(origin) if claim.peer.node_id == node_id]
        changes = [self._table.withdraw(origin, claim.sighting.endpoint_id) for claim in claims]
        return [change for each in changes for change in each] if claims else None

    def let_go(self, now: float) -> list[Change]:
        """Forget the guests that have been away for too long."""
        overdue = [guest for since, guest in self._absent_guests() if now - since >= self._kept(guest)]
        return [change for guest in overdue for change in self._table.withdraw(_GUESTS, guest)]

    def _kept(self, guest: EndpointId) -> float:
        return GUEST_KEPT if self._is_proven(guest) else PASSER_BY_KEPT

    def dismiss_guests(self) -> list[Change]:
        """Forget all guests."""
        guests = [claim.sighting.endpoint_id for claim in self._table.claims_of(_GUESTS)]
        return [change for guest in guests for change in self._table.withdraw(_GUESTS, guest)]

    def _why_no_guest(self, peer: DiscoveredPeer) -> str | None:
        if peer.attestation is None:
            return "it does not sign what it says about itself"
        holder = self._table.get(peer.node_id)
        if holder is not None and holder.endpoint_id != peer.endpoint_id:
            return f"node {peer.node_id} is {holder.endpoint_id.short}, says {holder.sources[0]}"
        return None

    def _absent_guests(self) -> list[tuple[float, EndpointId]]:
        """Return since when, and which guests are without a connection."""
        guests = [claim.sighting.endpoint_id for claim in self._table.claims_of(_GUESTS)]
        return [(since, guest) for guest in guests if (since := self._alone_since(guest)) is not None]

    def _make_room(self) -> list[Change]:
        """Where there are too many, forget the guest that was away longest, or else the oldest of the largest crowd.

        A crowd are the guests from one host, so that whoever fills the table makes room in it by what came first from
        there.
        """
        guests = [claim.sighting.endpoint_id for claim in self._table.claims_of(_GUESTS)]
        if len(guests) < MAX_GUESTS:
            return []
        absent = self._absent_guests()
        if absent:
            return self._table.withdraw(_GUESTS, min(absent)[1])
        hosts = [self._host_of(guest) for guest in guests]
        crowds = Counter(hosts)
        return self._table.withdraw(_GUESTS, max(zip(guests, hosts, strict=True), key=lambda each: crowds[each[1]])[0])
