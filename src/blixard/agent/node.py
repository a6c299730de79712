# SPDX-License-Identifier: MIT
"""The node: one Iroh endpoint, its identity and registry file, the discovery manager, who calls and who is let in.

`run_until_signal` is all that a process does that is a node.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import iroh

from blixard import __version__
from blixard.agent.admission import AdmissionControl
from blixard.agent.control_server import ControlServer
from blixard.agent.data_dir import make_data_dir
from blixard.agent.live_keys import LiveKeys
from blixard.agent.logs import output, set_up
from blixard.agent.metrics import NodeFacts, gossip_families
from blixard.agent.metrics_server import monitored
from blixard.agent.node_config import PEERS_FILE_NAME, changed_settings, discovery_of
from blixard.agent.operations import Operations
from blixard.agent.own_entry import OwnEntry, key_path
from blixard.agent.process import PidFile, notify, only_node_here, reloading, watchdog_interval
from blixard.agent.unwritten import Kept, Unwritten
from blixard.clock import SystemClock
from blixard.discovery_manager import DiscoveryManager
from blixard.errors import InputError
from blixard.model.entry import DiscoveredPeer
from blixard.transport.acceptor import Acceptor
from blixard.transport.connector import Connector, ScratchProber, bind_endpoint, bound_ports
from blixard.transport.hello import Hello, Purpose
from blixard.trust.keys import SecretKey, create_secret_key, read_secret_key

if TYPE_CHECKING:
    from blixard.agent.metrics import Family
    from blixard.agent.node_config import NodeConfig
    from blixard.agent.raft_node import RaftNode
    from blixard.dialling.protocols import StreamHandler
    from blixard.gossip.gossip import Gossip
    from blixard.gossip.signed_file import SignedFile
    from blixard.model.entry import NodeRegistryEntry
    from blixard.transport.connection import IrohConnection

log = logging.getLogger("blixard.node")

_LOOK_INTERVAL = 30.0
"""Seconds between two looks at this host: its addresses, and whether its clock was set back behind what was signed."""


def _keep_identity(data_dir: Path) -> SecretKey:
    """Read the node's secret key; the first time, make one."""
    path = key_path(data_dir)
    return read_secret_key(path, own=True) if os.path.lexists(path) else create_secret_key(path)


