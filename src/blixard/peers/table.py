# SPDX-License-Identifier: MIT
"""The table of peers: takes in the sources' answers and says what changed, at a cost that follows the change."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from blixard.documents.json_times import parse_time
from blixard.model.numbers import is_ahead
from blixard.ordered_set import OrderedSet
from blixard.peers.claims import (
    Claim,
    Dropped,
    Known,
    NodeIdOwners,
    Origin,
    dropped_addresses,
    merge,
    newest,
)
from blixard.sources.base import Failed, Found

if TYPE_CHECKING:
    from datetime import datetime

    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId
    from blixard.sources.base import Answer, Sighting

ABSENT_INTERVALS = 3
"""Refresh intervals for which a peer must be absent from its source's good answers before it is dropped: longer
than an editor, a half-finished rollout or a restarting registry server leaves it out."""

HINT_REASON = "is a hint, which no fleet key signed: it counts when another source names this node"

_Touched = OrderedSet["EndpointId"]
"""Endpoint ids whose claims changed; a dict, because it keeps its order and so makes runs repeatable."""


@dataclass(frozen=True)
class Change:
    """What became of one peer: `known` is the peer as it is now, or as it was when it was removed.

    `vouched`: the same peer is named by others than before, so that other addresses of it count.
    """

    kind: Literal["discovered", "updated", "vouched", "removed"]
    known: Known


@dataclass
class _Book:
    """One source's claims, and which of them are absent from its last good answer."""

    origin: Origin
    answer: Answer | None = None
    claims: dict[EndpointId, Claim] = field(default_factory=dict)
    absent: _Touched = field(default_factory=OrderedSet)


