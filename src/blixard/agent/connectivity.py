# SPDX-License-Identifier: MIT
"""The connectivity check: each edge dialled with backoff, and the report."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Protocol

from blixard.agent.check_sample import Sample, chosen, parse_sample
from blixard.agent.node_config import discovery_of
from blixard.agent.own_entry import key_path, last_signed
from blixard.agent.source_report import all_problems, problems
from blixard.clock import SystemClock
from blixard.dialling.backoff import delay
from blixard.dialling.pace import Pace, lateness
from blixard.dialling.protocols import DialError
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.documents.connectivity_report import TOO_SLOW, summary
from blixard.errors import InputError
from blixard.sources.base import EtcdAccess
from blixard.transport.hello import Hello, Purpose, turned_away
from blixard.trust.keys import SecretKey, read_secret_key

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig
    from blixard.clock import Clock
    from blixard.dialling.protocols import AddressProber, Connection
    from blixard.model.addresses import SocketAddress
    from blixard.model.entry import DiscoveredPeer
    from blixard.sources.factory import Named
    from blixard.transport.connector import Probed


DEFAULT_TIMEOUT = 10.0
_PING_TIMEOUT = 2.0
# A peer that lives answers a dial in milliseconds, over a bad link in a second or two: a lost packet is
# better met by another attempt than by a longer wait.
ATTEMPT_TIMEOUT = 3.0
# With less time left another attempt could only say that the time was too short.
SHORTEST_ATTEMPT = 0.25
# A dead peer costs nothing but time, so many may be waited for; how many there are at first, and while this machine is
# too slow, is the pace's.
AT_ONCE = 128
# What another try cannot change within one check. A peer that does not know a member may learn of it any
# moment, so that `refused` is not among them.
_FINAL_KINDS = frozenset({"wrong_cluster", "wrong_node_id", "bad_address", "local"})

_NOT_DIALLED = DialError(TOO_SLOW, "not dialled: this machine was too busy even for one dial at a time", local=True)


class Prober(Protocol):
    """Dials a peer for a check: the connection is not kept."""

    async def probe(self, peer: DiscoveredPeer, *, timeout: float) -> Probed:
        """Connect to `peer` within `timeout` seconds; that it lets nobody in is an answer.

        Raises:
            DialError: it was not reached.
        """
        ...


@dataclass(frozen=True)
class ScratchDials:
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

    @property
    def is_untold(self) -> bool:
        """Whether nothing is known about the peer, because this machine was too slow."""
        return self.error is not None and self.error.kind == TOO_SLOW


@dataclass(frozen=True)
class Edge:
    """One line of the report. `waited_s` is all the time spent on the edge, waits between attempts included."""

    source: int | None
    target: int
    outcome: Outcome
    attempts: int
    waited_s: float

    @property
    def is_untold(self) -> bool:
        """Whether it is not known if the peer can be reached."""
        return self.outcome.is_untold

    def after(self, before: Edge | None) -> Edge:
        """Return this edge with the work of an earlier try in it."""
        if before is None:
            return self
        return replace(self, attempts=self.attempts + before.attempts, waited_s=self.waited_s + before.waited_s)

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


class _Slots:
    """As many edges at once as the pace allows; the others wait, in their order."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_alone(self) -> bool:
        """Whether one edge is checked, and no more would be."""
        return self._taken == self._pace.most == 1

    async def __aenter__(self) -> None:
        if self._taken >= self._pace.most:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn  # who sets it takes the slot
        else:
            self._taken += 1

    async def __aexit__(self, *_: object) -> None:
        self._taken -= 1
        self.let_more()

    def let_more(self) -> None:
        """Let as many go on as the pace allows by now."""
        self._let(lambda: self._taken < self._pace.most)

    def let_all(self) -> None:
        """Let all that wait go on."""
        self._let(lambda: True)

    def _let(self, one_more: Callable[[], bool]) -> None:
        while self._waiting and one_more():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


