# SPDX-License-Identifier: MIT
"""Entries: what a registry file says of its node, and what a peers file says of a peer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from blixard.errors import InputError
from blixard.model import fields
from blixard.model.addresses import SocketAddress
from blixard.model.encodings import decode_base64
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_SAFE_INTEGER
from blixard.model.times import EPOCH, format_time, parse_whole_second
from blixard.model.words import MISSING, UNKNOWN, wrong_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIGNATURE_BYTES = 64
_NOT_A_SIGNATURE = "is not a signature: that is 64 bytes, written as 88 characters of base64"

Content = tuple[int, str, tuple[str, ...], str | None]
"""Node id, Iroh id (base64), direct addresses, relay URL: what a node signs about itself."""

_ATTESTATION_FIELDS = ("cluster", "seq", "issued_at", "expires_at", "signature")
_REGISTRY_FIELDS = ("cluster_node_id", "iroh_node_id", "direct_addresses", "relay_url", "address")
_PEER_FIELDS = ("node_id", "iroh_node_id", "direct_addresses", "relay_url", "source", "discovered_at")


@dataclass(frozen=True)
class Attestation:
    """A node's signature over its own entry; `blixard.trust.attestation` makes and verifies it.

    Attributes:
        cluster: name of the cluster it is valid in.
        seq: grows with the content, 1 to 2^53 - 1.
        issued_at: RFC 3339, UTC, whole seconds.
        expires_at: the same, or None for never.
        signature: padded base64 of the 64 bytes of an ed25519 signature.

    Raises:
        InputError: a field breaks its rule; the place is the field's pointer within the attestation.
    """

    cluster: str
    seq: int
    issued_at: str
    expires_at: str | None
    signature: str

    def __post_init__(self) -> None:
        fields.cluster(self.cluster)
        fields.integer(self.seq, "/seq", least=1, most=MAX_SAFE_INTEGER)
        fields.at("/issued_at", parse_whole_second, self.issued_at)
        if self.expires_at is not None:
            fields.at("/expires_at", parse_whole_second, self.expires_at)
        parse_signature(self.signature, "/signature")

    @classmethod
    def from_json(cls, obj: object) -> Attestation:
        """Make it of a JSON object with exactly the five fields."""
        members = _object(obj, _ATTESTATION_FIELDS)
        for name in sorted(members):
            if name not in _ATTESTATION_FIELDS:
                raise InputError(UNKNOWN, place=fields.pointer(name))
        return cls(*(members[name] for name in _ATTESTATION_FIELDS))

    def to_json(self) -> dict[str, object]:
        """Return the JSON object, in the documented order."""
        return {name: getattr(self, name) for name in _ATTESTATION_FIELDS}


@dataclass(frozen=True)
class NodeRegistryEntry:
    """One node's registry: who it is in the cluster, its Iroh id, and where it can be reached.

    Attributes:
        cluster_node_id: 1 to 2^64 - 1.
        iroh_node_id: any form that EndpointId reads; kept as padded base64.
        direct_addresses: `ip:port` or `[v6]:port`, at most 64, kept as written (they are signed so).
        relay_url: http or https URL, or None.
        address: `host:port` that the node listens on.
        attestation: the node's signature over all but `address`, or None.
        extra: fields that are not known here; kept, and written last.

    Raises:
        InputError: a field breaks its rule; the place is the field's JSON pointer.
    """

    cluster_node_id: int
    iroh_node_id: str
    direct_addresses: Sequence[str]
    relay_url: str | None
    address: str
    attestation: Attestation | None = None
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        fields.node_id(self.cluster_node_id, "/cluster_node_id")
        _normalise(self)
        fields.address(self.address)
        _check_extra(self.extra, _REGISTRY_FIELDS)

    @classmethod
    def from_json(cls, obj: object) -> NodeRegistryEntry:
        """Make it of the JSON object of a registry file; all five fields must be there."""
        return cls(**_arguments(obj, _REGISTRY_FIELDS))

    def to_json(self) -> dict[str, object]:
        """Return the JSON object in the seed's order, then `attestation`, then the extra fields by name."""
        return _members(self, _REGISTRY_FIELDS)

    @property
    def node_id(self) -> int:
        """The cluster node id, under the name that peers have it."""
        return self.cluster_node_id

    @property
    def endpoint_id(self) -> EndpointId:
        """The Iroh id as a value."""
        return EndpointId.parse(self.iroh_node_id)

    @property
    def seq(self) -> int:
        """The number of its attestation; 0 where it has none, which is below every other."""
        return self.attestation.seq if self.attestation is not None else 0

    @property
    def socket_addresses(self) -> tuple[SocketAddress, ...]:
        """The direct addresses as values, in order, each once."""
        return _socket_addresses(self.direct_addresses)

    def content(self) -> Content:
        """Return what the node signs about itself, to tell whether it has changed."""
        return (self.cluster_node_id, self.iroh_node_id, tuple(self.direct_addresses), self.relay_url)


