# SPDX-License-Identifier: MIT
"""What can be asked of a running node over its control socket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from blixard import __version__
from blixard.agent.connectivity import Apart, Checker, report, request_of, ring
from blixard.agent.source_report import findings, look_again, problems
from blixard.transport.connector import ScratchProber, connector_apart

if TYPE_CHECKING:
    from blixard.agent.control_server import Operation, Tell
    from blixard.agent.node import Node


class Operations:
    """The operations of one node; each takes the request and a way to tell how far it is."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def table(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "info": self.info,
            "status": self.status,
            "check": self.check,
            "discover": self.discover,
            "refresh": self.refresh,
            "reload": self.reload,
            "stop": self.stop,
        }

    async def info(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        """Say who this node is."""
        node, config = self._node, self._node.config
        return {
            "node_id": config.node_id,
            "iroh_node_id": node.key.public().base64,
            "cluster": config.cluster,
            "version": __version__,
            "pid": os.getpid(),
            "config_sha256": config.sha256,
            "admission": config.admission,
            "connected": [peer.node_id for peer in node.manager.status() if peer.state == "connected"],
            "addresses": node.own.addresses(config),
            "entry": node.own.entry.to_json(),
        }

    async def status(self, request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        """Say who this node is and what it knows of its peers."""
        node = self._node
        return {
            **await self.info(request, tell),
            "peers": [peer.to_json() for peer in node.manager.status()],
            "sources": [source.to_json() for source in node.manager.source_status()],
            "refused_callers": dict(node.admission_control.refused),
            "not_remembered": node.manager.not_remembered(),
        }

    async def check(self, request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        """Check the edges to the peers, over the connections of the mesh where there are some."""
        node, config = self._node, self._node.config
        timeout, sample = request_of(request)
        await look_again(node.manager, node.clock)
        checker = Checker(
            node.connector,
            clock=node.clock,
            rng=SystemRandom(),
            own_node_id=config.node_id,
            connected=lambda peer: node.manager.connection(peer.endpoint_id),
            # Not over the relay, where this node's key already has an endpoint.
            apart=Apart(ScratchProber(), lambda: connector_apart(node.key, node.hello)),
        )
        peers = ring(node.manager.get_dialled(), config.node_id, sample)
        edges = await checker.check(peers, timeout=timeout, tell=tell)
        about = {
            "node_id": config.node_id,
            "iroh_node_id": node.key.public().base64,
            "agent": "running",
            "version": __version__,
            "addresses": node.own.addresses(config),
            "problems": problems(node.manager),
        }
        return report(config.cluster, [about], edges)

    async def discover(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        """Ask all sources now; say what they say, and what of it counts."""
        manager = self._node.manager
        await manager.refresh_peers()
        return findings(manager)

    async def refresh(self, request: Mapping[str, Any], _: Tell) -> dict[str, Any]:
        """Look at all sources now. With `prune`, who is no longer in the peers file is dropped at once."""
        manager = self._node.manager
        await manager.refresh_peers(prune=request.get("prune") is True)
        return {
            "peers": [peer.node_id for peer in manager.get_peers()],
            "problems": problems(manager),
        }

    async def reload(self, _: Mapping[str, Any], __: Tell) -> dict[str, Any]:
        """Read the configuration again; say which settings have changed."""
        return {"changed": await self._node.reload()}

    async def stop(self, _: Mapping[str, Any], __: Tell) -> None:
        """End the node."""
        self._node.stop()
