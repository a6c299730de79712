# SPDX-License-Identifier: MIT
"""A node as a Raft voter: its connections for `blixard.raft`, and what comes of it in status and metrics."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from blixard.agent.metrics import Family
from blixard.documents.data_dir_files import RAFT_FOLDER_NAME
from blixard.raft.codec import PROTOCOL
from blixard.raft.health import BEAT
from blixard.raft.operations import RaftOperations
from blixard.raft.service import RaftService, VoterSettings
from blixard.raft.voters import check_voters

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig
    from blixard.clock import Clock
    from blixard.dialling.protocols import Connection, Stream
    from blixard.discovery_manager import DiscoveryManager

__all__ = ["PROTOCOL", "RaftNode"]


class RaftNode:
    """The voter of one node. `service.run` is to be run beside everything else."""

    def __init__(self, config: NodeConfig, manager: DiscoveryManager, clock: Clock) -> None:
        """Prepare it.

        Raises:
            InputError: the settings name no voter.
        """
        check_voters(config.raft_voters)
        settings = VoterSettings(
            config.node_id, config.cluster, frozenset(config.raft_voters), config.data_dir / RAFT_FOLDER_NAME
        )
        self.service = RaftService(settings, _Mesh(manager), clock=clock, rng=SystemRandom())
        self.operations = RaftOperations(self.service)
        self._manager = manager

    async def handle(self, connection: Connection, stream: Stream) -> None:
        """Serve a stream of a peer; of one that no source of the operator names, none."""
        peer = self._manager.find(connection.endpoint_id)
        if peer is None or not self._manager.is_member(connection.endpoint_id):
            self.service.refused["not a member"] += 1
            await stream.abort()
            return
        connection.beat_every(BEAT)
        await self.service.handle(peer.node_id, stream)

    def families(self) -> Iterator[Family]:
        """Return what Prometheus is told."""
        return raft_families(self.operations.status())


class _Mesh:
    """The connections of discovery, by node id."""

    def __init__(self, manager: DiscoveryManager) -> None:
        self._manager = manager

    def connection(self, node_id: int) -> Connection | None:
        """Return the live connection to a member."""
        peer = self._manager.get_peer(node_id)
        if peer is None or not self._manager.is_member(peer.endpoint_id):
            return None
        connection = self._manager.connection(peer.endpoint_id)
        if connection is not None:
            connection.beat_every(BEAT)
        return connection

    def want(self, node_ids: Collection[int]) -> None:
        """Dial these, whatever the overlay would."""
        self._manager.also_want(node_ids)


def raft_families(status: Mapping[str, Any]) -> Iterator[Family]:
    """Return what Prometheus is told of a voter's status."""
    gauges = (
        ("blixard_raft_up", "Whether this voter runs.", status["state"] == "running"),
        ("blixard_raft_is_leader", "Whether this voter leads.", status["role"] == "leader"),
        ("blixard_raft_has_leader", "Whether this voter knows who leads.", status["leader"] is not None),
        ("blixard_raft_term", "The term that this voter is in.", status["term"]),
        ("blixard_raft_voters", "Voters of the cluster.", len(status["members"])),
        ("blixard_raft_voters_alive", "Voters heard of late, this one too.", _alive(status)),
        ("blixard_raft_commit_index", "Index of the last entry known as committed.", status["commit_index"]),
        ("blixard_raft_applied_index", "Index of the last entry applied.", status["applied_index"]),
        ("blixard_raft_registry_entries", "Entries of the registry.", status["entries"]),
    )
    for name, text, value in gauges:
        yield Family(name, "gauge", text, [({}, value)])
    yield Family(
        "blixard_raft_refused_frames_total",
        "counter",
        "Frames that were dropped, by kind.",
        [({"kind": kind}, count) for kind, count in status["refused"].items()],
    )


def _alive(status: Mapping[str, Any]) -> int:
    return sum(member["is_alive"] for member in status["members"])
