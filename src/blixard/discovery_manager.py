# SPDX-License-Identifier: MIT
"""The discovery manager and its configuration: asks the sources, keeps the table of peers, and keeps them connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from blixard.clock import SystemClock, TimeLimit, limited
from blixard.dialling.address_proofs import TRY_TIMEOUT, Proofs
from blixard.dialling.address_vetting import Vetting, probe_all
from blixard.dialling.host_lookup import Lookup, look_up, system_lookup
from blixard.dialling.overlay import Overlay
from blixard.dialling.protocols import STOPPED, DialError
from blixard.dialling.scheduler import DialScheduler
from blixard.errors import BlixardError
from blixard.manager.additions import AddedBy, Additions
from blixard.manager.event_log import guest_lines, log_dropped, log_event
from blixard.manager.peer_status import peer_status
from blixard.manager.polling import SOURCE_TIMEOUT, Poller
from blixard.manager.source_reconciler import SourceReconciler
from blixard.model.entry import DiscoveredPeer
from blixard.model.numbers import is_clock_set
from blixard.ordered_set import OrderedSet
from blixard.peers.claims import Dropped
from blixard.peers.events import QUEUE_LENGTH, Event, EventBus, Subscription
from blixard.peers.table import ABSENT_INTERVALS, PeerTable
from blixard.sources.base import EtcdAccess, SourceContext
from blixard.sources.factory import DiscoverySource, make_sources
from blixard.sources.snapshots import SnapshotStore
from blixard.sources.worker import StillBusy, Worker
from blixard.tasks import spawn
from blixard.trust.attestation import AttestationCheck
from blixard.trust.highest_seq import HighestSeq

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import AddressProber, Connection, Dialler, Introducer
    from blixard.model.addresses import HostPort, SocketAddress
    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId
    from blixard.model.tickets import Ticket
    from blixard.peers.claims import Known, Origin
    from blixard.peers.events import EventKind
    from blixard.peers.status import PeerStatus, SourceStatus
    from blixard.peers.table import Change
    from blixard.sources.base import Answer, Source
    from blixard.sources.factory import Named


__all__ = ["DiscoveredPeer", "DiscoveryConfig", "DiscoveryManager", "DiscoverySource"]

_START_WAIT = 3.0
"""Seconds that `start` waits for the sources: enough for files and a healthy server, not for a dead one."""

_INTRODUCTION_TIMEOUT = 0.8 * SOURCE_TIMEOUT
"""Seconds to ask a ticket's endpoint who it is; its own error is worth more than the source's time limit."""


@dataclass(frozen=True)
class DiscoveryConfig:
    """What a manager works with.

    Args:
        sources: kinds from DiscoverySource, or any object with the Source interface; the earlier counts more.
        refresh_interval: between two looks at the sources, seconds or a timedelta.
        auto_connect: dial peers by itself.
        trusted_signers: when not empty, a peers file counts only with a good signature of one of these keys, and the
            sources that nobody signs (dns, cloud, mdns) only add addresses to peers that others name.
        full_mesh: up to so many peers are all dialled; above, a sparse overlay is.
        state_dir: where the numbers of signed peers files are remembered, so that an older one is refused after
            a restart too, and the last good peers files themselves, so that a damaged one takes nobody away; None
            remembers the numbers in memory.
        etcd: by what etcd and this node prove who they are.
    """

    sources: Sequence[Named | Source] = ()
    refresh_interval: timedelta | float = 60.0
    auto_connect: bool = True
    trusted_signers: Collection[EndpointId] = ()
    full_mesh: int = 64
    state_dir: Path | None = None
    etcd: EtcdAccess = field(default_factory=EtcdAccess)

    @property
    def refresh_seconds(self) -> float:
        """The refresh interval in seconds."""
        interval = self.refresh_interval
        return interval.total_seconds() if isinstance(interval, timedelta) else float(interval)


class DiscoveryManager:
    """Finds peers, dials them, and says what it knows.

    Without a dialler it only discovers. All methods are to be called on one event loop.
    """

    def __init__(
        self,
        config: DiscoveryConfig,
        *,
        dialler: Dialler | None = None,
        own: EndpointId | None = None,
        own_node_id: int | None = None,
        cluster: str | None = None,
        prober: AddressProber | None = None,
        introducer: Introducer | None = None,
        lookup: Lookup = system_lookup,
        relay_url: str | None = None,
        own_entry: Callable[[], NodeRegistryEntry] | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        """`own` and `own_node_id` never become peers; `cluster`, when given, must be that of each attestation.

        `lookup` resolves the host names that registries give as `address`. `relay_url` is this node's own relay; of the
        others only those are used that the operator's sources name.

        `own_entry` gives what this node says of itself, for sources that announce it too.

        Raises:
            InputError: what `state_dir` remembers cannot be read.
        """
        self._config = config
        self._own = own
        self._clock = clock = clock or SystemClock()
        self._rng = rng or SystemRandom()
        self._introducer = introducer
        self._lookup = lookup
        self._own_addresses: frozenset[str] = frozenset()
        check = AttestationCheck(cluster=cluster, wall=clock.wall)
        self._bus = EventBus()
        self._vetting = Vetting()
        self._proofs = Proofs()
        self._guest_lines = guest_lines(clock)
        self._prober = prober
        self._own_relay = relay_url
        self._overlay = Overlay(own) if own is not None else None
        interval = config.refresh_seconds
        self._also_wanted: frozenset[int] = frozenset()
        self._table = PeerTable(hold=ABSENT_INTERVALS * interval, own=own, own_node_id=own_node_id)
        self._additions = Additions(
            self._table,
            check,
            own=own,
            alone_since=self._alone_since,
            is_proven=self._is_proven,
            host_of=self._proofs.host,
        )
        self._scheduler = (
            DialScheduler(
                dialler,
                clock=clock,
                rng=self._rng,
                report=self._happened,
                vetting=self._vetting,
                own=own,
                prober=prober,
                resolve=self._resolve,
                explore=self._try_claimed if prober is not None else None,
            )
            if dialler is not None
            else None
        )
        self._seen = HighestSeq(config.state_dir, clock.wall)
        self._context = SourceContext(
            check=check,
            wall=clock.wall,
            is_known=self._is_known,
            introduce=self._introduce if introducer is not None else None,
            own=own,
            cluster=cluster,
            signers=config.trusted_signers,
            seen=self._seen,
            memory=SnapshotStore(config.state_dir) if config.state_dir is not None else None,
            etcd=config.etcd,
            node_ids=self._table.node_ids,
            own_entry=own_entry,
        )
        self._poller = Poller(
            make_sources(config.sources, self._context),
            interval=interval,
            signed=bool(config.trusted_signers),
            clock=clock,
            rng=self._rng,
            on_answer=self._take_answer,
            on_refresh=self._tidy,
        )
        self._forget_former_sources()
        self._keeper: Worker[None] = Worker()
        self._keeping: asyncio.Task[None] | None = None
        self._reconciler = SourceReconciler(self._table)
        self._lifecycle = asyncio.Lock()
        self._is_running = False
        self._is_clock_set = is_clock_set(clock.wall())

    async def start(self) -> None:
        """Ask all sources once, then keep looking and dialling in the background.

        Returns when the sources have answered, or after a short limit (a slow one is not waited for). Starting
        twice does nothing.
        """
        async with self._lifecycle:
            if not self._is_running:
                self._is_running = True
                if self._scheduler is not None:
                    self._scheduler.start()
                    for known in self._table:
                        self._scheduler.learn(self._dialled(known), known.endpoint_id, is_guest=known.is_guest)
                    self._choose()
                self._poller.start()
        await self._first_answers()

    async def stop(self) -> None:
        """Close all connections and end all tasks and subscriptions; returns when they have ended.

        Stopping twice does nothing; before a start, it closes what a look has opened. What is known stays known.
        """
        async with self._lifecycle:
            await self._poller.stop()
            if not self._is_running:
                return
            self._is_running = False
            if self._scheduler is not None:
                await self._scheduler.stop()
            if self._keeping is not None:
                self._keeping.cancel()
                await asyncio.gather(self._keeping, return_exceptions=True)
            self._bus.close()

    async def configure(self, config: DiscoveryConfig) -> None:
        """Work with `config` from now on; `state_dir` stays what it was. Returns as `start` does.

        Connections to all who are still peers stay. A source that is named as before keeps what it knows; what one
        said that is gone counts until each of the new ones has answered well once. When the signers are others, all
        sources are asked anew, and what is known by the word of one that is trusted no longer goes with the answer.
        """
        async with self._lifecycle:
            before, self._config = self._config, config
            trusted, trusted_before = frozenset(config.trusted_signers), frozenset(before.trusted_signers)
            self._context = replace(self._context, signers=trusted, etcd=config.etcd)
            old = {source.name: source for source in self._poller.sources}
            sources = make_sources(config.sources, self._context)
            if trusted == trusted_before and config.etcd == before.etcd:
                sources = [_same(old.get(source.name), source, config.sources) for source in sources]
            self._poller.change(sources, interval=config.refresh_seconds, signed=bool(trusted))
            self._forget_former_sources()
            hold = ABSENT_INTERVALS * config.refresh_seconds
            self._take_changes(self._table.rank(self._poller.origins(), hold=hold))
            came = {source.name for source in sources if old.get(source.name) is not source}
            # Without signers anybody's word counted; that is less than the word of any of them.
            narrowed = bool(trusted) and not (trusted_before and trusted_before <= trusted)
            self._take_changes(
                self._reconciler.begin(
                    came=came,
                    gone=old.keys() - {source.name for source in sources},
                    distrusted=came if narrowed else (),
                )
            )
            self._choose()
        if self._is_running:
            await self._first_answers()

    async def refresh_peers(self, *, prune: bool = False) -> None:
        """Ask all sources now and return when each has answered, failed or run into its time limit.

        Args:
            prune: drop at once who is no longer in a peers file, instead of after a few intervals; for whoever
                knows that the files are whole.
        """
        await self._poller.refresh()
        if prune:
            self._take_changes(self._table.prune(self._clock.now()))

    def get_peers(self) -> list[DiscoveredPeer]:
        """Return all peers, sorted by node id."""
        return sorted((known.peer for known in self._table), key=lambda peer: peer.node_id)

    def get_peer(self, node_id: int) -> DiscoveredPeer | None:
        """Return the peer with this node id."""
        known = self._table.get(node_id)
        return None if known is None else known.peer

    def get_dialled(self) -> list[DiscoveredPeer]:
        """Return all peers as they are dialled, sorted by node id: without the ways that only they themselves name."""
        return sorted((self._dialled(known) for known in self._table), key=lambda peer: peer.node_id)

    def is_member(self, endpoint_id: EndpointId) -> bool:
        """Tell whether a source of the operator names this endpoint id."""
        known = self._table.find(endpoint_id)
        return known is not None and not known.is_guest

    def find(self, endpoint_id: EndpointId) -> DiscoveredPeer | None:
        """Return the peer with this endpoint id: whoever is found here may speak."""
        known = self._table.find(endpoint_id)
        return None if known is None else known.peer

    def attested(self, endpoint_id: EndpointId) -> DiscoveredPeer | None:
        """Return a peer exactly as it has signed itself last; None where there is no such peer or it signed nothing."""
        return self._table.attested(endpoint_id)

    def take_affected(self) -> list[EndpointId]:
        """Return who may have come, gone or changed since the last call, as `PeerTable.take_affected`."""
        return self._table.take_affected()

    def guest_age(self, endpoint_id: EndpointId) -> float | None:
        """Return how long ago (seconds) a guest was connected with anybody, as `Additions.guest_age`."""
        return self._additions.guest_age(endpoint_id, self._clock.now())

    def why_not(self, peer: DiscoveredPeer, source: AddedBy) -> str | None:
        """Return why `add_peer` would refuse a peer; None when it would not."""
        return self._additions.why_not(peer, source)

    def add_peer(self, peer: DiscoveredPeer, source: AddedBy = "manual", *, age: float = 0.0) -> bool:
        """Add or replace what `source` says about one peer.

        Args:
            peer: the peer.
            source: `manual` (an operator says so), `join` (it was joined through), `hello` (it came by itself) or
                `gossip` (a peer handed on what it said). The last two must be attested. Of a peer that other sources
                name they are taken for its addresses only.
            age: of gossip, how long ago (seconds) somebody was connected with the peer.

        Returns:
            False when it was refused: it is this node, its attestation does not hold or is older than one
            seen before, or a guest's node id belongs to another. The reason is logged.
        """
        reason = self.why_not(peer, source)
        if reason is not None:
            log_dropped(Dropped(source, peer.node_id, peer.endpoint_id, None, reason))
            return False
        self._take_changes(self._additions.add(peer, source, self._clock.now() - age))
        return True

    def remove_peer(self, node_id: int, source: AddedBy = "manual") -> bool:
        """Take back what `add_peer` said; other sources may still name the peer. False if there was nothing."""
        changes = self._additions.remove(node_id, source)
        self._take_changes(changes or ())
        return changes is not None

    def dismiss_guests(self) -> None:
        """Forget the peers that came by themselves and are named by nobody else, and close their connections."""
        self._take_changes(self._additions.dismiss_guests())

    def also_want(self, node_ids: Collection[int]) -> None:
        """Dial the peers with these node ids too, whatever the overlay says; from now on these and no others."""
        wanted = frozenset(node_ids)
        if wanted != self._also_wanted:
            self._also_wanted = wanted
            self._choose()

    def set_own_addresses(self, addresses: Collection[SocketAddress]) -> None:
        """Tell where this node itself can be reached, so that such an address of a peer is not dialled."""
        self._own_addresses = frozenset(map(str, addresses))
        self._vetting.set_own(self._own_addresses)

    def connection(self, endpoint_id: EndpointId) -> Connection | None:
        """Return the live connection to a peer."""
        return None if self._scheduler is None else self._scheduler.pool.get(endpoint_id)

    def connections(self) -> list[Connection]:
        """Return the live connections, one for each connected peer."""
        return [] if self._scheduler is None else self._scheduler.pool.all()

    def adopt(self, connection: Connection) -> bool:
        """Take an inbound connection of an admitted peer as the one of this pair.

        Of two connections that were dialled at once the one stays that the greater endpoint id dialled, so that both
        sides choose alike; the other is closed. False when it was `connection` that was closed: the other
        stays, the peer is unknown, or the manager is not running.
        """
        if self._scheduler is None:
            connection.close(STOPPED)
            return False
        self._met(connection.endpoint_id, connection.remote)
        return self._scheduler.adopt(connection)

    def heard_alive(self, endpoint_ids: Iterable[EndpointId], from_: EndpointId) -> None:
        """A peer says that it is connected to these: reason to try those of them that this node has lost.

        Only a connected peer's word counts, and it only hurries: no peer is dialled for it more than once in 15 s, nor
        all of them together more than 10 times a second, whoever says it and how often. Guests that are known by gossip
        are kept longer for it. The others are passed over.
        """
        if self._scheduler is not None and self.connection(from_) is not None:
            ids = tuple(endpoint_ids)
            self._scheduler.urge(ids)
            self._additions.heard_alive(ids, self._clock.now())

    def network_changed(self) -> None:
        """This host's own network has changed: reason to try every peer that this node has lost, at the same rates."""
        if self._scheduler is not None:
            self._scheduler.urge()

    def subscribe(self, length: int = QUEUE_LENGTH) -> Subscription:
        """Return an async iterator over the events from now on, until `stop`.

        At most `length` unread events are kept: of a slow reader's the oldest are dropped, and counted in the
        subscription's `dropped`.
        """
        return self._bus.subscribe(length)

    def status(self) -> list[PeerStatus]:
        """Return the status of all peers, sorted by node id."""
        wanted = self._wanted()
        now, wall = self._clock.now(), self._clock.wall()
        statuses = []
        for known in self._table:
            endpoint_id = known.endpoint_id
            status = peer_status(
                known,
                vetting=self._vetting,
                proofs=self._proofs,
                relay_url=self._dialled(known).relay_url,
                dial_state=self._scheduler.dial_state(endpoint_id) if self._scheduler is not None else None,
                connection=self.connection(endpoint_id),
                wanted=endpoint_id in wanted,
                now=now,
                wall=wall,
            )
            statuses.append(status)
        return sorted(statuses, key=lambda status: status.node_id)

    def source_status(self) -> list[SourceStatus]:
        """Return the status of all sources, in the order of the configuration."""
        return self._poller.status()

    @property
    def seen(self) -> HighestSeq:
        """The highest numbers of signed peers files that were taken."""
        return self._seen

    def kept(self) -> list[HighestSeq | SnapshotStore]:
        """Return what has to be remembered over a restart, each with its `problem` while it cannot be written."""
        return [each for each in (self._context.seen, self._context.memory) if each is not None]

    def not_remembered(self) -> list[str]:
        """Return a line for each thing that had to be remembered over a restart and could not be written."""
        return [each.problem for each in self.kept() if each.problem is not None]

    def dropped(self) -> list[Dropped]:
        """Return what sources say and what does not count, with the reason, sorted by node id."""
        return self._table.dropped()

    async def _first_answers(self) -> None:
        with contextlib.suppress(TimeLimit):
            await limited(self._clock, _START_WAIT, self._poller.answered())

    def _take_answer(self, origin: Origin, answer: Answer) -> None:
        self._take_changes(self._reconciler.take(origin, answer, self._clock.now()))

    def _take_changes(self, changes: Iterable[Change]) -> None:
        members_changed = False
        for change in changes:
            known = change.known
            members_changed = members_changed or change.kind in ("discovered", "removed")
            if change.kind == "removed":
                self._forget(known.endpoint_id)
            else:
                self._learn(known)
            if change.kind != "vouched":
                details = {"source": known.sources[0]}
                self._publish(change.kind, known.peer.node_id, known.endpoint_id, details, is_guest=known.is_guest)
        if members_changed:
            self._choose()
        for dropped in self._table.take_news():
            log_dropped(dropped)

    def _learn(self, known: Known) -> None:
        self._proofs.learn(
            known.endpoint_id, known.peer.direct_addresses, vouched=known.vouched, is_guest=known.is_guest
        )
        self._hand_over(known)
        if self._overlay is not None:
            self._overlay.add(known.endpoint_id)

    def _hand_over(self, known: Known) -> None:
        """Tell those who dial which ways to a peer count now."""
        endpoint_id, peer = known.endpoint_id, self._dialled(known)
        self._vetting.learn(endpoint_id, peer.direct_addresses, has_relay=peer.relay_url is not None)
        if self._scheduler is not None and self._is_running:
            self._scheduler.learn(peer, endpoint_id, is_guest=known.is_guest)

    def _dialled(self, known: Known) -> DiscoveredPeer:
        peer = known.peer
        addresses = self._proofs.counting(known.endpoint_id)
        relay_url = peer.relay_url if peer.relay_url in (*known.vouched, self._own_relay) else None
        if (addresses, relay_url) == (tuple(peer.direct_addresses), peer.relay_url):
            return peer
        return replace(peer, direct_addresses=addresses, relay_url=relay_url, attestation=None)

    def _met(self, endpoint_id: EndpointId, remote: str | None) -> None:
        known = self._table.find(endpoint_id)
        if known is not None and remote is not None:
            self._proofs.met(endpoint_id, remote)
            self._hand_over(known)

    async def _try_claimed(self, endpoint_id: EndpointId) -> None:
        """Look for a peer where only its own word says that it is."""
        assert self._prober is not None  # noqa: S101 # only then is this handed out
        addresses = self._proofs.take_tries(endpoint_id)
        if not addresses:
            return
        answers = await probe_all(self._prober, endpoint_id, addresses, timeout=TRY_TIMEOUT)
        found = [address for address, answer in answers.items() if answer]
        for address in found:
            self._proofs.found(endpoint_id, address)
        known = self._table.find(endpoint_id)
        if found and known is not None:
            self._hand_over(known)

    def _forget(self, endpoint_id: EndpointId) -> None:
        if self._scheduler is not None:
            self._scheduler.forget(endpoint_id)
        if self._overlay is not None:
            self._overlay.remove(endpoint_id)
        self._vetting.forget(endpoint_id)
        self._proofs.forget(endpoint_id)

    def _choose(self) -> None:
        if self._scheduler is not None and self._is_running:
            self._scheduler.want(self._wanted())

    def _wanted(self) -> Set[EndpointId]:
        """Return whom this node dials by itself."""
        if not self._config.auto_connect or self._scheduler is None:
            return frozenset()
        if self._overlay is not None and len(self._table) > self._config.full_mesh:
            also = OrderedSet(known.endpoint_id for known in map(self._table.get, sorted(self._also_wanted)) if known)
            return self._overlay.neighbours() | also
        return OrderedSet(known.endpoint_id for known in self._table)

    def _happened(self, kind: EventKind, node_id: int, endpoint_id: EndpointId, details: Mapping[str, object]) -> None:
        connection = self.connection(endpoint_id) if kind == "connected" else None
        if connection is not None:
            self._met(endpoint_id, connection.remote)
        self._publish(kind, node_id, endpoint_id, details, is_guest=not self.is_member(endpoint_id))

    def _publish(
        self,
        kind: EventKind,
        node_id: int,
        endpoint_id: EndpointId,
        details: Mapping[str, object],
        *,
        is_guest: bool,
    ) -> None:
        event = Event(kind, self._clock.wall(), node_id, endpoint_id, details)
        if not is_guest or self._guest_lines.has_room():
            log_event(event)
        self._bus.publish(event)

    def _alone_since(self, endpoint_id: EndpointId) -> float | None:
        dial_state = self._scheduler.dial_state(endpoint_id) if self._scheduler is not None else None
        return self._clock.now() if dial_state is None else dial_state.alone_since

    def _is_proven(self, endpoint_id: EndpointId) -> bool:
        dial_state = self._scheduler.dial_state(endpoint_id) if self._scheduler is not None else None
        return dial_state is not None and dial_state.is_proven

    def _tidy(self) -> None:
        """Let go of what has expired."""
        wall = self._clock.wall()
        if not self._is_clock_set and is_clock_set(wall):
            self._is_clock_set = True
            self._take_changes(self._table.refuse_ahead(wall))
        self._take_changes(self._table.expire(wall))
        self._take_changes(self._additions.let_go(self._clock.now()))
        if self.not_remembered() and (self._keeping is None or self._keeping.done()):
            self._keeping = spawn(self._remember_again(), "writing down what was taken")

    async def _remember_again(self) -> None:
        with contextlib.suppress(StillBusy):
            await self._keeper.run(self._write_again)

    def _write_again(self) -> None:
        for each in self.kept():
            each.write_again()

    def _forget_former_sources(self) -> None:
        if self._context.memory is not None:
            self._context.memory.forget_all_but([source.name for source in self._poller.sources])

    def _is_known(self, where: HostPort) -> bool:
        text = str(where)
        return text in self._own_addresses or any(
            known.listens_at == where or text in known.peer.direct_addresses for known in self._table
        )

    async def _resolve(self, endpoint_id: EndpointId) -> tuple[str, ...]:
        known = self._table.find(endpoint_id)
        return await look_up(known.listens_at if known is not None else None, self._lookup, self._clock)

    async def _introduce(self, ticket: Ticket) -> DiscoveredPeer:
        assert self._introducer is not None  # noqa: S101 # only then is this handed out
        try:
            return await self._introducer.introduce(ticket, timeout=_INTRODUCTION_TIMEOUT)
        except DialError as error:
            raise BlixardError(str(error)) from None


def _same(old: Source | None, new: Source, given: Collection[object]) -> Source:
    """Return `old` where `new` was made for the same location; one that was given ready-made is taken as it is."""
    was_made = not any(new is each for each in given)
    return old if old is not None and was_made and type(old) is type(new) else new