class Checker:
    """Checks edges, each by itself, and as many at the same time as this machine bears."""

    def __init__(
        self,
        prober: Prober,
        *,
        clock: Clock,
        rng: Random,
        own_node_id: int | None = None,
        connected: Callable[[DiscoveredPeer], Connection | None] = lambda _: None,
        scratch: ScratchDials | None = None,
        was_late: Callable[[float], bool] = lambda _: False,
        at_once: int = AT_ONCE,
    ) -> None:
        """Make a checker.

        Args:
            prober: dials.
            clock: time.
            rng: spreads the waits between attempts.
            own_node_id: None makes this the check of a stranger.
            connected: gives the mesh's own connection to a peer.
            scratch: dials apart from `prober`, for a peer that lists the address of another node.
            was_late: tells whether this program was kept from running after a moment.
            at_once: most edges that are checked at the same time.
        """
        self._prober = prober
        self._scratch = scratch
        self._clock = clock
        self._rng = rng
        self._own_node_id = own_node_id
        self._connected = connected
        self._was_late = was_late
        self._pace = Pace(limit=at_once)
        self._slots = _Slots(self._pace)
        self._is_hopeless = False

    async def check(
        self,
        peers: Sequence[DiscoveredPeer],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tell: Callable[[Any], None] = lambda _: None,
    ) -> list[Edge]:
        """Check the edge to each of `peers`, spending at most `timeout` seconds on one.

        An edge of which this machine was too slow to tell anything is checked once more after all others, at the slower
        pace that was found by then. When it is too slow for one edge alone, the others are not dialled: a check of very
        many must not last for their number. `tell` is told after each edge how many are `done` out of (`of`) how many.
        """
        done = 0

        async def checked(peer: DiscoveredPeer, before: Edge | None = None) -> Edge:
            nonlocal done
            edge = await self._edge(peer, timeout)
            done += before is not None or not edge.is_untold
            tell({"done": done, "of": len(peers)})
            return edge.after(before)

        edges = list(await asyncio.gather(*map(checked, peers)))
        untold = [place for place, edge in enumerate(edges) if edge.is_untold]
        self._is_hopeless = False
        again = await asyncio.gather(*(checked(peers[place], edges[place]) for place in untold))
        for place, edge in zip(untold, again, strict=True):
            edges[place] = edge
        return edges

    async def _edge(self, peer: DiscoveredPeer, timeout: float) -> Edge:
        async with self._slots:
            if self._is_hopeless:
                return Edge(self._own_node_id, peer.node_id, _unreached(_NOT_DIALLED), 0, 0.0)
            started = self._clock.now()
            attempts = 0
            told: Outcome | None = None
            while True:
                left = timeout - (self._clock.now() - started)
                outcome = await self._attempt(peer, timeout=left, use_mesh=attempts == 0)
                attempts += 1
                if not outcome.is_untold:
                    told = outcome
                    self._slots.let_more()
                spent = self._clock.now() - started
                pause = delay(attempts, self._rng)
                if self._is_final(outcome) or spent + pause + SHORTEST_ATTEMPT > timeout:
                    return Edge(self._own_node_id, peer.node_id, told or outcome, attempts, spent)
                await self._clock.sleep(pause)

    def _is_final(self, outcome: Outcome) -> bool:
        if outcome.error is None or outcome.error.kind in _FINAL_KINDS:
            return True
        return outcome.reached and self._own_node_id is None

    async def _attempt(self, peer: DiscoveredPeer, *, timeout: float, use_mesh: bool) -> Outcome:
        connection = self._connected(peer) if use_mesh else None
        if connection is not None:
            outcome = await _ping(connection, min(_PING_TIMEOUT, timeout / 2))
            if outcome.reached:
                return outcome
            # The mesh has not noticed yet that its connection is dead; a new dial tells why.
            timeout /= 2
        started, limit, alone = self._clock.now(), min(timeout, ATTEMPT_TIMEOUT), self._slots.is_alone
        try:
            outcome = await _reach(self._prober, peer, limit)
        except DialError as error:
            if error.kind == "wrong_id" and self._scratch is not None:
                return await self._attempt_from_scratch(self._scratch, peer, started + limit, error)
            return _unreached(self._blamed(error, started, limit, alone))
        self._pace.in_time()
        self._is_hopeless = False
        return outcome

    def _blamed(self, error: DialError, started: float, limit: float, alone: bool) -> DialError:
        """Return the error of a dial: the peer's, or this machine's."""
        blamed = self._pace.failed(error, self._clock.now() - started, limit=limit, was_late=self._was_late(started))
        self._is_hopeless = alone and blamed.kind == TOO_SLOW
        if self._is_hopeless:
            self._slots.let_all()
        return blamed

    async def _attempt_from_scratch(
        self, scratch: ScratchDials, peer: DiscoveredPeer, until: float, error: DialError
    ) -> Outcome:
        """Another node answered: dial once more without the addresses that are another's."""
        impostors = await self._impostors(peer, scratch.vetter, (until - self._clock.now()) / 2)
        rest = tuple(str(each) for each in peer.socket_addresses if each not in impostors)
        if not impostors:
            return _unreached(error)
        if not rest:
            return _unreached(DialError("wrong_id", f"another node answers at {', '.join(map(str, impostors))}"))
        started = self._clock.now()
        left = max(until - started, SHORTEST_ATTEMPT)
        try:
            async with scratch.prober() as prober:
                return await _reach(prober, replace(peer, direct_addresses=rest), left)
        except DialError as again:
            return _unreached(self._blamed(again, started, left, alone=False))

    async def _impostors(self, peer: DiscoveredPeer, vetter: AddressProber, timeout: float) -> list[SocketAddress]:
        async def is_impostor(address: SocketAddress) -> bool:
            try:
                return not await vetter.probe(address, peer.endpoint_id, timeout=timeout)
            except DialError:
                return False

        answers = await asyncio.gather(*map(is_impostor, peer.socket_addresses))
        return [address for address, answer in zip(peer.socket_addresses, answers, strict=True) if answer]


