# SPDX-License-Identifier: MIT
"""The interface of a source: one method that looks, and three kinds of answer.

What stands between "there are no peers" and "I could not find out" decides whether a network that is down
empties the table: a good answer (`Found`, `Nothing`) replaces what the source said before, `Failed` leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from blixard.model.addresses import HostPort
    from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
    from blixard.model.ids import EndpointId
    from blixard.sources.node_locations import Introduce, IsKnown
    from blixard.sources.snapshots import SnapshotStore
    from blixard.trust.attestation import AttestationCheck
    from blixard.trust.highest_seq import HighestSeq


SourceKind = Literal["manual", "static", "registry", "dns", "cloud", "mdns", "join", "hello", "gossip"]


@dataclass(frozen=True)
class Sighting:
    """One peer as a source names it.

    A source hands out the same object again as long as it says the same of the peer.

    Attributes:
        peer: the peer; its attestation, if it has one, has been verified.
        place: where exactly, such as the file within a directory.
        listens_at: the registry's `address`, by which `host:port` locations find it; None where there is none.
        given: the ways to the peer (addresses, relay) that the operator gave, where the rest of it is what the peer
            answered; None when the source brings the peer as a whole.
        is_hint: the source knows ways to the peer, and only others make it one. Where the source does not know which
            node it is either, the node id is what others say (`SourceContext.node_ids`).
    """

    peer: DiscoveredPeer
    place: str
    listens_at: HostPort | None = None
    given: tuple[str, ...] | None = None
    is_hint: bool = False
    endpoint_id: EndpointId = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # Kept, because reading it from the peer means decoding base64 each time.
        object.__setattr__(self, "endpoint_id", self.peer.endpoint_id)

    def vouched_ways(self) -> tuple[str, ...]:
        """Return the ways to the peer for which the source stands."""
        if self.given is not None:
            return self.given
        return (*self.peer.direct_addresses, *([self.peer.relay_url] if self.peer.relay_url else []))


@dataclass(frozen=True)
class Found:
    """A good answer with peers.

    A source whose content did not change returns the very same `sightings` again: that is what makes an unchanged
    answer cost nothing.

    Attributes:
        sightings: the peers, no endpoint id twice.
        problems: one line for each part that was refused while the rest was good. What the source knew before of
            a refused part is still among the sightings.
        final: who is not among the sightings was left out on purpose, and is dropped at once.
        fresh_for: seconds for which the answer may be used without asking again (a TTL); None where nothing says.
    """

    sightings: tuple[Sighting, ...]
    problems: tuple[str, ...] = ()
    final: bool = False
    fresh_for: float | None = None

    @property
    def peers(self) -> tuple[DiscoveredPeer, ...]:
        """The peers without their places."""
        return tuple(sighting.peer for sighting in self.sightings)


@dataclass(frozen=True)
class Nothing:
    """A good answer: the source works, and names nobody; `fresh_for` as in `Found`."""

    fresh_for: float | None = None


@dataclass(frozen=True)
class Failed:
    """No answer; `error` is one line that says why and what to do.

    Attributes:
        remembered: what the source said before this process started, while it has said nothing good since; the very
            same object each time.
        memory_of: when that was taken.
    """

    error: str
    remembered: Found | None = None
    memory_of: datetime | None = None


Answer = Found | Nothing | Failed


class Source(Protocol):
    """Somewhere that names peers."""

    @property
    def name(self) -> str:
        """Kind and location, such as `registry:/srv/registries`; unique among the sources of one manager."""
        ...

    @property
    def kind(self) -> SourceKind:
        """How much its word counts, see `blixard.peers.table`."""
        ...

    async def fetch(self) -> Answer:
        """Look now. Raises nothing but CancelledError; called by one task at a time."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A source that can tell cheaply whether a new look is worth while."""

    async def changed(self) -> bool:
        """Tell whether something changed since the last `fetch`; called every second."""
        ...


@runtime_checkable
class Open(Protocol):
    """A source that holds something open from its first look on, such as sockets."""

    async def close(self) -> None:
        """Let go of it; the next look, if there is one, begins anew. Raises nothing but CancelledError."""
        ...


def unique(sightings: Iterable[Sighting]) -> tuple[tuple[Sighting, ...], tuple[str, ...]]:
    """Return the sightings with each endpoint id and each node id once, and a line for each one left out.

    Of two that clash the one with the higher attestation number stays, else the smaller endpoint id: the choice
    does not depend on the order in which files were read.
    """
    sightings = sorted(sightings, key=lambda each: each.peer.node_id)
    endpoints, nodes = {each.peer.iroh_node_id for each in sightings}, {each.peer.node_id for each in sightings}
    if len(endpoints) == len(nodes) == len(sightings):
        return tuple(sightings), ()
    ranked = sorted(sightings, key=_preference)
    kept: list[Sighting] = []
    problems: list[str] = []
    by_endpoint: dict[str, Sighting] = {}
    by_node: dict[int, Sighting] = {}
    for sighting in ranked:
        peer = sighting.peer
        rival = by_endpoint.get(peer.iroh_node_id) or by_node.get(peer.node_id)
        if rival is not None:
            problems.append(_clash(sighting, rival))
            continue
        by_endpoint[peer.iroh_node_id] = by_node[peer.node_id] = sighting
        kept.append(sighting)
    return tuple(sorted(kept, key=lambda each: each.peer.node_id)), tuple(problems)


def _preference(sighting: Sighting) -> tuple[int, str, int, str]:
    peer = sighting.peer
    return -peer.seq, peer.iroh_node_id, peer.node_id, sighting.place


def _clash(loser: Sighting, winner: Sighting) -> str:
    peer, other = loser.peer, winner.peer
    if peer.iroh_node_id == other.iroh_node_id and peer.node_id == other.node_id:
        return f"{loser.place}: node {peer.node_id} is also, and newer, in {winner.place}"
    if peer.node_id == other.node_id:
        return (
            f"{loser.place}: node {peer.node_id} is {peer.endpoint_id.short} here and "
            f"{other.endpoint_id.short} in {winner.place}, which counts; remove the wrong file"
        )
    return (
        f"{loser.place}: {peer.endpoint_id.short} is node {peer.node_id} here and "
        f"node {other.node_id} in {winner.place}, which counts; remove the wrong file"
    )


@dataclass(frozen=True)
class EtcdAccess:
    """By what etcd and its client prove who they are; all of it in files, read again at each connection.

    Attributes:
        user: name of the user; None where etcd has none.
        password_file: its password, in a file for its owner alone.
        ca_file: certificates of the authorities that are trusted; None for those of the system.
        cert_file: the client's certificate, with those between it and its authority.
        key_file: its key, in a file for its owner alone; None where it is in `cert_file`.
    """

    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True)
class SourceContext:
    """Verification, the date and time, who is known (`node_ids`, by other sources too), and what only a node can do."""

    check: AttestationCheck
    wall: Callable[[], datetime]
    is_known: IsKnown
    introduce: Introduce | None = None
    own: EndpointId | None = None
    cluster: str | None = None
    signers: Collection[EndpointId] = ()
    seen: HighestSeq | None = None
    memory: SnapshotStore | None = None
    etcd: EtcdAccess = EtcdAccess()
    node_ids: Callable[[], Mapping[EndpointId, int]] = dict
    own_entry: Callable[[], NodeRegistryEntry] | None = None
