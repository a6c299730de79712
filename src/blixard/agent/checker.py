# SPDX-License-Identifier: MIT
"""Checking edges: is a peer reached, now, and what was it that answered?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from blixard.dialling.backoff import delay
from blixard.dialling.protocols import DialError
from blixard.transport.hello import turned_away

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import AddressProber, Connection
    from blixard.model.addresses import SocketAddress
    from blixard.model.entry import DiscoveredPeer
    from blixard.transport.connection import Link

DEFAULT_TIMEOUT = 10.0
PING_TIMEOUT = 2.0
# A peer that lives answers a dial in milliseconds, over a bad link in a second or two: a lost packet is
# better met by another attempt than by a longer wait.
ATTEMPT_TIMEOUT = 3.0
# With less time left another attempt could only say that the time was too short.
SHORTEST_ATTEMPT = 0.25
# What another try cannot change within one check. A peer that does not know a member may learn of it any
# moment, so that `refused` is not among them.
FINAL_KINDS = frozenset({"wrong_cluster", "wrong_node_id", "bad_address", "local"})


class Prober(Protocol):
    """Dials a peer for a check: the connection is not kept as the one of the mesh."""

    async def probe(self, peer: DiscoveredPeer, *, timeout: float) -> Link: ...


@dataclass(frozen=True)
class Apart:
    """Dials from endpoints of their own: one at which a wrong node answered fails for a while at the right one too.

    Args:
        vetter: finds out who answers at one address.
        prober: gives a prober with an endpoint of its own.
    """

    vetter: AddressProber
    prober: Callable[[], AbstractAsyncContextManager[Prober]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an edge. `error` says why it was not reached, or why the peer lets this node not in."""

    reached: bool
    id_matched: bool
    admitted: bool
    path: str | None = None
    rtt_ms: float | None = None
    error: DialError | None = None


@dataclass(frozen=True)
class Edge:
    """One line of the report. `waited_s` is all the time spent on the edge, waits between attempts included."""

    source: int | None
    target: int
    outcome: Outcome
    attempts: int
    waited_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the edge under the contract's names."""
        outcome, error = self.outcome, self.outcome.error
        return {
            "from": self.source,
            "to": self.target,
            "reached": outcome.reached,
            "id_matched": outcome.id_matched,
            "admitted": outcome.admitted,
            "path": outcome.path,
            "rtt_ms": None if outcome.rtt_ms is None else round(outcome.rtt_ms, 3),
            "attempts": self.attempts,
            "waited_s": round(self.waited_s, 3),
            "error": {"kind": error.kind, "message": error.message} if error else None,
        }


def ring(peers: Sequence[DiscoveredPeer], own_node_id: int | None, sample: int | None) -> list[DiscoveredPeer]:
    """Return the `sample` peers that follow `own_node_id` on the ring of all node ids, all of them if None.

    When every node does this with the same peers, each node is probed by `sample` others.
    """
    others = sorted((p for p in peers if p.node_id != own_node_id), key=lambda p: p.node_id)
    if sample is None or sample >= len(others):
        return others
    start = next((i for i, p in enumerate(others) if p.node_id > (own_node_id or 0)), 0)
    return [others[(start + step) % len(others)] for step in range(sample)]


