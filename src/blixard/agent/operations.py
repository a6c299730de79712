# SPDX-License-Identifier: MIT
"""What can be asked of a running node over its control socket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from blixard import __version__
from blixard.agent.advertise import local_addresses
from blixard.agent.check_sample import chosen
from blixard.agent.connectivity import Checker, ScratchDials, report, request_of
from blixard.agent.source_report import findings, look_again, problems
from blixard.dialling.pace import lateness
from blixard.transport.connector import ScratchProber, scratch_connector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from blixard.agent.control_server import Operation, Tell
    from blixard.agent.node_config import NodeConfig
    from blixard.agent.own_entry import OwnEntry
    from blixard.clock import Clock
    from blixard.discovery_manager import DiscoveryManager
    from blixard.gossip.gossip import Gossip
    from blixard.transport.connector import Connector
    from blixard.transport.hello import Hello, Purpose
    from blixard.trust.keys import SecretKey

_NO_RELAY = "not connected; is it up, and does it admit this node?"
_RELAY_PATIENCE, _RELAY_LOOK = 5.0, 0.1
"""Seconds that a check waits for the connection to the relay, which iroh makes some three after the start; how often
it looks."""


@dataclass(frozen=True, kw_only=True)
class Operations:
    """The operations of one node; each takes the request and a way to tell how far it is.

    Args:
        config: gives the settings that hold now.
        key, own, clock, connector, manager: parts of the node.
        hello: gives what the node says first, as it is now.
        refused: callers that were not let in, counted by kind.
        not_written: gives a line for each thing that could not be written.
        gossip: the node's gossip; None where it takes no part.
        reload: reads the configuration again and returns the names of the settings that have changed.
        stop: asks the node to end.
        raft: gives the state of the voter that the node is; None when it is none.
    """

    config: Callable[[], NodeConfig]
    key: SecretKey
    own: OwnEntry
    clock: Clock
    connector: Connector
    manager: DiscoveryManager
    hello: Callable[[Purpose], Hello]
    refused: Mapping[str, int]
    not_written: Callable[[], list[str]]
    gossip: Gossip | None
    reload: Callable[[], Awaitable[list[str]]]
    stop: Callable[[], None]
    raft: Callable[[], dict[str, Any] | None] = lambda: None

    def table(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "info": self._info,
            "status": self._status,
            "check": self._check,
            "discover": self._discover,
            "refresh": self._refresh,
            "reload": self._reload,
            "stop": self._stop,
        }

    async def _info(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        """Say who this node is."""
        config = self.config()
        return {
            "node_id": config.node_id,
            "iroh_node_id": self.key.public().base64,
            "cluster": config.cluster,
            "version": __version__,
            "pid": os.getpid(),
            "config_sha256": config.sha256,
            "admission": config.admission,
            "connected": [peer.node_id for peer in self.manager.status() if peer.state == "connected"],
            "addresses": self.own.addresses(config),
            "not_reachable": self.own.not_reachable,
            "not_written": self.not_written(),
            "entry": self.own.entry.to_json(),
        }

    async def _status(self, request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        """Say who this node is and what it knows of its peers."""
        return {
            **await self._info(request, tell),
            "peers": [peer.to_json() for peer in self.manager.status()],
            "sources": [source.to_json() for source in self.manager.source_status()],
            "refused_callers": dict(self.refused),
            "not_remembered": self.manager.not_remembered(),
            "relay": self._relay(),
            "raft": self.raft(),
            "gossip": self.gossip.status() if self.gossip is not None else None,
        }

    def _relay(self) -> dict[str, str | None] | None:
        url = self.config().relay_url
        return None if url is None else {"url": url, "error": _NO_RELAY if self._is_without_relay() else None}

    async def _check(self, request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        """Check the edges to the peers, over the connections of the mesh where there are some."""
        config = self.config()
        timeout, sample = request_of(request)
        await look_again(self.manager, self.clock)
        await self._await_relay()
        known = self.manager.get_dialled()
        async with lateness(self.clock) as watched:
            checker = Checker(
                self.connector,
                clock=self.clock,
                rng=SystemRandom(),
                own_node_id=config.node_id,
                connected=lambda peer: self.manager.connection(peer.endpoint_id),
                # Not over the relay, where this node's key already has an endpoint.
                scratch=ScratchDials(
                    ScratchProber(), lambda: scratch_connector(self.key, self.hello, clock=self.clock, relays=None)
                ),
                was_late=watched.since,
            )
            peers = chosen(known, config.node_id, sample)
            edges = await checker.check(peers, timeout=timeout, tell=tell)
        about = {
            "node_id": config.node_id,
            "iroh_node_id": self.key.public().base64,
            "agent": "running",
            "version": __version__,
            "addresses": self.own.addresses(config),
            "sample": len(peers) if len(peers) < len(known) else None,
            "problems": self._problems(),
        }
        return report(config.cluster, [about], edges)

    async def _await_relay(self) -> None:
        """Give a node that has just started, or whose relay has, the time that iroh takes to find it."""
        deadline = self.clock.now() + _RELAY_PATIENCE
        while self._is_without_relay() and self.clock.now() < deadline:
            await self.clock.sleep(_RELAY_LOOK)

    def _is_without_relay(self) -> bool:
        return self.config().relay_url is not None and not self.connector.relay_connections()

    def _problems(self) -> list[str]:
        """Return what is wrong with this node while it reaches its peers all the same."""
        remembered = self.manager.not_remembered()
        lines = problems(self.manager)
        lines += [f"cannot write, and tries again: {line}" for line in self.not_written() if line not in remembered]
        if self.own.not_reachable is not None and self._has_peers_elsewhere():
            lines.append(f"cannot be reached from other hosts: {self.own.not_reachable}")
        if self._is_without_relay():
            lines.append(f"relay {self.config().relay_url}: {_NO_RELAY}")
        return lines

    def _has_peers_elsewhere(self) -> bool:
        here = {each.ip for each in local_addresses()}
        return any(
            peer.relay_url is not None
            or any(not (each.ip.is_loopback or each.ip in here) for each in peer.socket_addresses)
            for peer in self.manager.get_peers()
        )

    async def _discover(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        """Ask all sources now; say what they say, and what of it counts."""
        await self.manager.refresh_peers()
        return findings(self.manager)

    async def _refresh(self, request: Mapping[str, Any], _: Tell) -> dict[str, Any]:
        """Look at all sources now. With `prune`, who is no longer in the peers file is dropped at once."""
        await self.manager.refresh_peers(prune=request.get("prune") is True)
        return {
            "peers": [peer.node_id for peer in self.manager.get_peers()],
            "problems": problems(self.manager),
        }

    async def _reload(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        """Read the configuration again; say which settings have changed."""
        return {"changed": await self.reload()}

    async def _stop(self, _: Mapping[str, Any], __: Tell) -> None:
        """End the node."""
        self.stop()
