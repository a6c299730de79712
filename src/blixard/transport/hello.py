# SPDX-License-Identifier: MIT
"""The hello that two nodes exchange on `blixard/discovery/1`: its form on the wire and who is let in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from blixard.dialling.protocols import REFUSALS, DialError
from blixard.documents.json_bytes import loads
from blixard.errors import InputError, TrustError, one_line
from blixard.model import fields
from blixard.model.entry import NodeRegistryEntry
from blixard.transport.streams import MAX_PROTOCOL_NAME
from blixard.trust.attestation import verify_attestation

if TYPE_CHECKING:
    from collections.abc import Set

    from blixard.model.ids import EndpointId

DISCOVERY_ALPN = b"blixard/discovery/1"
MAX_HELLO_BYTES = 16 * 1024
MAX_REASON = 200
VERSION = 1
MAX_PROTOCOLS = 16

Purpose = Literal["mesh", "check"]
Admission = Literal["open", "known"]


@dataclass(frozen=True, kw_only=True)
class Hello:
    """What the dialling side says first. A stranger has neither node id nor entry.

    `protocols`: those for which it serves streams on a connection of the mesh.
    """

    cluster: str | None
    node_id: int | None
    entry: NodeRegistryEntry | None
    purpose: Purpose = "mesh"
    protocols: Set[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What the accepting side answers. To those whom it refuses it says nothing about itself."""

    admitted: bool
    reason: str | None = None
    cluster: str | None = None
    node_id: int | None = None
    entry: NodeRegistryEntry | None = None
    protocols: Set[str] = frozenset()


def turned_away(reason: str | None) -> DialError:
    """Return the error of a caller who was not let in, by the kind that the reason names."""
    kind, _, message = (reason or "").partition(": ")
    return DialError(kind, message) if kind in REFUSALS else DialError("refused", reason or "no reason given")


def spoken(hello: Hello, welcome: Welcome) -> Set[str]:
    """Return the protocols for which the two open streams: those that both name, on a connection of the mesh."""
    return hello.protocols & welcome.protocols if welcome.admitted and hello.purpose == "mesh" else frozenset()


def encode(message: Hello | Welcome) -> bytes:
    """Return the message as it goes over the wire: JSON, at most `MAX_HELLO_BYTES`."""
    body = {name: getattr(message, name) for name in message.__dataclass_fields__}
    body["entry"] = message.entry.to_json() if message.entry else None
    body["protocols"] = sorted(message.protocols)
    return json.dumps({"v": VERSION, **body}, ensure_ascii=False, separators=(",", ":")).encode()


def decode_hello(data: bytes) -> Hello:
    """Read a hello from an untrusted peer.

    Raises:
        InputError: for anything that is not one, with the place in it.
    """
    body = _object(data)
    purpose = body.get("purpose", "mesh")
    if purpose not in ("mesh", "check"):
        raise InputError("neither mesh nor check", place="/purpose")
    cluster, node_id, entry, protocols = _common(body)
    return Hello(cluster=cluster, node_id=node_id, entry=entry, purpose=purpose, protocols=protocols)


def decode_welcome(data: bytes) -> Welcome:
    """Read a welcome from the peer that was dialled; raises as `decode_hello`."""
    body = _object(data)
    admitted, reason = body.get("admitted"), body.get("reason")
    if type(admitted) is not bool:
        raise InputError("neither true nor false", place="/admitted")
    if reason is not None:
        # It goes to logs and terminals, and a peer may write anything.
        reason = one_line(fields.text(reason, "/reason", most=MAX_REASON))
    cluster, node_id, entry, protocols = _common(body)
    return Welcome(admitted=admitted, reason=reason, cluster=cluster, node_id=node_id, entry=entry, protocols=protocols)


def _object(data: bytes) -> dict[str, object]:
    if len(data) > MAX_HELLO_BYTES:
        raise InputError(f"longer than {MAX_HELLO_BYTES} bytes")
    body = loads(data)
    if not isinstance(body, dict):
        raise InputError("not an object")
    if type(body.get("v")) is not int or body["v"] != VERSION:
        raise InputError("another version of the protocol", place="/v", mend=f"run nodes that speak version {VERSION}")
    return body


def _common(body: dict[str, object]) -> tuple[str | None, int | None, NodeRegistryEntry | None, frozenset[str]]:
    cluster, node_id, entry = body.get("cluster"), body.get("node_id"), body.get("entry")
    return (
        None if cluster is None else fields.cluster(cluster),
        None if node_id is None else fields.node_id(node_id, "/node_id"),
        None if entry is None else fields.at("/entry", NodeRegistryEntry.from_json, entry),
        _protocols(body.get("protocols", [])),
    )


def _protocols(value: object) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > MAX_PROTOCOLS:
        raise InputError(f"not a list of at most {MAX_PROTOCOLS} names", place="/protocols")
    names = (fields.text(each, f"/protocols/{i}", most=MAX_PROTOCOL_NAME) for i, each in enumerate(value))
    return frozenset(names)


RefusalKind = Literal["wrong_cluster", "unknown", "bad_entry", "wrong_node_id", "node_id_taken"]


@dataclass(frozen=True)
class Refusal:
    """Why somebody is not let in: a stable word to count by, and a sentence."""

    kind: RefusalKind
    message: str

    def __str__(self) -> str:
        # Short enough for the welcome that carries it.
        return one_line(f"{self.kind}: {self.message}", MAX_REASON - len(" … "))


@dataclass(frozen=True, kw_only=True)
class AdmissionContext:
    """What the accepting node knows when somebody knocks."""

    cluster: str
    admission: Admission
    node_id: int
    known_as: int | None
    """Node id under which the caller's endpoint id is known, if it is."""
    holder: EndpointId | None
    """Endpoint id that is known under the node id which the caller claims."""


def refusal(hello: Hello, caller: EndpointId, context: AdmissionContext, now: datetime) -> Refusal | None:
    """Decide who may speak: None lets the caller in. `caller` is what the handshake proved."""
    if hello.cluster not in (None, context.cluster):
        # Its own cluster's name is nothing to tell a stranger.
        return Refusal("wrong_cluster", f"this node is not of cluster {hello.cluster!r}")
    if context.known_as is None and context.admission == "known":
        return Refusal("unknown", f"{caller.short} is in no peers file or registry of this node")
    if context.known_as is None and hello.entry is None:
        return Refusal("unknown", f"{caller.short} is not known here and brings no entry of its own")
    if context.known_as is not None and hello.node_id != context.known_as:
        return Refusal("wrong_node_id", f"says it is node {hello.node_id}, is known as node {context.known_as}")
    if hello.node_id == context.node_id or (context.holder is not None and context.holder != caller):
        return Refusal("node_id_taken", f"node id {hello.node_id} belongs to another node")
    return _entry_refusal(hello, caller, context.cluster, now)


def _entry_refusal(hello: Hello, caller: EndpointId, cluster: str, now: datetime) -> Refusal | None:
    if hello.entry is None:
        return None
    if hello.entry.endpoint_id != caller or hello.entry.cluster_node_id != hello.node_id:
        return Refusal("bad_entry", "the entry is not the caller's own")
    try:
        attestation = verify_attestation(hello.entry, now=now)
    except TrustError as error:
        return Refusal("bad_entry", str(error))
    if attestation.cluster != cluster:
        return Refusal("wrong_cluster", f"the entry is signed for cluster {attestation.cluster!r}")
    return None