class Checker:
    """Checks edges, each by itself and all at the same time."""

    def __init__(
        self,
        prober: Prober,
        *,
        clock: Clock,
        rng: Random,
        own_node_id: int | None = None,
        connected: Callable[[DiscoveredPeer], Connection | None] = lambda _: None,
        apart: Apart | None = None,
        at_once: int = 128,
    ) -> None:
        """Make a checker.

        Args:
            prober: dials.
            clock, rng: time, and the spread of the waits between attempts.
            own_node_id: None makes this the check of a stranger.
            connected: gives the mesh's own connection to a peer.
            apart: dials apart from `prober`, for a peer that lists the address of another node.
            at_once: most edges that are checked at the same time.
        """
        self._prober = prober
        self._apart = apart
        self._clock = clock
        self._rng = rng
        self._own_node_id = own_node_id
        self._connected = connected
        self._slots = asyncio.Semaphore(at_once)

    async def check(
        self,
        peers: Sequence[DiscoveredPeer],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tell: Callable[[Any], None] = lambda _: None,
    ) -> list[Edge]:
        """Check the edge to each of `peers`, spending at most `timeout` seconds on one.

        `tell` is told after each edge how many are `done` out of (`of`) how many.
        """
        done = 0

        async def checked(peer: DiscoveredPeer) -> Edge:
            nonlocal done
            edge = await self._edge(peer, timeout)
            done += 1
            tell({"done": done, "of": len(peers)})
            return edge

        return list(await asyncio.gather(*map(checked, peers)))

    async def _edge(self, peer: DiscoveredPeer, timeout: float) -> Edge:
        async with self._slots:
            started = self._clock.now()
            attempts = 0
            while True:
                left = timeout - (self._clock.now() - started)
                outcome = await self._attempt(peer, timeout=left, use_mesh=attempts == 0)
                attempts += 1
                spent = self._clock.now() - started
                pause = delay(attempts, self._rng)
                if self._is_final(outcome) or spent + pause + SHORTEST_ATTEMPT > timeout:
                    return Edge(self._own_node_id, peer.node_id, outcome, attempts, spent)
                await self._clock.sleep(pause)

    def _is_final(self, outcome: Outcome) -> bool:
        if outcome.error is None or outcome.error.kind in FINAL_KINDS:
            return True
        return outcome.reached and self._own_node_id is None

    async def _attempt(self, peer: DiscoveredPeer, *, timeout: float, use_mesh: bool) -> Outcome:
        connection = self._connected(peer) if use_mesh else None
        if connection is not None:
            outcome = await _ping(connection, min(PING_TIMEOUT, timeout / 2))
            if outcome.reached:
                return outcome
            # The mesh has not noticed yet that its connection is dead; a new dial tells why.
            timeout /= 2
        until = self._clock.now() + min(timeout, ATTEMPT_TIMEOUT)
        try:
            return await _reach(self._prober, peer, until - self._clock.now())
        except DialError as error:
            if error.kind == "wrong_id" and self._apart is not None:
                return await self._attempt_apart(self._apart, peer, until, error)
            return _unreached(error)

    async def _attempt_apart(self, apart: Apart, peer: DiscoveredPeer, until: float, error: DialError) -> Outcome:
        """Another node answered: dial once more without the addresses that are another's."""
        impostors = await self._impostors(peer, apart.vetter, (until - self._clock.now()) / 2)
        rest = tuple(str(each) for each in peer.socket_addresses if each not in impostors)
        if not impostors:
            return _unreached(error)
        if not rest:
            return _unreached(DialError("wrong_id", f"another node answers at {', '.join(map(str, impostors))}"))
        left = max(until - self._clock.now(), SHORTEST_ATTEMPT)
        try:
            async with apart.prober() as prober:
                return await _reach(prober, replace(peer, direct_addresses=rest), left)
        except DialError as again:
            return _unreached(again)

    async def _impostors(self, peer: DiscoveredPeer, vetter: AddressProber, timeout: float) -> list[SocketAddress]:
        async def is_impostor(address: SocketAddress) -> bool:
            try:
                return not await vetter.probe(address, peer.endpoint_id, timeout=timeout)
            except DialError:
                return False

        answers = await asyncio.gather(*map(is_impostor, peer.socket_addresses))
        return [address for address, answer in zip(peer.socket_addresses, answers, strict=True) if answer]


async def _reach(prober: Prober, peer: DiscoveredPeer, timeout: float) -> Outcome:
    """Dial and let go: who has answered the hello lives, and its round trip is known.

    Raises:
        DialError: there was no connection.
    """
    fresh = await prober.probe(peer, timeout=timeout)
    error = None if fresh.admitted else turned_away(fresh.refusal)
    outcome = Outcome(
        reached=True, id_matched=True, admitted=fresh.admitted, path=fresh.path, rtt_ms=fresh.rtt_ms, error=error
    )
    fresh.close("check done")
    return outcome


def _unreached(error: DialError) -> Outcome:
    return Outcome(reached=False, id_matched=False, admitted=False, error=error)


async def _ping(connection: Connection, timeout: float) -> Outcome:
    try:
        rtt_ms = await connection.ping(timeout)
    except DialError as error:
        return Outcome(reached=False, id_matched=True, admitted=connection.admitted, error=error)
    return Outcome(reached=True, id_matched=True, admitted=True, path=connection.path, rtt_ms=rtt_ms)