@dataclass(frozen=True)
class DiscoveredPeer:
    """A peer as a peers file lists it and as sources find it.

    Attributes:
        node_id: the cluster node id, 1 to 2^64 - 1.
        iroh_node_id, direct_addresses, relay_url, attestation, extra: as in NodeRegistryEntry.
        source: the word for where it was found, at most 256 characters.
        discovered_at: when, with a time zone, 1970 or later; kept in UTC.

    Raises:
        InputError: a field breaks its rule; the place is the field's JSON pointer.
    """

    node_id: int
    iroh_node_id: str
    direct_addresses: Sequence[str]
    relay_url: str | None
    source: str
    discovered_at: datetime
    attestation: Attestation | None = None
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        fields.node_id(self.node_id, "/node_id")
        _normalise(self)
        fields.source(self.source)
        object.__setattr__(self, "discovered_at", _utc(self.discovered_at))
        _check_extra(self.extra, _PEER_FIELDS)

    @classmethod
    def from_entry(cls, entry: NodeRegistryEntry, source: str, discovered_at: datetime) -> DiscoveredPeer:
        """Make a peer of a registry entry, with its attestation, without its extra fields."""
        return cls(*entry.content(), source, discovered_at, entry.attestation)

    @classmethod
    def from_json(cls, obj: object) -> DiscoveredPeer:
        """Make it of one object of a peers file whose `discovered_at` is already a datetime."""
        return cls(**_arguments(obj, _PEER_FIELDS))

    def to_json(self) -> dict[str, object]:
        """Return the JSON object in the seed's order, then `attestation`, then the extra fields by name."""
        members = _members(self, _PEER_FIELDS)
        members["discovered_at"] = format_time(self.discovered_at)
        return members

    @property
    def seq(self) -> int:
        """The number of its attestation; 0 where it has none, which is below every other."""
        return self.attestation.seq if self.attestation is not None else 0

    @property
    def endpoint_id(self) -> EndpointId:
        """The Iroh id as a value."""
        return EndpointId.parse(self.iroh_node_id)

    @property
    def socket_addresses(self) -> tuple[SocketAddress, ...]:
        """The direct addresses as values, in order, each once."""
        return _socket_addresses(self.direct_addresses)

    def content(self) -> Content:
        """Return what the node signs about itself, to tell whether it has changed."""
        return (self.node_id, self.iroh_node_id, tuple(self.direct_addresses), self.relay_url)


def parse_signature(value: object, place: str) -> bytes:
    """Return the 64 bytes of a signature in padded base64."""
    if not isinstance(value, str):
        raise InputError(wrong_kind("a string", value), place=place)
    raw = decode_base64(value)
    if raw is None or len(raw) != _SIGNATURE_BYTES:
        raise InputError(_NOT_A_SIGNATURE, place=place)
    return raw


def _normalise(entry: NodeRegistryEntry | DiscoveredPeer) -> None:
    """Check and normalise the fields that both kinds of entry share."""
    put = object.__setattr__
    put(entry, "iroh_node_id", fields.iroh_node_id(entry.iroh_node_id).base64)
    put(entry, "direct_addresses", fields.direct_addresses(entry.direct_addresses))
    fields.relay_url(entry.relay_url)


def _object(obj: object, required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(obj, dict):
        raise InputError(wrong_kind("an object", obj))
    for name in required:
        if name not in obj:
            raise InputError(MISSING, place=fields.pointer(name))
    return obj


def _arguments(obj: object, known: Sequence[str]) -> dict[str, Any]:
    """Sort the members of a JSON object into the constructor's arguments, unknown ones under `extra`."""
    members = _object(obj, known)
    arguments = {name: members[name] for name in known}
    arguments["attestation"] = fields.at("/attestation", _attestation, members.get("attestation"))
    arguments["extra"] = {name: members[name] for name in members if name not in arguments}
    return arguments


def _attestation(obj: object) -> Attestation | None:
    if obj is None:
        return None
    if not isinstance(obj, dict):
        raise InputError(wrong_kind("an object or null", obj))
    return Attestation.from_json(obj)


def _members(entry: NodeRegistryEntry | DiscoveredPeer, known: Sequence[str]) -> dict[str, object]:
    members = {name: getattr(entry, name) for name in known}
    members["direct_addresses"] = list(entry.direct_addresses)
    if entry.attestation is not None:
        members["attestation"] = entry.attestation.to_json()
    return {**members, **{name: entry.extra[name] for name in sorted(entry.extra)}}


def _check_extra(extra: Mapping[str, object], known: Sequence[str]) -> None:
    for name in (*known, "attestation"):
        if name in extra:
            raise InputError("is a known field and cannot be an extra one", place=fields.pointer(name))


def _socket_addresses(texts: Sequence[str]) -> tuple[SocketAddress, ...]:
    return tuple(dict.fromkeys(SocketAddress.parse(text) for text in texts))


def _utc(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InputError("must be a time with a time zone", place="/discovered_at")
    moment = value.astimezone(timezone.utc)
    if moment < EPOCH:
        raise InputError("is before 1970", place="/discovered_at")
    return moment