class PeerTable:
    """Who the peers are. Pure: it is told the time, and changes only what a call's arguments change."""

    def __init__(self, *, hold: float, own: EndpointId | None = None, own_node_id: int | None = None) -> None:
        """`hold`: seconds for which an absent peer is kept. `own`, `own_node_id`: never a peer."""
        self._hold = hold
        self._own = own
        self._own_node_id = own_node_id
        self._books: dict[str, _Book] = {}
        self._claims: dict[EndpointId, dict[str, Claim]] = {}
        self._signed: dict[EndpointId, Sighting] = {}
        self._brought: dict[EndpointId, str] = {}
        self._expiries: list[tuple[datetime, EndpointId, str]] = []
        self._most_expiries = 0
        self._refused: dict[tuple[str, EndpointId], Dropped] = {}
        self._news: list[Dropped] = []
        self._holders = NodeIdOwners()
        self._known: dict[EndpointId, Known] = {}
        self._affected: _Touched | None = None

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Known]:
        """All peers, in no particular order."""
        return iter(self._known.values())

    def find(self, endpoint_id: EndpointId) -> Known | None:
        """Return the peer with this endpoint id."""
        return self._known.get(endpoint_id)

    def get(self, node_id: int) -> Known | None:
        """Return the peer with this node id."""
        holder = self._holders.holder(node_id)
        return None if holder is None else self._known.get(holder)

    def node_ids(self) -> dict[EndpointId, int]:
        """Return the node id of each peer that is no guest."""
        return {known.endpoint_id: known.peer.node_id for known in self if not known.is_guest}

    def claims_of(self, origin: Origin) -> list[Claim]:
        """Return a source's claims."""
        book = self._books.get(origin.name)
        return [] if book is None else list(book.claims.values())

    def newest_seq(self, endpoint_id: EndpointId) -> int:
        """Return the highest attestation number seen of a peer, 0 if none."""
        signed = self._signed.get(endpoint_id)
        return signed.peer.seq if signed is not None else 0

    def attested(self, endpoint_id: EndpointId) -> DiscoveredPeer | None:
        """Return a peer exactly as it has signed itself last; None where there is no such peer or it signed nothing."""
        signed = self._signed.get(endpoint_id) if endpoint_id in self._known else None
        return signed.peer if signed is not None else None

    def take_affected(self) -> list[EndpointId]:
        """Return who may have come, gone or changed since the last call; the first call returns all peers.

        Only for whoever goes on calling it: what is not taken is kept.
        """
        taken = list(self._known if self._affected is None else self._affected)
        self._affected = OrderedSet()
        return taken

    def take_news(self) -> list[Dropped]:
        """Return the claims that were refused since the last call, to be told about once."""
        news, self._news = self._news, []
        return news

    def dropped(self) -> list[Dropped]:
        """Return everything that sources say and that does not count, sorted by node id."""
        lines = list(self._refused.values())
        for endpoint_id, claims in self._claims.items():
            known = self._known.get(endpoint_id)
            if known is not None:
                lines += known.overruled
                lines += dropped_addresses(known, claims.values())
            else:
                lines += [_dropped(claim, self._why_nobody(claim)) for claim in claims.values()]
        return sorted(lines, key=lambda line: (line.node_id, line.endpoint_id, line.source, line.address or ""))

    def apply(self, origin: Origin, answer: Answer, now: float) -> list[Change]:
        """Take in a source's answer.

        The very same sightings again, and Failed, cost nothing; with a failure counts what is remembered of the
        source. Returns the changes, removals first, then by node id.
        """
        book = self._books.setdefault(origin.name, _Book(origin))
        if isinstance(answer, Failed):
            if answer.remembered is None:
                return []
            answer = answer.remembered
        touched: _Touched = OrderedSet()
        if answer is not book.answer:
            before, book.answer = book.answer, answer
            said = _said(answer)
            if before is None or said is not _said(before):
                self._compare(book, said, now, touched)
        final = isinstance(answer, Found) and answer.final
        self._drop_absent(book, touched, now, at_once=final)
        return self._publish_changes(touched)

    def prune(self, now: float) -> list[Change]:
        """Drop at once who is absent from the last good answers of the peers files, whatever the hold."""
        touched: _Touched = OrderedSet()
        for book in self._books.values():
            if book.origin.kind == "static":
                self._drop_absent(book, touched, now, at_once=True)
        return self._publish_changes(touched)

    def rank(self, origins: Iterable[Origin], *, hold: float) -> list[Change]:
        """Take over a new order of the sources, and a new time for which absent peers are kept."""
        self._hold = hold
        touched: _Touched = OrderedSet()
        for origin in origins:
            book = self._books.get(origin.name)
            if book is not None and book.origin != origin:
                before, book.origin = book.origin, origin
                for endpoint_id, claim in tuple(book.claims.items()):
                    self._enter(book, replace(claim, origin=origin))
                    if origin.is_hint != before.is_hint:
                        self._bring_anew(endpoint_id)
                touched.update(book.claims)
        return self._publish_changes(touched)

    def retire(self, name: str) -> list[Change]:
        """Drop at once all that the source `name` has said."""
        book = self._books.pop(name, None)
        if book is None:
            return []
        touched = OrderedSet(book.claims)
        for endpoint_id in touched:
            self._drop(book, endpoint_id)
        self._refused = {key: line for key, line in self._refused.items() if key[0] != name}
        return self._publish_changes(touched)

    def put(self, origin: Origin, sighting: Sighting) -> list[Change]:
        """Add or replace one claim of a source that has no answers as a whole (manual, join, hello)."""
        book = self._books.setdefault(origin.name, _Book(origin))
        touched: _Touched = OrderedSet()
        self._put(book, sighting, touched)
        return self._publish_changes(touched)

    def withdraw(self, origin: Origin, endpoint_id: EndpointId) -> list[Change]:
        """Drop one claim of a source at once."""
        book = self._books.get(origin.name)
        if book is None or endpoint_id not in book.claims:
            return []
        self._drop(book, endpoint_id)
        return self._publish_changes(OrderedSet([endpoint_id]))

    def attest(self, sighting: Sighting) -> list[Change]:
        """Take in what a known peer has signed about itself. It makes nobody a peer, and keeps nobody one."""
        if sighting.endpoint_id not in self._claims:
            return []
        self._remember_signature(sighting, by_operator=False)
        return self._publish_changes(OrderedSet([sighting.endpoint_id]))

    def expire(self, wall: datetime) -> list[Change]:
        """Drop the claims whose attestation has expired."""
        touched: _Touched = OrderedSet()
        while self._expiries and self._expiries[0][0] <= wall:
            _, endpoint_id, signature = heapq.heappop(self._expiries)
            self._strike(endpoint_id, signature, "its attestation has expired", touched)
        return self._publish_changes(touched)

    def refuse_ahead(self, wall: datetime) -> list[Change]:
        """Drop the claims whose number is far ahead of `wall`: they came before this machine's clock was set."""
        touched: _Touched = OrderedSet()
        for endpoint_id in tuple(self._claims):
            for sighting in (*(c.sighting for c in self._claims[endpoint_id].values()), self._signed.get(endpoint_id)):
                attestation = sighting.peer.attestation if sighting is not None else None
                if attestation is not None and is_ahead(attestation.seq, wall):
                    reason = f"its attestation has number {attestation.seq}, which is far ahead of now"
                    self._strike(endpoint_id, attestation.signature, reason, touched)
        return self._publish_changes(touched)

    def _strike(self, endpoint_id: EndpointId, signature: str, reason: str, touched: _Touched) -> None:
        """Let what was signed so count no longer."""
        for claim in tuple(self._claims.get(endpoint_id, {}).values()):
            if _signed_with(claim.peer, signature):
                self._drop(self._books[claim.origin.name], endpoint_id)
                self._refuse(claim, reason)
                touched.add(endpoint_id)
        signed = self._signed.get(endpoint_id)
        if signed is not None and _signed_with(signed.peer, signature):
            self._sign_anew(endpoint_id)
            touched.add(endpoint_id)

    def _drop_absent(self, book: _Book, touched: _Touched, now: float, *, at_once: bool) -> None:
        for endpoint_id in [each for each in book.absent if at_once or self._is_over(book.claims[each], now)]:
            self._drop(book, endpoint_id)
            touched.add(endpoint_id)

    def _is_over(self, claim: Claim, now: float) -> bool:
        return claim.absent_since is not None and now - claim.absent_since >= self._hold

    def _compare(self, book: _Book, sightings: Collection[Sighting], now: float, touched: _Touched) -> None:
        """Bring a source's claims in line with its new answer."""
        # By identity first: to hash all ids of a large fleet costs more than all the rest.
        present = {id(claim.sighting): claim for claim in book.claims.values() if claim.absent_since is None}
        news = [sighting for sighting in sightings if present.pop(id(sighting), None) is None]
        for sighting in news:
            self._put(book, sighting, touched)
        changed = {sighting.endpoint_id for sighting in news}
        for claim in present.values():
            endpoint_id = claim.sighting.endpoint_id
            if endpoint_id not in changed:
                self._enter(book, replace(claim, absent_since=now))
                book.absent.add(endpoint_id)
                touched.add(endpoint_id)
        if any(name == book.origin.name for name, _ in self._refused):
            named = {sighting.endpoint_id for sighting in sightings}
            for name, endpoint_id in tuple(self._refused):
                if name == book.origin.name and endpoint_id not in named:
                    del self._refused[name, endpoint_id]

    def _put(self, book: _Book, sighting: Sighting, touched: _Touched) -> None:
        endpoint_id = sighting.endpoint_id
        claim = Claim(book.origin, sighting)
        self._refused.pop((book.origin.name, endpoint_id), None)
        if endpoint_id == self._own:
            return
        if sighting.peer.node_id == self._own_node_id:
            self._refuse(claim, "this node itself has that node id")
            return
        newest_seq = self.newest_seq(endpoint_id)
        if 0 < claim.seq < newest_seq:
            self._refuse(claim, f"its attestation has number {claim.seq}, and {newest_seq} was seen before")
        self._remember_signature(sighting, by_operator=claim.is_operators)
        book.absent.discard(endpoint_id)
        self._enter(book, claim)
        touched.add(endpoint_id)

    def _remember_signature(self, sighting: Sighting, *, by_operator: bool) -> None:
        endpoint_id = sighting.endpoint_id
        attestation = sighting.peer.attestation
        signed = newest((self._signed.get(endpoint_id), sighting))
        if signed is not None:
            self._signed[endpoint_id] = signed
            # Remembered by the signature: it stays the operator's word when his source goes back to an older one.
            if by_operator and attestation is not None and _signed_with(signed.peer, attestation.signature):
                self._brought[endpoint_id] = attestation.signature
        if attestation is not None and attestation.expires_at is not None:
            item = (parse_time(attestation.expires_at), endpoint_id, attestation.signature)
            if len(self._expiries) > self._most_expiries:
                self._clear_expiries()
            heapq.heappush(self._expiries, item)

    def _clear_expiries(self) -> None:
        """Let go of what nothing carries any more: who signs anew again and again, to end in 9999, costs no memory."""
        used = {(id_, each.peer.attestation.signature) for id_, each in self._signed.items() if each.peer.attestation}
        for endpoint_id, claims in self._claims.items():
            used |= {(endpoint_id, c.peer.attestation.signature) for c in claims.values() if c.peer.attestation}
        self._expiries = sorted({item for item in self._expiries if item[1:] in used})
        self._most_expiries = 2 * len(self._expiries) + 64

    def _enter(self, book: _Book, claim: Claim) -> None:
        endpoint_id = claim.sighting.endpoint_id
        book.claims[endpoint_id] = claim
        self._claims.setdefault(endpoint_id, {})[book.origin.name] = claim

    def _drop(self, book: _Book, endpoint_id: EndpointId) -> None:
        del book.claims[endpoint_id]
        book.absent.discard(endpoint_id)
        self._refused.pop((book.origin.name, endpoint_id), None)
        claims = self._claims[endpoint_id]
        del claims[book.origin.name]
        if not claims:
            del self._claims[endpoint_id]
        if all(claim.is_hint for claim in claims.values()):
            # It is nobody's peer any more: what it signed is forgotten too, but for what the hints bring.
            self._brought.pop(endpoint_id, None)
            self._sign_anew(endpoint_id)

    def _sign_anew(self, endpoint_id: EndpointId) -> None:
        """Find the attestation that counts among the claims that are left."""
        claims = self._claims.get(endpoint_id, {}).values()
        best = newest(claim.sighting for claim in claims)
        if best is None:
            self._signed.pop(endpoint_id, None)
        else:
            self._signed[endpoint_id] = best
            for claim in claims:
                if claim.is_operators and claim.sighting == best:
                    self._brought[endpoint_id] = best.peer.attestation.signature if best.peer.attestation else ""

    def _bring_anew(self, endpoint_id: EndpointId) -> None:
        """Find out again whether an operator's source brings the attestation that counts."""
        self._brought.pop(endpoint_id, None)
        for claim in self._claims[endpoint_id].values():
            self._remember_signature(claim.sighting, by_operator=claim.is_operators)

    def _refuse(self, claim: Claim, reason: str) -> None:
        dropped = _dropped(claim, reason)
        self._refused[claim.origin.name, claim.sighting.endpoint_id] = dropped
        self._news.append(dropped)

    def _why_nobody(self, claim: Claim) -> str:
        """Say why a claim makes nobody a peer."""
        decisive = min(self._claims[claim.sighting.endpoint_id].values(), key=lambda each: each.standing)
        if decisive.is_hint:
            return HINT_REASON
        holder = self.get(decisive.peer.node_id)
        if holder is None:
            return "another claim counts"
        return f"node {decisive.peer.node_id} is {holder.endpoint_id.short}, says {holder.sources[0]}"

    def _publish_changes(self, touched: _Touched) -> list[Change]:
        """Work out what the touched claims mean for the peers."""
        affected = OrderedSet(touched)
        for endpoint_id in touched:
            claims = self._claims.get(endpoint_id, {}).values()
            decisive = min(claims, key=lambda claim: claim.standing, default=None)
            if decisive is None or decisive.is_hint:
                moved = self._holders.withdraw(endpoint_id)
            else:
                moved = self._holders.claim(endpoint_id, decisive.peer.node_id, decisive.standing)
            affected.update(moved)
        if self._affected is not None:
            self._affected.update(affected)
        changes = [change for endpoint_id in affected if (change := self._remake(endpoint_id)) is not None]
        return sorted(changes, key=lambda change: (change.kind != "removed", change.known.peer.node_id))

    def _remake(self, endpoint_id: EndpointId) -> Change | None:
        before = self._known.get(endpoint_id)
        if self._holders.held_by(endpoint_id) is None:
            self._known.pop(endpoint_id, None)
            # A hint about nobody is an everyday thing: it is listed, and not told about.
            lost = [claim for claim in self._claims.get(endpoint_id, {}).values() if not claim.is_hint]
            self._news += [_dropped(claim, self._why_nobody(claim)) for claim in lost]
            return None if before is None else Change("removed", before)
        signed = self._signed.get(endpoint_id)
        brought = signed is not None and _signed_with(signed.peer, self._brought.get(endpoint_id, ""))
        after = merge(self._claims[endpoint_id].values(), signed, is_brought=brought)
        self._known[endpoint_id] = after
        self._news += [line for line in after.overruled if before is None or line not in before.overruled]
        if before is None:
            return Change("discovered", after)
        if before.peer.content() != after.peer.content():
            return Change("updated", after)
        return None if after.is_dialled_like(before) else Change("vouched", after)


def _said(answer: Answer) -> tuple[Sighting, ...]:
    return answer.sightings if isinstance(answer, Found) else ()


def _signed_with(peer: DiscoveredPeer, signature: str) -> bool:
    return peer.attestation is not None and peer.attestation.signature == signature


def _dropped(claim: Claim, reason: str) -> Dropped:
    return Dropped(claim.origin.name, claim.peer.node_id, claim.sighting.endpoint_id, None, reason)