async def _reach(prober: Prober, peer: DiscoveredPeer, timeout: float) -> Outcome:
    """Dial: who has answered the hello lives, and its round trip is known.

    Raises:
        DialError: there was no connection.
    """
    met = await prober.probe(peer, timeout=timeout)
    error = None if met.admitted else turned_away(met.refusal)
    return Outcome(reached=True, id_matched=True, admitted=met.admitted, path=met.path, rtt_ms=met.rtt_ms, error=error)


def _unreached(error: DialError) -> Outcome:
    return Outcome(reached=False, id_matched=False, admitted=False, error=error)


async def _ping(connection: Connection, timeout: float) -> Outcome:
    try:
        rtt_ms = await connection.ping(timeout)
    except DialError as error:
        return Outcome(reached=False, id_matched=True, admitted=connection.admitted, error=error)
    return Outcome(reached=True, id_matched=True, admitted=True, path=connection.path, rtt_ms=rtt_ms)


def request_of(parameters: Mapping[str, Any]) -> tuple[float, Sample]:
    """Return time limit (seconds for one edge) and sample of a request for a check; without one all are checked.

    Raises:
        InputError: one of them cannot be used.
    """
    timeout = parameters.get("timeout_s", DEFAULT_TIMEOUT)
    if type(timeout) not in (int, float) or not 0.1 <= timeout <= 3600:
        raise InputError("must be a number from 0.1 to 3600", place="/timeout_s")
    sample = parameters.get("sample")
    return float(timeout), "all" if sample is None else parse_sample(sample, "/sample")


