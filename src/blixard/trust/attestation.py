# SPDX-License-Identifier: MIT
"""Attestations: a node signs its own entry with its iroh key, and anyone verifies it from the entry alone."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

from blixard.documents.canonical import canonical_bytes
from blixard.errors import InputError, TrustError
from blixard.model.encodings import encode_base64
from blixard.model.entry import Attestation, Content, DiscoveredPeer, NodeRegistryEntry, parse_signature
from blixard.model.limits import MAX_SAFE_INTEGER
from blixard.model.times import format_time, parse_whole_second
from blixard.trust.keys import SecretKey, verify

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
    lost its memory is not locked out.

    Args:
        entry: what to sign; its Iroh id must be the key's.
        key: the node's secret key.
        cluster: the cluster it is valid in.
        now: the present, with a time zone.
        previous: the last entry that this node signed, if it is known.
        expires_at: when the attestation ends; None for never. Asking for another end signs anew.

    Raises:
        InputError: the key is another node's, or the node id is beyond what RFC 8785 can write (2^53 - 1).
    """
    if key.public() != entry.endpoint_id:
        raise InputError("is not the id of the key that is to sign it", place="/iroh_node_id")
    if entry.cluster_node_id > MAX_SAFE_INTEGER:
        raise InputError(f"must be at most {MAX_SAFE_INTEGER} to be signed", place="/cluster_node_id")
    end = None if expires_at is None else _second(expires_at)
    last = _last(previous, cluster, key)
    if _still_good(entry, previous, last, end, now):
        return dataclasses.replace(entry, attestation=last)
    seq = max(last.seq + 1 if last else 1, int(now.timestamp()), 1)
    issued_at = _second(now)
    message = _message(entry.content(), cluster, seq, issued_at, end)
    attestation = Attestation(cluster, seq, issued_at, end, encode_base64(key.sign(message)))
    return dataclasses.replace(entry, attestation=attestation)


def verify_attestation(
    entry: NodeRegistryEntry | DiscoveredPeer, *, cluster: str | None = None, now: datetime | None = None
) -> Attestation:
    """Return the attestation of `entry` when it holds.

    Args:
        entry: a registry entry or a peer.
        cluster: the cluster it must be for; None for any.
        now: the present, to refuse an expired one; None not to look.

    Raises:
        TrustError: there is none, it is not this node's signature over this content, it is for another
            cluster, or it has expired.
    """
    attestation = entry.attestation
    who = f"node {entry.node_id} ({entry.endpoint_id.short})"
    if attestation is None:
        raise TrustError(f"{who}: has no attestation")
    if not _signature_holds(entry, attestation):
        raise TrustError(f"{who}: the attestation's signature does not fit the entry")
    if cluster is not None and attestation.cluster != cluster:
        raise TrustError(f'{who}: attested for cluster "{attestation.cluster}", not "{cluster}"')
    if now is not None and _expired(attestation, now):
        raise TrustError(f"{who}: the attestation expired at {attestation.expires_at}")
    return attestation


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


def _last(previous: NodeRegistryEntry | None, cluster: str, key: SecretKey) -> Attestation | None:
    """The last attestation that this key made for this cluster; what others signed counts for nothing."""
    if previous is None or previous.endpoint_id != key.public():
        return None
    try:
        return verify_attestation(previous, cluster=cluster)
    except TrustError:
        return None


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
        and not _expired(last, now)
    )


def _expired(attestation: Attestation, now: datetime) -> bool:
    return attestation.expires_at is not None and parse_whole_second(attestation.expires_at) <= now


def _second(moment: datetime) -> str:
    return format_time(moment.astimezone(timezone.utc).replace(microsecond=0))
