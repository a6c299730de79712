# SPDX-License-Identifier: MIT
"""The scheduler: dials the peers that are wanted, each when it is due, never too many at once.

One task looks at one agenda. Only a dial in flight and a live connection have tasks of their own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blixard.dialling import backoff
from blixard.dialling.address_vetting import longest, probe_all
from blixard.dialling.agenda import Agenda, Alarm
from blixard.dialling.breaker import DIAL_TIMEOUT, LEASE
from blixard.dialling.connection_pool import CLOSE_WAIT, ConnectionPool
from blixard.dialling.dial_state import GUESTS_TURN, DialState
from blixard.dialling.pace import Pace
from blixard.dialling.protocols import NOWHERE, REMOVED, STOPPED, DialError
from blixard.dialling.search import Search
from blixard.model.limits import MAX_ADDRESSES
from blixard.tasks import spawn

if TYPE_CHECKING:
    from random import Random

    from blixard.clock import Clock
    from blixard.dialling.address_vetting import Vetting
    from blixard.dialling.breaker import Circuit, Permit
    from blixard.dialling.protocols import AddressProber, Connection, Dialler
    from blixard.model.entry import DiscoveredPeer
    from blixard.model.ids import EndpointId
    from blixard.peers.events import EventKind

_Resolve = Callable[["EndpointId"], Awaitable[tuple[str, ...]]]
_Explore = Callable[["EndpointId"], Awaitable[None]]
_Report = Callable[["EventKind", int, "EndpointId", Mapping[str, object]], None]

_CIRCUIT_EVENTS: dict[Circuit, EventKind] = {
    "closed": "circuit_closed",
    "open": "circuit_opened",
    "half_open": "circuit_half_open",
}

_log = logging.getLogger("blixard.dialling")


@dataclass(eq=False)
class _Flight:
    """A dial under way, and after it, in the same slot, the vetting of the peer's addresses."""

    endpoint_id: EndpointId
    dial_state: DialState
    permit: Permit
    task: asyncio.Task[None] | None = None
    is_dialling: bool = True
    is_overdue: bool = False

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class DialScheduler:
    """Keeps connections to the wanted peers.

    Every method but `stop` takes effect before it returns; what takes time happens in the background and is
    reported.
    """

    def __init__(
        self,
        dialler: Dialler,
        *,
        clock: Clock,
        rng: Random,
        report: _Report,
        vetting: Vetting,
        own: EndpointId | None = None,
        prober: AddressProber | None = None,
        resolve: _Resolve | None = None,
        explore: _Explore | None = None,
    ) -> None:
        """Take what dials, and what decides.

        Args:
            dialler: makes connections.
            clock: time.
            rng: spreads the waits.
            report: is called with the kind of an event, the peer's node id and endpoint id, and the details; it must
                not raise.
            vetting: must know the addresses of every peer that is learned.
            own: this node's id; None for a stranger.
            prober: finds out who answers at one address.
            resolve: returns further addresses of a peer, by its name.
            explore: looks for a peer that was not reached at the addresses that only the peer itself names; what it
                finds it hands to `learn`.
        """
        self._dialler = dialler
        self._clock = clock
        self._rng = rng
        self._report = report
        self._own = own
        self._prober = prober
        self._resolve = resolve
        self._explore = explore
        self._vetting = vetting
        self.pool = ConnectionPool(own=own, clock=clock, on_lost=self._lost)
        self._dial_states: dict[EndpointId, DialState] = {}
        self._wanted: Set[EndpointId] = frozenset()
        self._flights: dict[EndpointId, _Flight] = {}
        self._ready: list[tuple[int, int, EndpointId]] = []
        self._numbers = itertools.count()
        self._pace = Pace()
        self._search = Search(rng)
        self._agenda: Agenda[tuple[Literal["dial", "lease"], EndpointId]] = Agenda()
        self._alarm = Alarm(clock)
        self._runner: asyncio.Task[None] | None = None

    @property
    def dials_in_flight(self) -> int:
        """Slots in use, at most `pace.MAX_DIALS`."""
        return len(self._flights)

    def start(self) -> None:
        """Begin to dial."""
        if self._runner is None:
            self._runner = spawn(self._run(), "dialling")

    async def stop(self) -> None:
        """Give up all dials, close all connections, forget all peers; returns when every task has ended.

        A dial that cannot be cancelled is left behind after a while.
        """
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        flights = list(self._flights.values())
        for endpoint_id in tuple(self._dial_states):
            self.forget(endpoint_id, STOPPED)
        runner.cancel()
        tasks = [runner, *(flight.task for flight in flights if flight.task is not None)]
        _, stuck = await asyncio.wait(tasks, timeout=CLOSE_WAIT)
        if stuck:
            _log.warning("dials do not end", extra={"dials": len(stuck)})
        await self.pool.close(STOPPED)
        self._wanted = frozenset()
        self._ready.clear()

    def learn(self, peer: DiscoveredPeer, endpoint_id: EndpointId, *, is_guest: bool = False) -> None:
        """Enter a peer, or its new version. Guests are dialled after all others, and never in all slots."""
        now = self._clock.now()
        dial_state = self._dial_states.get(endpoint_id)
        if dial_state is None:
            dial_state = self._dial_states[endpoint_id] = DialState(peer, endpoint_id, since=now, alone_since=now)
        dial_state.is_guest = is_guest
        if dial_state.learn(peer) and dial_state.next_at is not None:
            dial_state.hurry_if_fresh(now)
            self._plan(endpoint_id, dial_state)

    def forget(self, endpoint_id: EndpointId, reason: str = REMOVED) -> None:
        """Drop a peer: give up its dial, close its connection with `reason`."""
        self._dial_states.pop(endpoint_id, None)
        self._agenda.cancel(("dial", endpoint_id))
        self._search.forget(endpoint_id)
        if endpoint_id in self._flights:
            self._flights[endpoint_id].cancel()
        self.pool.drop(endpoint_id, reason)

    def want(self, wanted: Set[EndpointId]) -> None:
        """Say who is dialled from now on. Connections to others are left as they are."""
        before, self._wanted = self._wanted, wanted
        for endpoint_id in before:
            if endpoint_id not in wanted and endpoint_id in self._dial_states:
                self._agenda.cancel(("dial", endpoint_id))
                self._go_on(endpoint_id, self._dial_states[endpoint_id])
        now = self._clock.now()
        for endpoint_id in wanted:
            dial_state = self._dial_states.get(endpoint_id)
            if dial_state is not None and dial_state.state == "discovered" and dial_state.next_at is None:
                dial_state.next_at = now + self._grace(endpoint_id)
                self._plan(endpoint_id, dial_state)

    def adopt(self, connection: Connection) -> bool:
        """Take an inbound connection; False when it was closed, because another one stays or nobody knows it."""
        endpoint_id = connection.endpoint_id
        dial_state = self._dial_states.get(endpoint_id)
        if dial_state is None:
            connection.close(REMOVED if self._runner is not None else STOPPED)
            return False
        if not self._hold(dial_state, connection, is_ours=False):
            return False
        flight = self._flights.get(endpoint_id)
        if flight is not None and flight.is_dialling and self._own is not None and self._own < endpoint_id:
            flight.cancel()  # the connection it would bring is the one that goes
        return True

    def urge(self, endpoint_ids: Iterable[EndpointId] | None = None) -> None:
        """There is a reason to try these of the lost peers (None for all of them) now, as far as `search` allows."""
        now = self._clock.now()
        if endpoint_ids is None:
            self._search.urge_all(now)
        else:
            self._search.urge(endpoint_ids, now)
        self._alarm.ring()

    def dial_state(self, endpoint_id: EndpointId) -> DialState | None:
        """Return a peer's record, to be read only."""
        dial_state = self._dial_states.get(endpoint_id)
        if dial_state is not None:
            dial_state.settle(self._clock.now())
        return dial_state

    async def _run(self) -> None:
        while True:
            now = self._clock.now()
            while (item := self._agenda.pop(now)) is not None:
                self._act(*item)
            while self._has_slot and (endpoint_id := self._take_next(now)) is not None:
                self._launch(endpoint_id, now)
            times = (self._agenda.next_at(), self._search.next_at() if self._has_slot else None)
            await self._alarm.wait(min((at for at in times if at is not None), default=None))

    @property
    def _has_slot(self) -> bool:
        return len(self._flights) < self._pace.most

    def _take_next(self, now: float) -> EndpointId | None:
        """Take who is dialled next: members whose time has come, then those searched for, then guests."""
        if self._ready and self._ready[0][0] < GUESTS_TURN:
            return heapq.heappop(self._ready)[2]
        # Only while there is a slot: those that pile up would be dialled in one burst.
        if (lost := self._search.pop(now)) is not None:
            self._dial_states[lost].hurry(now)
            self._agenda.cancel(("dial", lost))
            return lost
        if self._ready and self._may_launch(self._ready[0][2]):
            return heapq.heappop(self._ready)[2]
        return None

    def _may_launch(self, endpoint_id: EndpointId) -> bool:
        """Tell whether there is a slot for this peer: guests, who cost nothing to invent, get half of them."""
        dial_state = self._dial_states.get(endpoint_id)
        if dial_state is None or not dial_state.is_guest:
            return True
        return sum(flight.dial_state.is_guest for flight in self._flights.values()) < max(1, self._pace.most // 2)

    def _act(self, what: Literal["dial", "lease"], endpoint_id: EndpointId) -> None:
        dial_state = self._dial_states.get(endpoint_id)
        if what == "dial" and dial_state is not None:
            # Those found or lost just now go before those that keep failing, which may be many.
            heapq.heappush(self._ready, (dial_state.urgency, next(self._numbers), endpoint_id))
        elif what == "lease" and endpoint_id in self._flights:
            self._flights[endpoint_id].is_overdue = True
            self._flights[endpoint_id].cancel()

    def _launch(self, endpoint_id: EndpointId, now: float) -> None:
        dial_state = self._dial_states.get(endpoint_id)
        # It may have stood in the line twice: then the second turn comes before its time.
        if dial_state is None or dial_state.next_at is None or dial_state.next_at > now or endpoint_id in self._flights:
            return
        before = dial_state.breaker.circuit
        peer = self._peer_to_dial(endpoint_id, dial_state)
        ways = (*peer.direct_addresses, *([peer.relay_url] if peer.relay_url else []))
        permit = dial_state.begin(now, self._rng, ways)
        self._tell_circuit(dial_state, before)
        if permit is None:
            self._plan(endpoint_id, dial_state)
            return
        self._search.began(endpoint_id)
        flight = self._flights[endpoint_id] = _Flight(endpoint_id, dial_state, permit)
        self._agenda.plan(("lease", endpoint_id), now + LEASE)
        self._tell("connecting", dial_state, {"attempt": dial_state.attempts, "addresses": len(peer.direct_addresses)})
        flight.task = spawn(self._fly(flight, peer), f"dial of node {peer.node_id}")

    def _peer_to_dial(self, endpoint_id: EndpointId, dial_state: DialState) -> DiscoveredPeer:
        candidates = self._vetting.candidates(endpoint_id, failures=dial_state.failures)
        if candidates == tuple(dial_state.peer.direct_addresses):
            return dial_state.peer
        return dataclasses.replace(dial_state.peer, direct_addresses=candidates, attestation=None)

    async def _fly(self, flight: _Flight, peer: DiscoveredPeer) -> None:
        try:
            error = await self._dial(flight, await self._resolved(flight, peer))
            flight.is_dialling = False
            if error is not None:
                self._failed(flight, error)
                await self._vet(flight, error)
                await self._look_further(flight)
        finally:
            self._landed(flight)

    async def _resolved(self, flight: _Flight, peer: DiscoveredPeer) -> DiscoveredPeer:
        """Add the addresses behind the peer's name, where those that it lists are not enough.

        That is in every second attempt of a row: a name may lead to another node, as a shared address may.
        """
        if self._resolve is None or (peer.direct_addresses and flight.dial_state.failures % 2 == 0):
            return peer
        more = await self._resolve(flight.endpoint_id)
        addresses = tuple(dict.fromkeys((*peer.direct_addresses, *more)))[:MAX_ADDRESSES]
        return dataclasses.replace(peer, direct_addresses=addresses, attestation=None) if more else peer

    async def _dial(self, flight: _Flight, peer: DiscoveredPeer) -> DialError | None:
        if not peer.direct_addresses and peer.relay_url is None:
            return DialError("bad_address", NOWHERE)
        started = self._clock.now()
        try:
            connection = await self._dialler.dial(peer, timeout=DIAL_TIMEOUT)
        except asyncio.CancelledError:
            if not flight.is_overdue:
                raise
            return DialError("timeout", f"the dial did not end within {LEASE:.0f} s")
        except DialError as error:
            return self._pace.failed(error, self._clock.now() - started)
        except Exception as error:
            _log.exception("dialling node %d broke", peer.node_id)
            return DialError("local", f"{type(error).__name__}: {error}")
        self._pace.in_time()
        if self._is_current(flight):
            self._hold(flight.dial_state, connection, is_ours=True)
        else:
            connection.close(REMOVED if self._runner is not None else STOPPED)
        return None

    def _failed(self, flight: _Flight, error: DialError) -> None:
        # One that failed while an inbound connection came is no failure: the peer is there.
        if not self._is_current(flight) or flight.endpoint_id in self.pool:
            return
        dial_state = flight.dial_state
        before = dial_state.breaker.circuit
        now = self._clock.now()
        dial_state.failed(flight.permit, error, now, self._rng)
        seconds = None if dial_state.next_at is None else dial_state.next_at - now
        details = {"error": error.kind, "message": error.message, "failures": dial_state.failures, "seconds": seconds}
        self._tell("failed", dial_state, details)
        self._tell_circuit(dial_state, before)

    async def _vet(self, flight: _Flight, error: DialError) -> None:
        """Find out who answers where, if that may help, and dial again at once if it does."""
        if self._prober is None or not self._is_current(flight) or flight.endpoint_id in self.pool:
            return
        endpoint_id = flight.endpoint_id
        if error.kind == "wrong_id":
            addresses = self._vetting.to_probe(endpoint_id)
        else:
            addresses = self._vetting.to_release(endpoint_id, self._clock.now())
        if not addresses:
            return
        self._agenda.plan(("lease", endpoint_id), self._clock.now() + longest(addresses) + LEASE - DIAL_TIMEOUT)
        answers = await probe_all(self._prober, endpoint_id, addresses)
        if not self._is_current(flight):
            return
        now = self._clock.now()
        quarantined, released = self._vetting.judge(endpoint_id, answers, now)
        for address in quarantined:
            self._tell("quarantined", flight.dial_state, {"address": address})
        if any(answers.values()):
            before = flight.dial_state.breaker.circuit
            flight.dial_state.sighted(now, self._rng)
            self._tell_circuit(flight.dial_state, before)
        # Only for news: iroh may fail for a while although all is known, and that must not become a tight loop.
        if quarantined or released:
            flight.dial_state.hurry(now)

    async def _look_further(self, flight: _Flight) -> None:
        if self._explore is None or not self._is_current(flight) or flight.endpoint_id in self.pool:
            return
        self._agenda.plan(("lease", flight.endpoint_id), self._clock.now() + LEASE)
        await self._explore(flight.endpoint_id)

    def _landed(self, flight: _Flight) -> None:
        endpoint_id, dial_state = flight.endpoint_id, flight.dial_state
        self._agenda.cancel(("lease", endpoint_id))
        del self._flights[endpoint_id]
        self._alarm.ring()
        if not self._is_current(flight):
            # Forgotten, and perhaps learned anew while the old dial ended.
            dial_state = self._dial_states.get(endpoint_id, dial_state)
        elif dial_state.state == "connecting":
            before = dial_state.breaker.circuit
            dial_state.cancelled(flight.permit, self._clock.now(), self._rng)
            self._tell_circuit(dial_state, before)
        if endpoint_id in self._dial_states:
            dial_state.hurry_if_fresh(self._clock.now())
            self._go_on(endpoint_id, dial_state)

    def _hold(self, dial_state: DialState, connection: Connection, *, is_ours: bool) -> bool:
        endpoint_id = connection.endpoint_id
        is_second = endpoint_id in self.pool
        if not self.pool.offer(connection, is_ours=is_ours):
            return False
        if not is_second:
            before = dial_state.breaker.circuit
            now = self._clock.now()
            dial_state.connected(now, is_ours=is_ours)
            self._agenda.cancel(("dial", endpoint_id))
            self._search.returned(endpoint_id, now)
            self._alarm.ring()
            self._tell("connected", dial_state, {"path": connection.path, "inbound": not is_ours})
            self._tell_circuit(dial_state, before)
        return True

    def _lost(self, endpoint_id: EndpointId, reason: str) -> None:
        dial_state = self._dial_states.get(endpoint_id)
        if dial_state is None:
            return
        now = self._clock.now()
        dial_state.lost(reason, now, self._rng, len(self._wanted))
        self._go_on(endpoint_id, dial_state)
        seconds = None if dial_state.next_at is None else dial_state.next_at - now
        self._tell("disconnected", dial_state, {"reason": reason, "seconds": seconds})

    def _go_on(self, endpoint_id: EndpointId, dial_state: DialState) -> None:
        """Plan the next dial of a peer that is wanted, and let one that is not rest."""
        if endpoint_id in self.pool or endpoint_id in self._flights:
            return
        if endpoint_id not in self._wanted:
            dial_state.rest(self._clock.now())
            self._search.forget(endpoint_id)
        else:
            self._plan(endpoint_id, dial_state)

    def _plan(self, endpoint_id: EndpointId, dial_state: DialState) -> None:
        if dial_state.next_at is None or endpoint_id in self._flights:
            return
        self._agenda.plan(("dial", endpoint_id), dial_state.next_at)
        if dial_state.is_lost and dial_state.alone_since is not None:
            self._search.failed(endpoint_id, self._clock.now(), dial_state.alone_since)
        else:
            self._search.forget(endpoint_id)
        self._alarm.ring()

    def _grace(self, endpoint_id: EndpointId) -> float:
        return backoff.GRACE if self._own is not None and self._own < endpoint_id else 0.0

    def _is_current(self, flight: _Flight) -> bool:
        return self._dial_states.get(flight.endpoint_id) is flight.dial_state

    def _tell(self, kind: EventKind, dial_state: DialState, details: Mapping[str, object]) -> None:
        self._report(kind, dial_state.peer.node_id, dial_state.endpoint_id, details)

    def _tell_circuit(self, dial_state: DialState, before: Circuit) -> None:
        circuit = dial_state.breaker.circuit
        if circuit != before:
            seconds = dial_state.breaker.until - self._clock.now() if circuit == "open" else None
            trips = dial_state.breaker.trips if circuit == "open" else None
            self._tell(_CIRCUIT_EVENTS[circuit], dial_state, {"seconds": seconds, "trips": trips})