def report(cluster: str | None, nodes: Sequence[dict[str, Any]], edges: Sequence[Edge]) -> dict[str, Any]:
    """Return the connectivity report, as its schema describes it."""
    sorted_nodes = sorted(nodes, key=lambda node: (node["node_id"] is None, node["node_id"]))
    listed = [edge.to_json() for edge in edges]
    return {"cluster": cluster, "nodes": sorted_nodes, "edges": listed, "summary": summary(sorted_nodes, listed)}


async def check_from_files(
    config: NodeConfig,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    sample: Sample = "all",
    tell: Callable[[Any], None] = lambda _: None,
) -> dict[str, Any]:
    """Check the peers of a node that does not run, from its files and with its own key; writes nothing.

    Raises:
        InputError: the key or a file cannot be used.
    """
    key = read_secret_key(key_path(config.data_dir), own=True)
    entry = last_signed(config, key.public(), SystemClock().wall())
    hello = Hello(cluster=config.cluster, node_id=config.node_id, entry=entry, purpose="check")
    # Any free port: the node's own may be taken, and the check must not stand in its way.
    found = _Found(key, discovery_of(config), lambda _: hello, config.node_id, config.cluster, config.relays)
    edges, about = await found.check(timeout, sample, tell, problems)
    node = {"node_id": config.node_id, "iroh_node_id": key.public().base64, "agent": "not running", **about}
    return report(config.cluster, [node], edges)


async def check_as_stranger(
    sources: Sequence[Named],
    *,
    timeout: float = DEFAULT_TIMEOUT,
    sample: Sample = "all",
    tell: Callable[[Any], None] = lambda _: None,
    etcd: EtcdAccess | None = None,
) -> dict[str, Any]:
    """Check the peers that `sources` name, with a key made for this one check. Returns the report.

    `etcd`: by what etcd and this check prove who they are.
    """
    key = SecretKey.generate()
    discovery = DiscoveryConfig(sources, etcd=etcd or EtcdAccess())
    found = _Found(key, discovery, lambda purpose: Hello(cluster=None, node_id=None, entry=None, purpose=purpose))
    edges, about = await found.check(timeout, sample, tell, all_problems)
    stranger = {"node_id": None, "iroh_node_id": key.public().base64, "agent": "stranger", **about}
    return report(None, [stranger], edges)


@dataclass(frozen=True)
class _Found:
    """A check of the peers that sources name, from an endpoint of its own."""

    key: SecretKey
    discovery: DiscoveryConfig
    hello: Callable[[Purpose], Hello]
    own_node_id: int | None = None
    cluster: str | None = None
    relays: Sequence[str] = ()

    async def check(
        self,
        timeout: float,
        sample: Sample,
        tell: Callable[[Any], None],
        problems: Callable[[DiscoveryManager], list[str]],
    ) -> tuple[list[Edge], dict[str, Any]]:
        """Return the edges, and what the report says of the one that checked."""
        from blixard.transport.connector import ScratchProber, scratch_connector

        manager = DiscoveryManager(
            replace(self.discovery, auto_connect=False, state_dir=None),
            own=self.key.public(),
            own_node_id=self.own_node_id,
            cluster=self.cluster,
        )
        clock = SystemClock()
        async with (
            lateness(clock) as watched,
            scratch_connector(self.key, self.hello, clock=clock, relays=self.relays) as connector,
        ):
            checker = Checker(
                connector,
                clock=clock,
                rng=SystemRandom(),
                own_node_id=self.own_node_id,
                scratch=ScratchDials(
                    ScratchProber(), lambda: scratch_connector(self.key, self.hello, clock=clock, relays=None)
                ),
                was_late=watched.since,
            )
            try:
                await manager.refresh_peers()
            finally:
                await manager.stop()
            known = manager.get_dialled()
            peers = chosen(known, self.own_node_id, sample)
            edges = await checker.check(peers, timeout=timeout, tell=tell)
            sampled = len(peers) if len(peers) < len(known) else None
            return edges, {"sample": sampled, "problems": problems(manager)}
