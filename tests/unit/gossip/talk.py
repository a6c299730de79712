# SPDX-License-Identifier: MIT
"""Two nodes that gossip over a pipe in memory: real managers and the real exchange, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, cast

from tests.simulation.sources import SetSource
from tests.unit.agent.virtual_clock import VirtualClock
from tests.unit.documents.samples import CLUSTER, NOW, attested, key
from tests.unit.pipe import Pipe, pipe

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.gossip.exchange import Exchange
from blixard.gossip.gossip import Gossip
from blixard.gossip.signed_file import SignedFile
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.trust.attestation import attest


class StillClock(VirtualClock):
    """Time that the test alone moves: no time limit is ever reached."""

    async def sleep(self, seconds: float) -> None:
        await (asyncio.sleep(0) if seconds <= 0 else asyncio.Event().wait())


@dataclass
class End:
    """A connection as far as gossip looks at it: who is at its other end, and the streams to there."""

    endpoint_id: EndpointId
    protocols: frozenset[str] = frozenset({"gossip/1"})


def moved(number: int, seq: int, **changes: Any) -> NodeRegistryEntry:
    """A later entry of a sample node: its number is `seq` above that of `attested`."""
    before = attested(number)
    later = NodeRegistryEntry(
        number, before.iroh_node_id, (f"192.168.2.{number}:{7000 + seq}",), None, f"192.168.2.{number}:7001"
    )
    now = NOW + timedelta(seconds=seq)
    return attest(later, changes.get("key", key(number)), cluster=changes.get("cluster", CLUSTER), now=now)


class Talker:
    """A node with a manager, whose peers are those that it is given."""

    def __init__(
        self,
        number: int,
        *members: NodeRegistryEntry,
        is_open: bool = False,
        file: SignedFile | None = None,
        clock: StillClock | None = None,
    ) -> None:
        self.clock = clock or StillClock()
        self.entry = attested(number)
        self.id = key(number).public()
        self.source = SetSource()
        self.source.set(DiscoveredPeer.from_entry(each, "static", NOW) for each in members)
        self.manager = DiscoveryManager(
            DiscoveryConfig([self.source]),
            own=self.id,
            own_node_id=number,
            cluster=CLUSTER,
            clock=self.clock,
            rng=Random(number),
        )
        self.gossip = Gossip(
            self.manager,
            own=self.id,
            own_entry=lambda: self.entry,
            cluster=CLUSTER,
            is_open=lambda: is_open,
            file=file,
            clock=self.clock,
            rng=Random(number),
        )

    async def learn(self) -> Talker:
        """Ask its source."""
        await self.manager.refresh_peers()
        return self

    def seq_of(self, number: int) -> int:
        """The number of the entry that it has of another."""
        peer = self.manager.attested(key(number).public())
        return peer.seq if peer is not None else 0

    @property
    def failed(self) -> dict[str, int]:
        return self.gossip.counts()["failed"]

    @property
    def entries(self) -> dict[str, int]:
        return self.gossip.counts()["entries"]

    async def hears(self, frames: Sequence[bytes], *, by: EndpointId) -> Pipe:
        """Answer a stream on which a peer says just this."""
        theirs, ours = pipe()
        for frame in frames:
            await theirs.send(frame)
        await theirs.finish()
        await self.gossip.serve(cast(Any, End(by)), ours)
        return ours


async def talk(one: Talker, other: Talker) -> None:
    """One exchange, which `one` begins."""
    ours, theirs = pipe()
    work = Exchange(one.gossip._holdings, ours, other.id).begin()
    await asyncio.gather(
        one.gossip._exchange(other.id, ours, work, "begun"),
        other.gossip.serve(cast(Any, End(one.id)), theirs),
    )
