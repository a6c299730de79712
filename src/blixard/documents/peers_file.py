# SPDX-License-Identifier: MIT
"""Peers files: all peers of a cluster in one list, the same bytes for the same peers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blixard.documents.entry_states import ABSENT, changed_at, state_of
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import loads, pretty_bytes
from blixard.documents.json_times import parse_time, upstream_time
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.limits import MAX_PEERS, MAX_PEERS_BYTES
from blixard.model.words import too_many, wrong_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SOURCE = "static"
"""The word that the seed has for entries of this file."""


def parse_peers(data: bytes, *, file: str | None = None) -> list[DiscoveredPeer]:
    """Read the peers that the bytes of a peers file hold, sorted by node id.

    Raises:
        InputError: with `file` and the JSON pointer of the first thing that is wrong; also two entries with
            one node id, or one Iroh id under two node ids.
    """
    if len(data) > MAX_PEERS_BYTES:
        raise InputError(f"is too large: more than {MAX_PEERS_BYTES} bytes", file=file)
    obj = loads(data, file=file)
    try:
        peers = _parse_list(obj)
        _check_unique(peers)
    except InputError as error:
        raise error.located(file=file) from None
    return sorted(peers, key=_by_node_id)


def _check_unique(peers: Sequence[DiscoveredPeer]) -> None:
    """Refuse two entries with one node id, and one Iroh id under two; the place is the later entry's."""
    nodes: dict[int, int] = {}
    ids: dict[str, int] = {}
    for index, peer in enumerate(peers):
        first = nodes.setdefault(peer.node_id, index)
        if first != index:
            raise InputError(
                f"node id {peer.node_id} is also that of entry /{first}",
                place=f"/{index}/node_id",
                mend="leave one of the two out",
            )
        first = ids.setdefault(peer.iroh_node_id, index)
        if first != index:
            raise InputError(
                f"Iroh id {peer.iroh_node_id} is also that of node {peers[first].node_id}, entry /{first}",
                place=f"/{index}/iroh_node_id",
                mend="two machines may run with one secret key; give one of them a new one",
            )


def format_peers(peers: Iterable[DiscoveredPeer], *, upstream_compat: bool = False) -> bytes:
    """Return the bytes of the peers file: sorted by node id, the seed's order of fields, final newline.

    Args:
        peers: in any order.
        upstream_compat: write `discovered_at` in the object form that upstream's Rust reader takes.

    Raises:
        InputError: as check_unique does, or there are more peers than MAX_PEERS.
    """
    ordered = sorted(peers, key=_by_node_id)
    if len(ordered) > MAX_PEERS:
        raise InputError(too_many(MAX_PEERS, len(ordered)))
    _check_unique(ordered)
    members = [peer.to_json() for peer in ordered]
    if upstream_compat:
        for peer, item in zip(ordered, members, strict=True):
            item["discovered_at"] = upstream_time(peer.discovered_at)
    return pretty_bytes(members)


def read_peers(path: str | os.PathLike[str]) -> list[DiscoveredPeer]:
    """Read a peers file; raises InputError as parse_peers and read_limited do."""
    return parse_peers(read_limited(path, MAX_PEERS_BYTES), file=os.fspath(path))


def write_peers(
    path: str | os.PathLike[str],
    peers: Iterable[DiscoveredPeer],
    *,
    upstream_compat: bool = False,
    mode: int = 0o644,
) -> None:
    """Write a peers file in one step; it holds nothing secret, so all may read it."""
    write_atomic(path, format_peers(peers, upstream_compat=upstream_compat), mode)


def build_peers(entries: Iterable[NodeRegistryEntry]) -> list[DiscoveredPeer]:
    """Make the fleet's peers of its registry entries: sorted, checked for uniqueness, without a clock.

    Tombstones (state `absent`) are left out. A draining node stays in: the others let only known ids in, and
    it must be able to speak until its work is handed over.

    Raises:
        InputError: as check_unique does, or a `state` or `recorded_at` that cannot be read.
    """
    peers = [
        DiscoveredPeer.from_entry(entry, SOURCE, changed_at(entry)) for entry in entries if state_of(entry) != ABSENT
    ]
    peers.sort(key=_by_node_id)
    _check_unique(peers)
    return peers


