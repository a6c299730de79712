# SPDX-License-Identifier: MIT
"""Attestations: a node signs its own entry with its iroh key, and anyone verifies it from the entry alone."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import canonical_bytes
from blixard.errors import InputError, TrustError
from blixard.model.encodings import encode_base64
from blixard.model.entry import Attestation, Content, DiscoveredPeer, NodeRegistryEntry, parse_signature
from blixard.model.limits import MAX_SAFE_INTEGER
from blixard.model.numbers import AHEAD, check_number, is_ahead, is_clock_set
from blixard.model.times import format_time, parse_whole_second
from blixard.trust.keys import SecretKey, verify

if TYPE_CHECKING:
    from blixard.model.entry import Content, DiscoveredPeer


DOMAIN = "blixard/registry/v1"


def attest(
    entry: NodeRegistryEntry,
    key: SecretKey,
    *,
    cluster: str,
    now: datetime,
    previous: NodeRegistryEntry | None = None,
    expires_at: datetime | None = None,
) -> NodeRegistryEntry:
    """Return `entry` with the attestation of the node whose key this is.

    When nothing changed since `previous` and its attestation still holds, that one is kept: the sequence
    number grows with the content and only then, to max(last + 1, now in Unix seconds), so that a node that
    lost its memory is not locked out. A last number far ahead of now, which nobody takes, counts for nothing.

    Args:
        entry: what to sign; its Iroh id must be the key's.
        key: the node's secret key.
        cluster: the cluster it is valid in.
        now: the present, with a time zone.
        previous: the last entry that this node signed, if it is known.
        expires_at: when the attestation ends; None for never. Asking for another end signs anew.

    Raises:
        InputError: the key is another node's, the node id is beyond what RFC 8785 can write (2^53 - 1), or the
            attestation would end before it begins.
    """
    if key.public() != entry.endpoint_id:
        raise InputError("is not the id of the key that is to sign it", place="/iroh_node_id")
    if entry.cluster_node_id > MAX_SAFE_INTEGER:
        raise InputError(f"must be at most {MAX_SAFE_INTEGER} to be signed", place="/cluster_node_id")
    end = None if expires_at is None else _second(expires_at)
    last = _last(previous, cluster, key, now)
    if _still_good(entry, previous, last, end, now):
        return dataclasses.replace(entry, attestation=last)
    seq = max(last.seq + 1 if last else 1, int(now.timestamp()))
    issued_at = _second(now)
    if end is not None and parse_whole_second(end) <= parse_whole_second(issued_at):
        raise InputError(f"{end} is not after now, {issued_at}", place="/expires_at", mend="choose a later end")
    message = _message(entry.content(), cluster, seq, issued_at, end)
    attestation = Attestation(cluster, seq, issued_at, end, encode_base64(key.sign(message)))
    return dataclasses.replace(entry, attestation=attestation)


def verify_attestation(
    entry: NodeRegistryEntry | DiscoveredPeer,
    *,
    cluster: str | None = None,
    now: datetime | None = None,
    lasting: timedelta = timedelta(),
) -> Attestation:
    """Return the attestation of `entry` when it holds.

    Args:
        entry: a registry entry or a peer.
        cluster: the cluster it must be for; None for any.
        now: the present, to refuse what has expired, and a number or a time of signing far ahead of it; None not
            to look.
        lasting: for how long from `now` it must hold.

    Raises:
        TrustError: there is none, it is not this node's signature over this content, it is for another
            cluster, it has expired or never held, or it is from the future.
    """
    attestation = entry.attestation
    who = f"node {entry.node_id} ({entry.endpoint_id.short})"
    if attestation is None:
        raise TrustError(f"{who}: has no attestation")
    if not _signature_holds(entry, attestation):
        raise TrustError(f"{who}: the attestation's signature does not fit the entry")
    if cluster is not None and attestation.cluster != cluster:
        raise TrustError(f'{who}: attested for cluster "{attestation.cluster}", not "{cluster}"')
    try:
        _check_timely(attestation, now, lasting)
    except TrustError as error:
        raise TrustError(f"{who}: {error}") from None
    return attestation


def _check_timely(attestation: Attestation, now: datetime | None, lasting: timedelta = timedelta()) -> None:
    """Refuse an attestation that does not hold at `now`, whoever signed it; see `verify_attestation`.

    Raises:
        TrustError: it does not.
    """
    end = attestation.expires_at
    if end is not None and parse_whole_second(end) <= parse_whole_second(attestation.issued_at):
        raise TrustError(f"the attestation ends at {end}, not after it was signed ({attestation.issued_at})")
    if now is None:
        return
    if _expired(attestation, now):
        raise TrustError(f"the attestation expired at {end}")
    if _expired(attestation, now + lasting):
        raise TrustError(f"the attestation ends too soon, at {end}; sign it anew with a later end")
    check_number(attestation.seq, now)
    if is_clock_set(now) and parse_whole_second(attestation.issued_at) > now + AHEAD:
        raise TrustError(f"the attestation was signed at {attestation.issued_at}, more than a day ahead of now")


def _signature_holds(entry: NodeRegistryEntry | DiscoveredPeer, attestation: Attestation) -> bool:
    if entry.node_id > MAX_SAFE_INTEGER:
        return False
    message = _message(
        entry.content(),
        attestation.cluster,
        attestation.seq,
        attestation.issued_at,
        attestation.expires_at,
    )
    signature = parse_signature(attestation.signature, "/attestation/signature")
    return verify(entry.endpoint_id, message, signature)


def _message(content: Content, cluster: str, seq: int, issued_at: str, expires_at: str | None) -> bytes:
    node_id, iroh_node_id, direct_addresses, relay_url = content
    return canonical_bytes(
        {
            "domain": DOMAIN,
            "cluster": cluster,
            "seq": seq,
            "issued_at": issued_at,
            "expires_at": expires_at,
            "node_id": node_id,
            "iroh_node_id": iroh_node_id,
            "direct_addresses": list(direct_addresses),
            "relay_url": relay_url,
        }
    )


def _last(previous: NodeRegistryEntry | None, cluster: str, key: SecretKey, now: datetime) -> Attestation | None:
    """The last attestation that this key made for this cluster; what others signed counts for nothing."""
    if previous is None or previous.endpoint_id != key.public():
        return None
    try:
        last = verify_attestation(previous, cluster=cluster)
    except TrustError:
        return None
    return None if is_ahead(last.seq, now) or last.seq >= MAX_SAFE_INTEGER else last


def _still_good(
    entry: NodeRegistryEntry,
    previous: NodeRegistryEntry | None,
    last: Attestation | None,
    end: str | None,
    now: datetime,
) -> bool:
    return (
        previous is not None
        and last is not None
        and entry.content() == previous.content()
        and last.expires_at == end
        and _is_timely(last, now)
    )


def _is_timely(attestation: Attestation, now: datetime) -> bool:
    try:
        _check_timely(attestation, now)
    except TrustError:
        return False
    return True


def _expired(attestation: Attestation, now: datetime) -> bool:
    return attestation.expires_at is not None and parse_whole_second(attestation.expires_at) <= now


def _second(moment: datetime) -> str:
    return format_time(moment.astimezone(timezone.utc).replace(microsecond=0))


MAX_REMEMBERED = 100_000
"""Attestations that are remembered as good: twice the peers of the largest peers file."""


@dataclasses.dataclass(frozen=True)
class _Verified:
    """A peer whose signature holds, and from when until when it is timely as well, see `_check_timely`."""

    peer: DiscoveredPeer
    since: datetime
    until: datetime

    def covers(self, peer: DiscoveredPeer, now: datetime) -> bool:
        """Tell whether `peer` says the same, and is timely."""
        return self.since <= now < self.until and (self.peer is peer or _signed(self.peer) == _signed(peer))


def _signed(peer: DiscoveredPeer) -> tuple[Content, Attestation | None]:
    return peer.content(), peer.attestation


_FOR_EVER = datetime.max.replace(tzinfo=timezone.utc)


class AttestationCheck:
    """Says what is wrong with a peer's attestation. Shared by all sources of a manager, also across threads."""

    def __init__(self, *, cluster: str | None, wall: Callable[[], datetime]) -> None:
        """`cluster`: the one that every attestation must be for; None for any. `wall`: the date and time."""
        self._cluster = cluster
        self._wall = wall
        self._good: dict[str, _Verified] = {}
        self._unattested: str | None = None

    def demanding(self, why: str) -> AttestationCheck:
        """Return the same check, for a place whose word alone does not count: no attestation is a problem there.

        Args:
            why: why it does not count, and the mend; follows "has no attestation, ".
        """
        demanding = copy.copy(self)  # what was verified is remembered for both
        demanding._unattested = why
        return demanding

    def problem(self, peer: DiscoveredPeer) -> str | None:
        """Return one line when the attestation does not hold; None when it does, or there is none and need be none."""
        return self.problems([peer]).get(peer.iroh_node_id)

    def problems(self, peers: Iterable[DiscoveredPeer]) -> dict[str, str]:
        """Return `problem` of each peer that has one, by Iroh id; no id may be there twice."""
        now = self._wall()
        problems = {}
        for peer in peers:
            good = self._good.get(peer.iroh_node_id)
            if peer.attestation is None:
                if self._unattested is not None:
                    who = f"node {peer.node_id} ({peer.endpoint_id.short})"
                    problems[peer.iroh_node_id] = f"{who}: has no attestation, {self._unattested}"
                continue
            if good is not None and good.covers(peer, now):
                continue
            try:
                attestation = verify_attestation(peer, cluster=self._cluster, now=now)
            except TrustError as error:
                problems[peer.iroh_node_id] = str(error)
            else:
                self._remember(peer, attestation, now)
        return problems

    def _remember(self, peer: DiscoveredPeer, attestation: Attestation, now: datetime) -> None:
        if not is_clock_set(now):
            return  # it judges nothing, and the number may be of any size
        if len(self._good) >= MAX_REMEMBERED and peer.iroh_node_id not in self._good:
            self._good.clear()
        begin, end = parse_whole_second(attestation.issued_at), attestation.expires_at
        since = max(begin, datetime.fromtimestamp(attestation.seq, timezone.utc)) - AHEAD
        until = _FOR_EVER if end is None else parse_whole_second(end)
        self._good[peer.iroh_node_id] = _Verified(peer, since, until)
