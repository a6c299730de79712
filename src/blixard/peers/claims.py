# SPDX-License-Identifier: MIT
"""Claims: what one source says about one peer, and how claims are ranked and merged into one.

Who counts when sources disagree:

    rank  kind       what it is                                            whose word it is
    1     manual     `add_peer` by an operator or a program                the operator's, now
    2     static     a peers file                                          the operator's, for the whole fleet
    3     registry   registry files, directories, tickets, URLs            the node's, brought by an operator
    4     dns        DNS records                                           the domain's
    5     cloud      what a cloud says of its machines                     the cloud's
    6     mdns       what is announced on this host's links                anybody's there
    7     join       what a node said that this one joined through         the node's
    8     hello      what a node said that came by itself                  the node's
    9     gossip     what a guest said elsewhere, handed on by a peer      the node's

- Nobody has signed what dns, cloud and mdns say, and who serves registries over a network chooses which. Where a fleet
  key says who the members are, both are *hints*: they make nobody a peer, and only add ways to a peer that another
  source names, as if the peer itself said so.
- Which node id belongs to which endpoint id: the better rank decides, then the source that the configuration names
  first, then the higher attestation number, then the smaller endpoint id. The other claim is shown as a conflict
  and is not dialled.
- Where the peer is: the attestation with the highest number decides, whichever source brought it; addresses given
  by hand come before its own. A lower number is refused. While no source has brought an attestation, the
  addresses of all sources are joined, the better rank first.
- A claim that has gone from its source's good answers counts only until its time is over, and only where no claim
  that is still there says otherwise.

The outcome depends on the claims alone, not on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blixard.model.limits import MAX_ADDRESSES

if TYPE_CHECKING:
    from blixard.model.addresses import HostPort
    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId
    from blixard.sources.base import Sighting, SourceKind

Standing = tuple[bool, bool, int, int, int, str]
"""Sorts claims about who has a node id, the one that counts first."""

RANKS: dict[SourceKind, int] = {
    "manual": 1,
    "static": 2,
    "registry": 3,
    "dns": 4,
    "cloud": 5,
    "mdns": 6,
    "join": 7,
    "hello": 8,
    "gossip": 9,
}

UNSIGNED: frozenset[SourceKind] = frozenset({"dns", "cloud", "mdns"})
"""Kinds whose word a fleet key cannot vouch for: where signers are trusted, they are hints."""

OPERATORS: frozenset[SourceKind] = frozenset({"manual", "static", "registry", *UNSIGNED})
"""Kinds that an operator named. The others are a node's word about itself, which nobody asked for."""


@dataclass(frozen=True)
class Origin:
    """A source as the table sees it: its name, its kind, its place in the configuration, and whether it only hints."""

    name: str
    kind: SourceKind
    order: int
    is_hint: bool = False


@dataclass(frozen=True)
class Claim:
    """What one source says about one endpoint id.

    Attributes:
        absent_since: monotonic seconds of the first good answer without it; None while it is there.
    """

    origin: Origin
    sighting: Sighting
    absent_since: float | None = None

    @property
    def peer(self) -> DiscoveredPeer:
        """The peer as this source has it."""
        return self.sighting.peer

    @property
    def seq(self) -> int:
        """The attestation's number, 0 without one."""
        return self.peer.seq

    @property
    def is_hint(self) -> bool:
        """Whether it makes nobody a peer."""
        return self.origin.is_hint or self.sighting.is_hint

    @property
    def is_operators(self) -> bool:
        """Whether it is the word of a source that the operator named, and that counts for membership."""
        return self.origin.kind in OPERATORS and not self.is_hint

    @property
    def standing(self) -> Standing:
        """Its place among all claims: hint or not, gone or not, rank, place in the configuration, number, id."""
        origin, is_gone = self.origin, self.absent_since is not None
        return self.is_hint, is_gone, RANKS[origin.kind], origin.order, -self.seq, self.peer.iroh_node_id