class Node:
    """A running node. `run` is its whole life.

    Attributes:
        config: the settings that hold now.
        stream_handlers: serve the streams that peers open, by protocol; none is added once the node serves.
        key, own, clock, connector, live_keys, manager, admission_control: its parts, from the moment it serves.
        raft: the voter that it is; None when it is none.
        gossip: its part in gossip, if it takes any.
    """

    key: SecretKey
    own: OwnEntry
    connector: Connector
    live_keys: LiveKeys
    manager: DiscoveryManager
    admission_control: AdmissionControl
    _pid_file: PidFile

    def __init__(self, config: NodeConfig, read_again: Callable[[], NodeConfig]) -> None:
        """`read_again` reads the configuration from where `config` came."""
        self.config = config
        self.clock = SystemClock()
        self.stream_handlers: dict[str, StreamHandler] = {}
        self._read_again = read_again
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._fault: BaseException | None = None
        self._warned: str | None = None
        self.raft: RaftNode | None = None
        self.gossip: Gossip | None = None
        self._shared_file: SignedFile | None = None
        self.unwritten = Unwritten(self._kept, self.clock)

    def stop(self) -> None:
        """Ask the node to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Start, serve until `stop` is called, and close everything in order.

        Raises:
            InputError: the data directory, the key, the address or a setting cannot be used.
        """
        make_data_dir(self.config.data_dir)
        with only_node_here(self.config.data_dir) as self._pid_file:
            self.key = _keep_identity(self.config.data_dir)
            endpoint = await bind_endpoint(self.key, str(self.config.bind), relays=self.config.relays)
            try:
                await self._serve(endpoint)
            finally:
                notify("STOPPING=1")
                await endpoint.close()
        if self._fault is not None:
            raise self._fault

    async def _serve(self, endpoint: iroh.Endpoint) -> None:
        self._set_up(endpoint)
        self._update_entry()
        operations = self._operations().table()
        if self.raft is not None:
            operations |= self.raft.operations.table()
        control = ControlServer(self.config.data_dir, operations)
        metrics = monitored(lambda: self.config, self.manager, self._about, self.clock)
        async with self._following_addresses(endpoint), metrics:
            try:
                self._keep_going(self._acceptor(endpoint).serve())
                self._keep_going(_feed_watchdog())
                self._keep_going(self._following_the_host())
                self._keep_going(self.unwritten.keep_trying())
                self._keep_going(self.live_keys.keep())
                if self.gossip is not None:
                    self._keep_going(self.gossip.run())
                await self.manager.start()
                if self.raft is not None:
                    self._keep_going(self.raft.service.run())
                await control.start()
                self._announce()
                await self._stopping.wait()
            finally:
                await control.stop()
                async with self._changing:
                    await self.manager.stop()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self.live_keys.stop()

    def _set_up(self, endpoint: iroh.Endpoint) -> None:
        config, clock = self.config, self.clock
        self.own = OwnEntry(config, self.key, bound_ports(endpoint, str(config.bind)), clock)
        self.connector = Connector(
            endpoint, self.hello, clock=self.clock, learned=self._learn, handlers=self.stream_handlers
        )
        self.live_keys = LiveKeys(lambda: self.config, self.key.public(), clock)
        self.manager = self._make_manager(config)
        self.admission_control = AdmissionControl(
            self.manager, lambda: self.own.entry, cluster=config.cluster, admission=config.admission, clock=clock
        )
        if config.raft:
            self._set_up_raft()
        if config.gossip:
            self._set_up_gossip()

    def _set_up_raft(self) -> None:
        # Imported here: it needs an extra, which voters alone have.
        from blixard.agent.raft_node import PROTOCOL, RaftNode

        self.raft = RaftNode(self.config, self.manager, self.clock)
        self.stream_handlers[PROTOCOL] = self.raft.handle

    def _set_up_gossip(self) -> None:
        # Imported here: a node that takes no part in it starts sooner.
        from blixard.gossip.gossip import Gossip
        from blixard.gossip.messages import PROTOCOL
        from blixard.gossip.signed_file import SignedFile

        # A peers file elsewhere is shared with others, or another program's to write.
        if self.config.peers_file == self.config.data_dir / PEERS_FILE_NAME:
            self._shared_file = SignedFile(
                self.config.peers_file,
                cluster=self.config.cluster,
                signers=lambda: self.config.trusted_signers,
                seen=self.manager.seen,
                wall=self.clock.wall,
            )
        self.gossip = Gossip(
            self.manager,
            own=self.key.public(),
            own_entry=lambda: self.own.entry,
            cluster=self.config.cluster,
            is_open=lambda: self.config.admission == "open",
            file=self._shared_file,
            clock=self.clock,
            rng=SystemRandom(),
        )
        self.stream_handlers[PROTOCOL] = self.gossip.serve

    def _kept(self) -> list[Kept]:
        shared = [self._shared_file] if self._shared_file is not None else []
        return [self.own, self._pid_file, *self.manager.kept(), *shared, output()]

    def _operations(self) -> Operations:
        return Operations(
            config=lambda: self.config,
            key=self.key,
            own=self.own,
            clock=self.clock,
            connector=self.connector,
            manager=self.manager,
            hello=self.hello,
            refused=self.admission_control.refused,
            not_written=self.unwritten.lines,
            gossip=self.gossip,
            reload=self.reload,
            stop=self.stop,
            raft=lambda: None if self.raft is None else self.raft.operations.status(),
        )

    def _about(self) -> NodeFacts:
        return NodeFacts(
            node_id=self.config.node_id,
            cluster=self.config.cluster,
            version=__version__,
            refused=self.admission_control.refused,
            not_remembered=len(self.manager.not_remembered()),
            not_written=len(self.unwritten.lines()),
            is_reachable=self.own.not_reachable is None,
            has_relay=self.config.relay_url is not None,
            relay_connections=self.connector.relay_connections(),
            live_in=self.live_keys.told(),
            more=self._parts(),
        )

    def _parts(self) -> Iterator[Family]:
        if self.raft is not None:
            yield from self.raft.families()
        if self.gossip is not None:
            yield from gossip_families(self.gossip.counts())

    def _acceptor(self, endpoint: iroh.Endpoint) -> Acceptor:
        keeper = self.admission_control
        return Acceptor(
            endpoint,
            keeper.welcome,
            self._arrived,
            clock=self.clock,
            is_known=self.manager.is_member,
            turned_away=keeper.turned_away,
            handlers=self.stream_handlers,
        )

    def _make_manager(self, config: NodeConfig) -> DiscoveryManager:
        manager = DiscoveryManager(
            discovery_of(config),
            dialler=self.connector,
            own=self.key.public(),
            own_node_id=config.node_id,
            cluster=config.cluster,
            prober=ScratchProber(),
            introducer=self.connector,
            relay_url=config.relay_url,
            own_entry=lambda: self.own.entry,
            clock=self.clock,
            rng=SystemRandom(),
        )
        manager.set_own_addresses(self.own.entry.socket_addresses)
        return manager

    def _keep_going(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside everything else; its failure ends the node, which would be deaf without it."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault
            self.stop()

    def _announce(self) -> None:
        self._warn_if_open()
        log.info(
            "node ready",
            extra={
                "node_id": self.config.node_id,
                "iroh_node_id": self.key.public().hex,
                "addresses": ",".join(self.own.entry.direct_addresses),
                "cluster": self.config.cluster,
                "version": __version__,
            },
        )
        notify("READY=1")
        self._ready.set()

    def _warn_if_open(self) -> None:
        config = self.config
        if config.admission == "open" and not config.bind.ip.is_loopback:
            log.warning(
                "admission is open: whoever names this cluster is let in; set trusted_signers or admission known",
                extra={"bind": config.bind, "cluster": config.cluster},
            )

    def hello(self, purpose: Purpose) -> Hello:
        """Return what this node says first, as it is now."""
        return Hello(cluster=self.config.cluster, node_id=self.config.node_id, entry=self.own.entry, purpose=purpose)

    def _arrived(self, connection: IrohConnection, hello: Hello) -> None:
        if hello.entry is not None:
            self._learn(hello.entry)
        self.manager.adopt(connection)

    def _learn(self, entry: NodeRegistryEntry) -> None:
        """Take over what a peer signed about itself; the manager checks the signature."""
        if entry.attestation is not None:
            self.manager.add_peer(DiscoveredPeer.from_entry(entry, "hello", self.clock.wall()), "hello")

    def _update_entry(self) -> None:
        """Keep the entry and its file as they must be."""
        try:
            if self.own.update(self.config):
                log.info("addresses changed", extra={"addresses": ",".join(self.own.entry.direct_addresses)})
                self.manager.network_changed()
        finally:
            self.manager.set_own_addresses(self.own.entry.socket_addresses)
            self._warn_if_not_reachable()

    def _warn_if_not_reachable(self) -> None:
        if self.own.not_reachable not in (None, self._warned):
            log.warning("this node cannot be reached from other hosts", extra={"reason": self.own.not_reachable})
        self._warned = self.own.not_reachable

    @contextlib.asynccontextmanager
    async def _following_addresses(self, endpoint: iroh.Endpoint) -> AsyncIterator[None]:
        watch = endpoint.watch_addr(_OnChange(self._network_changed))
        try:
            yield
        finally:
            await watch.stop()

    async def _following_the_host(self) -> None:
        """Look at what the transport does not tell: default routes, IPv6, and a clock that was set back."""
        while True:
            await self.clock.sleep(_LOOK_INTERVAL)
            self._addresses_changed()

    def _network_changed(self) -> None:
        # A network that is back may have the addresses that it had before.
        self._addresses_changed()
        self.manager.network_changed()

    def _addresses_changed(self) -> None:
        # Between two networks a host may have no address at all: what was said last stands, `not_reachable` says why.
        with contextlib.suppress(InputError):
            self._update_entry()

    async def reload(self) -> list[str]:
        """Read the configuration again and use it; return the names of the settings that have changed.

        Raises:
            InputError: it cannot be used, or a setting has changed that needs a restart. All stays as it was.
        """
        await self._ready.wait()
        async with self._changing:
            notify(reloading())
            try:
                new = self._read_again()
                changed = changed_settings(self.config, new)
                self.own.signed(new, self.own.entry)  # the last thing that could refuse it
                await self._use(new)
            except InputError as error:
                log.warning("configuration not reloaded", extra={"error": str(error)})
                raise
            finally:
                notify("READY=1")
        log.info("configuration reloaded", extra={"changed": ",".join(changed)})
        return changed

    async def _use(self, new: NodeConfig) -> None:
        before, self.config = self.config, new
        set_up(new.log_level, new.log_format)
        if new.admission != before.admission:
            self.admission_control.admission = new.admission
            self._warn_if_open()
            if new.admission == "known":
                self.manager.dismiss_guests()
        self._addresses_changed()
        if self.raft is not None and new.raft_voters:
            self.raft.service.expect(new.raft_voters)
        if discovery_of(new) != discovery_of(before):
            await self.manager.configure(discovery_of(new))


class _OnChange(iroh.AddrChangeCallback):
    """Calls back when the endpoint's addresses have changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    async def on_change(self, addr: iroh.EndpointAddr) -> None:
        self._changed()


async def _feed_watchdog() -> None:
    interval = watchdog_interval()
    while interval is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def run_until_signal(read_config: Callable[[], NodeConfig]) -> int:
    """Run the node until SIGTERM or SIGINT; returns 0 after a clean stop. SIGHUP reads the configuration again.

    Raises:
        InputError: the configuration cannot be used.
    """
    config = read_config()
    set_up(config.log_level, config.log_format)
    asyncio.run(_run(config, read_config))
    return 0


async def _run(config: NodeConfig, read_config: Callable[[], NodeConfig]) -> None:
    node = Node(config, read_config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(node))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await node.run()


async def _reload(node: Node) -> None:
    with contextlib.suppress(InputError):  # which is logged there
        await node.reload()
