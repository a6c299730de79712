# SPDX-License-Identifier: MIT
"""Peers that no source names: added by an operator, joined through, or come by themselves or by gossip (guests)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
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

AddedBy = Literal["manual", "join", "hello", "gossip"]

_ORIGINS: dict[AddedBy, Origin] = {
    "manual": Origin("manual", "manual", 0),
    "join": Origin("join", "join", 0),
    "hello": Origin("hello", "hello", 0),
    "gossip": Origin("gossip", "gossip", 0),
}
_GUESTS: tuple[AddedBy, ...] = ("hello", "gossip")
_GUEST_NAMES = {_ORIGINS[each].name for each in _GUESTS}


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
        self._heard: dict[EndpointId, float] = {}

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
        return self._why_no_guest(peer) if added_by in _GUESTS else None

    def add(self, peer: DiscoveredPeer, added_by: AddedBy, heard_at: float = 0.0) -> list[Change]:
        """Take a peer for which there is no reason not to.

        Args:
            peer: the peer.
            added_by: by whom.
            heard_at: of gossip, when (monotonic seconds) somebody was connected with it.
        """
        sighting = Sighting(peer, added_by)
        known = self._table.find(sighting.endpoint_id)
        if added_by not in _GUESTS:
            return self._table.put(_ORIGINS[added_by], sighting)
        if known is not None and not _GUEST_NAMES.issuperset(known.sources):
            # It is a member by another's word, and must not stay one by its own when that word is taken back.
            return self._table.attest(sighting)
        changes = self._make_room() if known is None else []
        if added_by == "hello":
            changes += self._table.put(_ORIGINS["hello"], sighting)
            return changes + self._table.withdraw(_ORIGINS["gossip"], sighting.endpoint_id)
        self._heard[sighting.endpoint_id] = max(heard_at, self._heard.get(sighting.endpoint_id, heard_at))
        if known is not None and _ORIGINS["hello"].name in known.sources:
            return self._table.attest(sighting)
        return changes + self._table.put(_ORIGINS["gossip"], sighting)

    def heard_alive(self, endpoint_ids: Iterable[EndpointId], now: float) -> None:
        """Somebody is connected with these: those of them that are known by gossip are kept longer."""
        self._heard.update((each, now) for each in endpoint_ids if each in self._heard)

    def guest_age(self, guest: EndpointId, now: float) -> float | None:
        """Return how long ago (seconds) a guest was last connected with anybody; None where that is not known.

        Of one whose connections have all died young nothing is known that is worth telling.
        """
        since = self._alone_since(guest)
        if since is None:
            return 0.0
        seen = [since] if self._is_proven(guest) else []
        seen += [self._heard[guest]] if guest in self._heard else []
        return max(0.0, now - max(seen)) if seen else None

    def remove(self, node_id: int, added_by: AddedBy) -> list[Change] | None:
        """Take back what was added under a node id; None when there is nothing."""
        origin = _ORIGINS[added_by]
        claims = [claim for claim in self._table.claims_of(origin) if claim.peer.node_id == node_id]
        changes = [self._table.withdraw(origin, claim.sighting.endpoint_id) for claim in claims]
        return [change for each in changes for change in each] if claims else None

    def let_go(self, now: float) -> list[Change]:
        """Forget the guests that have been away for too long."""
        guests = set(self._guests())
        self._heard = {guest: at for guest, at in self._heard.items() if guest in guests}
        return [
            change
            for since, guest in self._absent_guests()
            if self._is_overdue(guest, since, now)
            for change in self._withdraw(guest)
        ]

    def _is_overdue(self, guest: EndpointId, since: float, now: float) -> bool:
        age = self.guest_age(guest, now)
        return now - since >= PASSER_BY_KEPT if age is None else age >= GUEST_KEPT

    def dismiss_guests(self) -> list[Change]:
        """Forget all guests."""
        return [change for guest in self._guests() for change in self._withdraw(guest)]

    def _guests(self) -> list[EndpointId]:
        return [claim.sighting.endpoint_id for each in _GUESTS for claim in self._table.claims_of(_ORIGINS[each])]

    def _withdraw(self, guest: EndpointId) -> list[Change]:
        return [change for each in _GUESTS for change in self._table.withdraw(_ORIGINS[each], guest)]

    def _why_no_guest(self, peer: DiscoveredPeer) -> str | None:
        if peer.attestation is None:
            return "it does not sign what it says about itself"
        holder = self._table.get(peer.node_id)
        if holder is not None and holder.endpoint_id != peer.endpoint_id:
            return f"node {peer.node_id} is {holder.endpoint_id.short}, says {holder.sources[0]}"
        return None

    def _absent_guests(self) -> list[tuple[float, EndpointId]]:
        """Return since when, and which guests are without a connection."""
        return [(since, guest) for guest in self._guests() if (since := self._alone_since(guest)) is not None]

    def _make_room(self) -> list[Change]:
        """Where there are too many, forget the guest that was away longest, or else the oldest of the largest crowd.

        A crowd are the guests from one host, so that whoever fills the table makes room in it by what came first from
        there.
        """
        guests = self._guests()
        if len(guests) < MAX_GUESTS:
            return []
        absent = self._absent_guests()
        if absent:
            return self._withdraw(min(absent)[1])
        hosts = [self._host_of(guest) for guest in guests]
        crowds = Counter(hosts)
        return self._withdraw(max(zip(guests, hosts, strict=True), key=lambda each: crowds[each[1]])[0])
