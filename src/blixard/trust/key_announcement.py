# SPDX-License-Identifier: MIT
"""A change of key, announced: the old and the new key of a node both sign that the one follows the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import canonical_bytes
from blixard.errors import InputError, TrustError
from blixard.model import fields
from blixard.model.encodings import encode_base64
from blixard.model.entry import parse_signature
from blixard.model.fields import members
from blixard.model.limits import MAX_SAFE_INTEGER
from blixard.model.times import format_time, parse_whole_second
from blixard.model.words import quoted
from blixard.trust.keys import verify

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.trust.keys import SecretKey

DOMAIN = "blixard/rotation/v1"

_FIELDS = ("domain", "cluster", "node_id", "old", "new", "issued_at", "old_signature", "new_signature")


@dataclass(frozen=True)
class Announcement:
    """What a verified announcement says: node `node_id` of `cluster` gives up id `old` for id `new`."""

    cluster: str
    node_id: int
    old: EndpointId
    new: EndpointId
    issued_at: str


def announce(old: SecretKey, new: SecretKey, *, cluster: str, node_id: int, now: datetime) -> dict[str, object]:
    """Return the announcement as the JSON object that travels.

    Both keys sign the RFC 8785 canonical JSON of domain, cluster, node id, both ids and the time: the old one,
    since it alone may say who follows it; the new one, so that nobody gives a node a key that is another's.

    Args:
        old: the node's key.
        new: the key that is to follow it.
        cluster: the cluster that the node is in.
        node_id: the node's number there.
        now: the present, with a time zone.

    Raises:
        InputError: the two are one key, or a value cannot be used.
    """
    fields.cluster(cluster)
    fields.integer(node_id, "/node_id", least=1, most=MAX_SAFE_INTEGER)
    issued_at = format_time(now.astimezone(timezone.utc).replace(microsecond=0))
    said = Announcement(cluster, node_id, old.public(), new.public(), issued_at)
    if said.old == said.new:
        raise InputError("is the same as the old one", place="/new")
    message = _message(said)
    signatures = (encode_base64(old.sign(message)), encode_base64(new.sign(message)))
    values = (DOMAIN, cluster, node_id, said.old.base64, said.new.base64, issued_at, *signatures)
    return dict(zip(_FIELDS, values, strict=True))


def verify_announcement(obj: object, *, cluster: str) -> Announcement:
    """Return what an announcement says when both signatures hold.

    Args:
        obj: the JSON object.
        cluster: the cluster it must be for.

    Raises:
        InputError: it is no announcement; with the place of the first thing that is wrong.
        TrustError: a signature does not fit, or it is for another cluster.
    """
    text = members(obj, domain=DOMAIN, names=_FIELDS)
    said = Announcement(
        fields.cluster(text["cluster"]),
        fields.integer(text["node_id"], "/node_id", least=1, most=MAX_SAFE_INTEGER),
        fields.iroh_node_id(text["old"], "/old"),
        fields.iroh_node_id(text["new"], "/new"),
        _whole_second(text["issued_at"]),
    )
    message = _message(said)
    for who, signer in (("old", said.old), ("new", said.new)):
        signature = parse_signature(text[f"{who}_signature"], f"/{who}_signature")
        if not verify(signer, message, signature):
            raise TrustError(f"the {who} key {signer.short} did not sign this announcement")
    if said.cluster != cluster:
        raise TrustError(f"announced for cluster {quoted(said.cluster)}, not {quoted(cluster)}")
    if said.old == said.new:
        raise InputError("is the same as the old one", place="/new")
    return said


def _whole_second(value: object) -> str:
    return format_time(fields.at("/issued_at", parse_whole_second, value))


def _message(said: Announcement) -> bytes:
    return canonical_bytes(
        {
            "domain": DOMAIN,
            "cluster": said.cluster,
            "node_id": said.node_id,
            "old": said.old.base64,
            "new": said.new.base64,
            "issued_at": said.issued_at,
        }
    )
