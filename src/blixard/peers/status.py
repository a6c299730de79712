# SPDX-License-Identifier: MIT
"""The status of peers and sources, as an operator reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from blixard.documents.json_times import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from blixard.model.ids import EndpointId

PeerState = Literal["discovered", "connecting", "connected", "backing_off", "open", "refused"]
"""`discovered`: known, not dialled yet or not to be dialled. `open`: its circuit is open. `refused`: it is alive
and does not let this node in; it is asked again like one that is backing off."""

AddressState = Literal["usable", "quarantined", "held_back"]
"""`quarantined`: another iroh node answered there. `held_back`: several peers, or this node too, list it, or
none but the peer itself names it."""

PathKind = Literal["direct", "relay"]

AnswerKind = Literal["found", "nothing", "failed"]
SourceState = Literal["not_asked", "found", "nothing", "failed"]


@dataclass(frozen=True, kw_only=True)
class ErrorStatus:
    """The last error: its kind (see DialError), one line, and when."""

    kind: str
    message: str
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it as its schema describes it."""
        return {"kind": self.kind, "message": self.message, "at": format_time(self.at)}


@dataclass(frozen=True, kw_only=True)
class AddressStatus:
    """One address of a peer: which sources say it, whether it is dialled, and if not, why and for how long."""

    address: str
    sources: tuple[str, ...]
    state: AddressState
    reason: str | None = None
    until_s: float | None = None
    """Seconds until it may be tried again; None while it is usable."""

    def to_json(self) -> dict[str, Any]:
        """Return it as its schema describes it."""
        return {
            "address": self.address,
            "sources": list(self.sources),
            "state": self.state,
            "reason": self.reason,
            "until_s": _rounded(self.until_s),
        }


@dataclass(frozen=True, kw_only=True)
class PeerStatus:
    """Everything that is known about one peer now.

    Attributes:
        since: when it entered `state`.
        wanted: whether this node dials it by itself (`auto_connect`, and a neighbour where the mesh is sparse).
        sources: who names it, the one that decides first.
        attested: whether its addresses are signed by itself; `seq` then is the attestation's number.
        failures: attempts that failed in a row, connections that died young included.
        attempts: dials since it was discovered.
        waited_s: seconds since it was last without a connection; 0 when connected.
        next_attempt_s: seconds until it is dialled next, at the latest; None when no dial is due.
        circuit: the breaker; `trips` is how often it opened in a row.
        admitted, path, rtt_ms, claimed_node_id: of the connection; None without one.
    """

    node_id: int
    endpoint_id: EndpointId
    state: PeerState
    since: datetime
    wanted: bool
    sources: tuple[str, ...]
    addresses: tuple[AddressStatus, ...]
    relay_url: str | None
    attested: bool
    seq: int | None
    failures: int
    attempts: int
    waited_s: float
    next_attempt_s: float | None
    circuit: Literal["closed", "open", "half_open"]
    trips: int
    last_error: ErrorStatus | None
    admitted: bool | None
    path: PathKind | None
    rtt_ms: float | None
    claimed_node_id: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the status under the names of the `status` command's contract."""
        return {
            "node_id": self.node_id,
            "iroh_node_id": self.endpoint_id.base64,
            "state": self.state,
            "since": format_time(self.since),
            "wanted": self.wanted,
            "sources": list(self.sources),
            "addresses": [address.to_json() for address in self.addresses],
            "relay_url": self.relay_url,
            "attested": self.attested,
            "seq": self.seq,
            "failures": self.failures,
            "attempts": self.attempts,
            "waited_s": _rounded(self.waited_s),
            "next_attempt_s": _rounded(self.next_attempt_s),
            "circuit": self.circuit,
            "trips": self.trips,
            "last_error": self.last_error.to_json() if self.last_error else None,
            "admitted": self.admitted,
            "path": self.path,
            "rtt_ms": _rounded(self.rtt_ms),
            "claimed_node_id": self.claimed_node_id,
        }


@dataclass(frozen=True, kw_only=True)
class SourceStatus:
    """One source: what it answered last, and when it last answered well.

    Attributes:
        name: such as `static:/etc/blixard/peers.json`.
        state: its last answer.
        peers: how many peers its last good answer has.
        good_at: when that was; None if never.
        error: why the last look failed; None when it did not.
        problems: what was refused in its last good answer, one line each; the rest of it counts.
        answers: how many answers of each kind it has given.
        memory_of: when that was taken which counts now from before a restart, since the source is not good; else None.
        age_s: seconds since the answer was given that counts now; None if there is none.
        ttl_s: seconds for which that answer said it may be used without asking again; None where it did not.
    """

    name: str
    state: SourceState
    peers: int
    good_at: datetime | None
    error: str | None
    problems: tuple[str, ...]
    answers: Mapping[AnswerKind, int]
    memory_of: datetime | None = None
    age_s: float | None = None
    ttl_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as its schema describes it."""
        return {
            "name": self.name,
            "state": self.state,
            "peers": self.peers,
            "good_at": format_time(self.good_at) if self.good_at else None,
            "error": self.error,
            "problems": list(self.problems),
            "memory_of": format_time(self.memory_of) if self.memory_of else None,
            "age_s": _rounded(self.age_s),
            "ttl_s": _rounded(self.ttl_s),
            "answers": {kind: self.answers.get(kind, 0) for kind in get_args(AnswerKind)},
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
