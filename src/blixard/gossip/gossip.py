# SPDX-License-Identifier: MIT
"""A node's gossip: it begins exchanges when it is time, answers those of its peers, and counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, Any

from blixard.clock import TimeLimit, limited
from blixard.dialling.protocols import DialError
from blixard.errors import BlixardError, InputError, TrustError
from blixard.gossip.allowance import Bucket, PeerBuckets, Shunned
from blixard.gossip.book import Book, name_of
from blixard.gossip.exchange import Exchange, Forged, Holdings
from blixard.gossip.intake import Intake
from blixard.gossip.messages import PROTOCOL
from blixard.gossip.schedule import TICK, Schedule
from blixard.gossip.shared_file import SharedFile
from blixard.model.ids import EndpointId
from blixard.tasks import spawn

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import Connection, Stream
    from blixard.discovery_manager import DiscoveryManager
    from blixard.gossip.signed_file import SignedFile
    from blixard.model.entry import NodeRegistryEntry

EXCHANGE_TIMEOUT = 60.0
"""Seconds for one exchange: a peers file of 16 MiB over 2.5 Mbit/s."""
SHUNNED_FOR = 300.0
"""Seconds for which nothing is exchanged with a peer that broke the protocol, or was too slow."""
BEGUN_AT_ONCE = 8
ANSWERED_AT_ONCE = 16
ANSWERED_A_SECOND = 32
ANSWERED_BURST = 128
PEER_ANSWERED_A_SECOND = 1.0
PEER_ANSWERED_BURST = 4

_LOOK_TIMEOUT = 5.0

_log = logging.getLogger("blixard.gossip")


class Gossip:
    """One node's part. `serve` handles the streams of `PROTOCOL`; `run` is the rest, until cancelled."""

    def __init__(
        self,
        manager: DiscoveryManager,
        *,
        own: EndpointId,
        own_entry: Callable[[], NodeRegistryEntry],
        cluster: str,
        is_open: Callable[[], bool],
        file: SignedFile | None,
        clock: Clock,
        rng: Random,
    ) -> None:
        """Take what the node knows.

        Args:
            manager: knows the peers and the connections.
            own: this node.
            own_entry: gives what it says of itself.
            cluster: the one whose entries count.
            is_open: tells whether somebody whom no source names may become a guest.
            file: the signed peers file; None where none travels.
            clock: times everything.
            rng: draws partners.
        """
        self._manager = manager
        self._own = own
        self._clock = clock
        self._book = Book(manager, own_entry, clock.wall)
        self._intake = Intake(manager, clock, cluster=cluster, is_open=is_open)
        self._file = SharedFile(file, clock) if file is not None else None
        self._schedule = Schedule(rng, clock.now())
        self._holdings = Holdings(
            own=name_of(own),
            book=self._book,
            intake=self._intake,
            file=self._file,
            connected=lambda: [each.endpoint_id for each in manager.connections()],
            alive=manager.heard_alive,
            pause=lambda: clock.sleep(0),
            rng=rng,
        )
        self._shunned = Shunned(clock)
        self._answering = Bucket(clock, rate=ANSWERED_A_SECOND, burst=ANSWERED_BURST)
        self._answering_peers = PeerBuckets(clock, rate=PEER_ANSWERED_A_SECOND, burst=PEER_ANSWERED_BURST)
        self._answered = 0
        self._beginning: dict[EndpointId, asyncio.Task[None]] = {}
        self._exchanges: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many exchanges there were, how many failed and why, what became of entries, and what was sent."""
        return {
            "exchanges": {"begun": self._exchanges["begun"], "answered": self._exchanges["answered"]},
            "failed": dict(sorted(self._failed.items())),
            "entries": {"taken": self._intake.taken, **dict(sorted(self._intake.dropped.items()))},
            "sent": {"frames": self._holdings.frames["frames"], "bytes": self._holdings.frames["bytes"]},
        }

    def status(self) -> dict[str, Any]:
        """Return the counts, the signed peers file that is held, and with how many peers nothing is exchanged now."""
        mark = self._file.mark if self._file is not None else None
        file = None if mark is None else {"seq": mark.number, "signer": EndpointId(mark.signer).base64}
        return {**self.counts(), "peers_file": file, "shunned": len(self._shunned)}

    async def run(self) -> None:
        """Begin exchanges when it is time, until cancelled."""
        following = spawn(self._follow_connections(), "gossip with new peers")
        try:
            while True:
                await self._clock.sleep(TICK)
                await self._tick()
        finally:
            following.cancel()
            for task in tuple(self._beginning.values()):
                task.cancel()

    async def serve(self, connection: Connection, stream: Stream) -> None:
        """Answer an exchange that a peer has begun."""
        peer = connection.endpoint_id
        if peer in self._shunned or self._answered >= ANSWERED_AT_ONCE:
            self._failed["busy"] += 1
            await stream.abort()
        elif not (self._answering_peers.take(peer) and self._answering.take()):
            self._failed["too_often"] += 1
            await stream.abort()
        else:
            self._answered += 1
            try:
                await self._exchange(peer, stream, Exchange(self._holdings, stream, peer).answer(), "answered")
            finally:
                self._answered -= 1

    async def _tick(self) -> None:
        news = self._book.take_news()
        if self._file is not None:
            with contextlib.suppress(TimeLimit, BlixardError):
                news = await limited(self._clock, _LOOK_TIMEOUT, self._file.look()) or news
        if news:
            self._schedule.learned(len(self._book))
        partners = [each.endpoint_id for each in self._manager.connections() if self._can_ask(each)]
        for peer in self._schedule.due(self._clock.now(), partners):
            self._begin(peer)

    async def _follow_connections(self) -> None:
        async for event in self._manager.subscribe():
            # One of the two begins; the other is told all the same.
            if event.kind == "connected" and self._own < event.endpoint_id:
                connection = self._manager.connection(event.endpoint_id)
                if connection is not None and self._can_ask(connection) and not self._begin(event.endpoint_id):
                    self._schedule.met(event.endpoint_id)

    def _can_ask(self, connection: Connection) -> bool:
        return PROTOCOL in connection.protocols and connection.endpoint_id not in self._shunned

    def _begin(self, peer: EndpointId) -> bool:
        """Begin an exchange, unless there are too many."""
        if peer in self._beginning or len(self._beginning) >= BEGUN_AT_ONCE:
            return False
        task = self._beginning[peer] = spawn(self._ask(peer), f"gossip with {peer.short}")
        task.add_done_callback(lambda _: self._beginning.pop(peer, None))
        return True

    async def _ask(self, peer: EndpointId) -> None:
        connection = self._manager.connection(peer)
        if connection is None:
            return
        try:
            stream = await connection.open_stream(PROTOCOL)
        except DialError:
            return
        await self._exchange(peer, stream, Exchange(self._holdings, stream, peer).begin(), "begun")

    async def _exchange(self, peer: EndpointId, stream: Stream, work: Coroutine[Any, Any, None], kind: str) -> None:
        reason: str | None = None
        try:
            await limited(self._clock, EXCHANGE_TIMEOUT, work)
            self._exchanges[kind] += 1
            return
        except DialError:
            self._failed["closed"] += 1  # by the peer, which has no time, or with the connection
        except Forged:
            reason = "forged"
        except TrustError as error:
            reason = "forged_file"
            self._tell(peer, reason, str(error))
        except InputError as error:
            reason = "malformed"
            self._tell(peer, reason, str(error))
        except TimeLimit:
            reason = "too_slow"
        if reason is not None:
            self._failed[reason] += 1
            self._shunned.add(peer, SHUNNED_FOR)
        await stream.abort()

    def _tell(self, peer: EndpointId, kind: str, reason: str) -> None:
        _log.warning("gossip refused", extra={"endpoint": peer.short, "kind": kind, "reason": reason})