@dataclass(frozen=True)
class PeersDiff:
    """What changed between two lists of peers, by node id.

    Attributes:
        added, removed: peers that are only in the new or only in the old list, by node id.
        changed: pairs (old, new) whose content, source or attestation differs.
        names: host names by node id, for people.
    """

    added: tuple[DiscoveredPeer, ...] = ()
    removed: tuple[DiscoveredPeer, ...] = ()
    changed: tuple[tuple[DiscoveredPeer, DiscoveredPeer], ...] = ()
    names: Mapping[int, str] = field(default_factory=dict, hash=False)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        return f"+{len(self.added)} −{len(self.removed)} ~{len(self.changed)} peers"

    def lines(self) -> list[str]:
        """Return a line for each peer: `+`, `−` or `~`, its name or node id, and what is new."""
        marked = [(peer.node_id, f"+ {self._name(peer)} {peer.endpoint_id.short}") for peer in self.added]
        marked += [(peer.node_id, f"− {self._name(peer)} {peer.endpoint_id.short}") for peer in self.removed]
        marked += [(new.node_id, f"~ {self._name(new)} {', '.join(_changes(old, new))}") for old, new in self.changed]
        return [line for _, line in sorted(marked)]

    def _name(self, peer: DiscoveredPeer) -> str:
        name = self.names.get(peer.node_id)
        return f"{name} (node {peer.node_id})" if name else f"node {peer.node_id}"


def diff_peers(
    old: Iterable[DiscoveredPeer], new: Iterable[DiscoveredPeer], names: Mapping[int, str] | None = None
) -> PeersDiff:
    """Compare two lists of peers by node id; their order does not matter."""
    before = {peer.node_id: peer for peer in sorted(old, key=_by_node_id)}
    after = {peer.node_id: peer for peer in sorted(new, key=_by_node_id)}
    return PeersDiff(
        added=tuple(peer for node, peer in after.items() if node not in before),
        removed=tuple(peer for node, peer in before.items() if node not in after),
        changed=tuple((before[node], peer) for node, peer in after.items() if before.get(node, peer) != peer),
        names=dict(names or {}),
    )


def _by_node_id(peer: DiscoveredPeer) -> int:
    return peer.node_id


def _parse_list(obj: object) -> list[DiscoveredPeer]:
    if not isinstance(obj, list):
        raise InputError(wrong_kind("a list", obj))
    if len(obj) > MAX_PEERS:
        raise InputError(too_many(MAX_PEERS, len(obj)))
    return [fields.at(f"/{index}", _parse_peer, item) for index, item in enumerate(obj)]


def _parse_peer(item: object) -> DiscoveredPeer:
    if isinstance(item, dict) and "discovered_at" in item:
        item = {**item, "discovered_at": fields.at("/discovered_at", parse_time, item["discovered_at"])}
    return DiscoveredPeer.from_json(item)


def _changes(old: DiscoveredPeer, new: DiscoveredPeer) -> list[str]:
    changes = []
    if old.iroh_node_id != new.iroh_node_id:
        changes.append(f"id {old.endpoint_id.short} → {new.endpoint_id.short}")
    gone = [f"−{text}" for text in old.direct_addresses if text not in new.direct_addresses]
    come = [f"+{text}" for text in new.direct_addresses if text not in old.direct_addresses]
    if gone or come:
        changes.append("addresses " + " ".join(gone + come))
    elif tuple(old.direct_addresses) != tuple(new.direct_addresses):
        changes.append("addresses in another order")
    if old.relay_url != new.relay_url:
        changes.append(f"relay {old.relay_url or 'none'} → {new.relay_url or 'none'}")
    return changes or _unsigned_changes(old, new)


def _unsigned_changes(old: DiscoveredPeer, new: DiscoveredPeer) -> list[str]:
    names = ("attestation", "source", "discovered_at", "extra")
    return [name.replace("_", " ") for name in names if getattr(old, name) != getattr(new, name)]
