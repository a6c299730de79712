# SPDX-License-Identifier: MIT
"""One peer's dialling: what happened so far, and what follows from it for the next dial. Reads no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from blixard.dialling import backoff
from blixard.dialling.breaker import THRESHOLD, Breaker
from blixard.dialling.protocols import REFUSALS, DialError
from blixard.ordered_set import OrderedSet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from blixard.dialling.breaker import Permit
    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId
    from blixard.peers.status import PeerState

MAX_REMEMBERED = 256
"""Ways to a peer that are remembered as tried: four times as many as a peer can list."""

GUESTS_TURN: Literal[2] = 2
"""The urgency of guests, who come after everybody else."""


@dataclass
class DialState:
    """The record of one peer. Times are monotonic seconds.

    Attributes:
        peer, endpoint_id: the peer with all its addresses.
        state, since: what the status shows, and since when.
        failures: attempts that failed in a row, connections that died young included.
        local_failures: attempts in a row that failed on this machine; they slow down, and count for nothing else.
        attempts: dials so far.
        breaker: its circuit breaker.
        next_at: when it is to be dialled next, at the latest; None while nothing is due.
        alone_since: since when it has been without a connection.
        connected_at: since when it has had one.
        error: the last error and when it happened.
        is_guest: nobody but the peer itself says that it is one.
        is_proven: a connection with it has lived long enough once.
    """

    peer: DiscoveredPeer
    endpoint_id: EndpointId
    since: float
    alone_since: float | None
    state: PeerState = "discovered"
    failures: int = 0
    local_failures: int = 0
    attempts: int = 0
    breaker: Breaker = field(default_factory=Breaker)
    next_at: float | None = None
    connected_at: float | None = None
    error: tuple[DialError, float] | None = None
    is_guest: bool = False
    is_proven: bool = False
    _tried: OrderedSet[str] = field(default_factory=OrderedSet)
    _is_fresh: bool = False
    _is_refused: bool = False
    """The peer's last answer to a dial of this node was no."""

    @property
    def urgency(self) -> Literal[0, 1, 2]:
        """0 for a peer that was just found or lost, 1 for one that failed before, 2 for a guest: the least is first."""
        if self.is_guest:
            return GUESTS_TURN
        return 1 if self.failures else 0

    @property
    def is_lost(self) -> bool:
        """Whether it is searched for: a member that was not reached so often in a row, and does not refuse."""
        return not self.is_guest and self.failures >= THRESHOLD and self.state in ("open", "backing_off")

    def begin(self, now: float, rng: Random, ways: Iterable[str]) -> Permit | None:
        """Start a dial over `ways` (addresses, relay); None when the breaker refuses, `next_at` then says when."""
        self.breaker, permit = self.breaker.begin(now, rng)
        if permit is None:
            self.next_at = self.breaker.until
            return None
        self.attempts += 1
        self._enter("connecting", now)
        self.next_at, self._is_fresh = None, False
        self._remember(ways)
        return permit

    def connected(self, now: float, *, is_ours: bool) -> None:
        """There is a connection; `is_ours`: dialled from here."""
        if is_ours:
            self._is_refused = False
        if self.connected_at is None:
            self.connected_at = now
        self.breaker = self.breaker.answered()
        self.local_failures = 0
        self._enter("connected", now)
        self.next_at = self.alone_since = None

    def failed(self, permit: Permit, error: DialError, now: float, rng: Random) -> None:
        """The dial failed."""
        self.error = (error, now)
        self._is_refused = error.kind in REFUSALS
        if error.local:
            self.local_failures += 1
            self.breaker = self.breaker.local_error(permit, now, rng)
            self._wait(now, backoff.delay(self.local_failures, rng))
            return
        self.local_failures = 0
        self.failures += 1
        if self._is_refused:
            self.breaker = self.breaker.succeeded(permit, now, rng)
        else:
            self.breaker = self.breaker.failed(permit, now, rng)
        self._wait(now, backoff.delay(self.failures, rng))

    def cancelled(self, permit: Permit, now: float, rng: Random) -> None:
        """The dial was given up."""
        self.breaker = self.breaker.cancelled(permit, now, rng)
        self._wait(now, 0.0)

    def lost(self, reason: str, now: float, rng: Random, peers: int) -> None:
        """The connection ended, in a mesh of `peers` peers."""
        proven = self.settle(now)
        # A caller that soon went away says nothing against the refusal that this node itself got there.
        self._is_refused = self._is_refused and not proven
        if not self._is_refused:
            self.error = (DialError("closed", f"the connection ended: {reason}"), now)
        self.connected_at, self.alone_since = None, now
        wait = backoff.after_loss(peers, rng)
        if not proven:
            self.failures += 1
            wait = max(wait, backoff.delay(self.failures, rng))
        self._wait(now, wait)

    def sighted(self, now: float, rng: Random) -> None:
        """A probe found the peer at one of its addresses, although it could not be connected: no reason to shun it."""
        self.breaker = self.breaker.answered()
        if self.next_at is not None:
            self._wait(now, backoff.delay(self.failures, rng))

    def settle(self, now: float) -> bool:
        """Forget the failures before a connection that has lived long enough; tell whether it has."""
        if self.connected_at is None or not backoff.is_proven(now - self.connected_at):
            return False
        self.failures = 0
        self.is_proven = True
        self.breaker = self.breaker.proven()
        return True

    def learn(self, peer: DiscoveredPeer) -> bool:
        """Take over a new version of the peer; tell whether it brings what was never tried: a way, or its node id."""
        before, self.peer = self.peer, peer
        ways = (*peer.direct_addresses, *([peer.relay_url] if peer.relay_url else []))
        self._is_fresh = peer.node_id != before.node_id or any(way not in self._tried for way in ways)
        return self._is_fresh

    def hurry(self, now: float) -> None:
        """Skip the wait, if there is one: there is new reason to try."""
        if self.next_at is not None:
            self.breaker = self.breaker.hurried(now)
            self.next_at = now

    def hurry_if_fresh(self, now: float) -> None:
        """Skip the wait when a new way came while the last dial was under way."""
        if self._is_fresh:
            self._is_fresh = False
            self.hurry(now)

    def rest(self, now: float) -> None:
        """Nobody wants it dialled."""
        self._enter("discovered", now)
        self.next_at = None

    def _wait(self, now: float, seconds: float) -> None:
        if self.breaker.circuit == "closed":
            self._enter("refused" if self._is_refused else "backing_off", now)
            self.next_at = now + seconds
        else:
            self._enter("open", now)
            self.next_at = max(now + seconds, self.breaker.until)

    def _enter(self, state: PeerState, now: float) -> None:
        if state != self.state:
            self.state, self.since = state, now

    def _remember(self, ways: Iterable[str]) -> None:
        for way in ways:
            self._tried.renew(way)
        for way in list(self._tried)[: max(0, len(self._tried) - MAX_REMEMBERED)]:
            self._tried.discard(way)