@dataclass(frozen=True)
class Dropped:
    """Something that a source says and that does not count, and why."""

    source: str
    node_id: int
    endpoint_id: EndpointId
    address: str | None
    reason: str

    def to_json(self) -> dict[str, object]:
        """Return it for `--json`."""
        return {
            "source": self.source,
            "node_id": self.node_id,
            "iroh_node_id": self.endpoint_id.base64,
            "address": self.address,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Known:
    """A peer as all claims together make it.

    Attributes:
        peer: the merged peer; `source` is the kind of the claim that decides. It carries an attestation only when
            its content is exactly what the node signed.
        endpoint_id: its endpoint id.
        sources: names of the sources that name it, the one that decides first; no hints.
        provenance: for each direct address, the places that say it.
        seq: number of the attestation that its addresses come from; None without one.
        listens_at: the registry's `address`, where one is known.
        is_guest: no source of the operator names it.
        vouched: those of its addresses, and its relay, that the operator's sources bring.
        overruled: the claims that give it another node id.
    """

    peer: DiscoveredPeer
    endpoint_id: EndpointId
    sources: tuple[str, ...]
    provenance: Mapping[str, tuple[str, ...]]
    seq: int | None
    listens_at: HostPort | None
    is_guest: bool
    vouched: frozenset[str]
    overruled: tuple[Dropped, ...] = ()

    def is_dialled_like(self, other: Known) -> bool:
        """Tell whether there is no difference to whoever dials the peer."""
        return (self.is_guest, self.vouched) == (other.is_guest, other.vouched)


def newest(sightings: Iterable[Sighting | None]) -> Sighting | None:
    """Return the one whose attestation counts: the highest number, at a tie the greatest signature."""
    attested = [each for each in sightings if each is not None and each.peer.attestation is not None]
    return max(attested, key=_attestation_order, default=None)


def _attestation_order(sighting: Sighting) -> tuple[int, str]:
    attestation = sighting.peer.attestation
    return (attestation.seq, attestation.signature) if attestation else (0, "")


def merge(claims: Iterable[Claim], signed: Sighting | None, *, is_brought: bool = False) -> Known:
    """Make one peer of all claims (at least one) about one endpoint id.

    Args:
        claims: in any order, one of them at least no hint.
        signed: what the node signed with the highest number seen, whoever brought it.
        is_brought: whether a source of the operator did.
    """
    ranked = sorted(claims, key=lambda claim: claim.standing)
    decisive = ranked[0]
    naming = [claim for claim in ranked if not claim.is_hint]
    present = [claim for claim in naming if claim.absent_since is None] or naming
    present += [claim for claim in ranked if claim.is_hint and claim.absent_since is None]
    # Where a node has signed its addresses, only the operator's own hand adds to them.
    counting = [claim.sighting for claim in present if signed is None or claim.origin.kind == "manual"]
    if signed is not None:
        counting.append(signed)
    addresses = tuple(dict.fromkeys(a for each in counting for a in each.peer.direct_addresses))[:MAX_ADDRESSES]
    merged = replace(
        decisive.peer,
        direct_addresses=addresses,
        relay_url=next((each.peer.relay_url for each in counting if each.peer.relay_url), None),
        source=decisive.origin.kind,
        attestation=None,
    )
    attestation = signed.peer.attestation if signed is not None else None
    if signed is not None and merged.content() == signed.peer.content():
        merged = replace(merged, attestation=attestation)
    by_operator = [claim.sighting for claim in present if claim.is_operators]
    standing = [*by_operator, signed] if signed is not None and is_brought else by_operator
    brought = {way for each in standing for way in each.vouched_ways()}
    saying = [claim.sighting for claim in present]
    if signed is not None and signed not in saying:
        saying.append(signed)
    return Known(
        peer=merged,
        endpoint_id=decisive.sighting.endpoint_id,
        sources=tuple(claim.origin.name for claim in naming),
        provenance={a: tuple(each.place for each in saying if a in each.peer.direct_addresses) for a in addresses},
        seq=attestation.seq if attestation is not None else None,
        listens_at=next((each.listens_at for each in saying if each.listens_at), None),
        is_guest=not by_operator,
        vouched=frozenset(brought.intersection((*addresses, merged.relay_url))),
        overruled=tuple(
            _overruled(claim, decisive)
            for claim in present
            if claim.peer.node_id != merged.node_id and not claim.sighting.is_hint
        ),
    )


def _overruled(claim: Claim, decisive: Claim) -> Dropped:
    endpoint_id = decisive.sighting.endpoint_id
    reason = f"{endpoint_id.short} is node {decisive.peer.node_id}, says {decisive.origin.name}"
    return Dropped(claim.origin.name, claim.peer.node_id, endpoint_id, None, reason)


def dropped_addresses(known: Known, claims: Iterable[Claim]) -> list[Dropped]:
    """Return the addresses that claims have and the merged peer has not."""
    taken = set(known.peer.direct_addresses)
    lines = []
    for claim in sorted(claims, key=lambda each: each.standing):
        if claim.absent_since is not None:
            reason = "is no longer in its source"
        elif known.seq is not None:
            reason = f"is not among the addresses that the node signed last (number {known.seq})"
        else:
            reason = f"is beyond {MAX_ADDRESSES} addresses"
        lines += [
            Dropped(claim.origin.name, claim.peer.node_id, known.endpoint_id, address, reason)
            for address in claim.peer.direct_addresses
            if address not in taken
        ]
    return lines


class NodeIdOwners:
    """Which endpoint id holds each node id: of all that claim it, the one with the best standing."""

    def __init__(self) -> None:
        self._claimed: dict[EndpointId, int] = {}
        self._contenders: dict[int, dict[EndpointId, Standing]] = {}
        self._holders: dict[int, EndpointId] = {}

    def holder(self, node_id: int) -> EndpointId | None:
        """Return who holds a node id."""
        return self._holders.get(node_id)

    def held_by(self, endpoint_id: EndpointId) -> int | None:
        """Return the node id that an endpoint id holds; None when it claims none or lost it to another."""
        node_id = self._claimed.get(endpoint_id)
        return node_id if node_id is not None and self._holders[node_id] == endpoint_id else None

    def claim(self, endpoint_id: EndpointId, node_id: int, standing: Standing) -> list[EndpointId]:
        """Enter or replace a claim; return the endpoint ids that gained or lost a node id through it."""
        moved = self.withdraw(endpoint_id) if self._claimed.get(endpoint_id) != node_id else []
        self._claimed[endpoint_id] = node_id
        self._contenders.setdefault(node_id, {})[endpoint_id] = standing
        return moved + self._elect(node_id)

    def withdraw(self, endpoint_id: EndpointId) -> list[EndpointId]:
        """Take a claim back; return as `claim` does."""
        node_id = self._claimed.pop(endpoint_id, None)
        if node_id is None:
            return []
        del self._contenders[node_id][endpoint_id]
        return self._elect(node_id)

    def _elect(self, node_id: int) -> list[EndpointId]:
        contenders = self._contenders[node_id]
        if not contenders:
            del self._contenders[node_id]
            return [self._holders.pop(node_id)]
        before = self._holders.get(node_id)
        after = min(contenders, key=lambda each: contenders[each])
        if after == before:
            return []
        self._holders[node_id] = after
        return [after] if before is None else [before, after]
