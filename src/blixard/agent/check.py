# SPDX-License-Identifier: MIT
"""The connectivity check of a node that does not run, or of a stranger; and the report that says how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from blixard.agent.checker import DEFAULT_TIMEOUT, Apart, Checker, Edge, ring
from blixard.agent.config import discovery_of
from blixard.agent.entry import key_path, last_signed
from blixard.agent.problems import all_problems, problems
from blixard.clock import SystemClock
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager
from blixard.documents.size_limits import MAX_PEERS
from blixard.errors import InputError
from blixard.model import fields
from blixard.transport.hello import Hello, Purpose
from blixard.trust.keys import SecretKey, read_secret_key

if TYPE_CHECKING:
    from blixard.agent.config import AnySource, NodeConfig


def request_of(parameters: Mapping[str, Any]) -> tuple[float, int | None]:
    """Return time limit (seconds for one edge) and sample of a request for a check.

    Raises:
        InputError: one of them cannot be used.
    """
    timeout = parameters.get("timeout_s", DEFAULT_TIMEOUT)
    if type(timeout) not in (int, float) or not 0.1 <= timeout <= 3600:
        raise InputError("must be a number from 0.1 to 3600", place="/timeout_s")
    sample = parameters.get("sample")
    return float(timeout), None if sample is None else fields.integer(sample, "/sample", least=1, most=MAX_PEERS)


def report(cluster: str | None, nodes: Sequence[dict[str, Any]], edges: Sequence[Edge]) -> dict[str, Any]:
    """Return the connectivity report, as its schema describes it."""
    reached = sum(edge.outcome.reached for edge in edges)
    return {
        "cluster": cluster,
        "nodes": sorted(nodes, key=lambda node: (node["node_id"] is None, node["node_id"])),
        "edges": [edge.to_json() for edge in edges],
        "summary": {
            "nodes": len(nodes),
            "edges": len(edges),
            "reached": reached,
            "failed": len(edges) - reached,
            "not_admitted": sum(edge.outcome.reached and not edge.outcome.admitted for edge in edges),
        },
    }


async def check_from_files(
    config: NodeConfig,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    sample: int | None = None,
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
    found = _Found(key, discovery_of(config), lambda _: hello, config.node_id, config.cluster, config.relay_url)
    edges, lines = await found.check(timeout, sample, tell, problems)
    node = {
        "node_id": config.node_id,
        "iroh_node_id": key.public().base64,
        "agent": "not running",
        "problems": lines,
    }
    return report(config.cluster, [node], edges)


async def check_as_stranger(
    sources: Sequence[AnySource],
    *,
    timeout: float = DEFAULT_TIMEOUT,
    sample: int | None = None,
    tell: Callable[[Any], None] = lambda _: None,
) -> dict[str, Any]:
    """Check the peers that `sources` name, with a key made for this one check. Returns the report."""
    key = SecretKey.generate()
    found = _Found(
        key, DiscoveryConfig(sources), lambda purpose: Hello(cluster=None, node_id=None, entry=None, purpose=purpose)
    )
    edges, lines = await found.check(timeout, sample, tell, all_problems)
    stranger = {"node_id": None, "iroh_node_id": key.public().base64, "agent": "stranger", "problems": lines}
    return report(None, [stranger], edges)


@dataclass(frozen=True)
class _Found:
    """A check of the peers that sources name, from an endpoint of its own."""

    key: SecretKey
    discovery: DiscoveryConfig
    hello: Callable[[Purpose], Hello]
    own_node_id: int | None = None
    cluster: str | None = None
    relay_url: str | None = None

    async def check(
        self,
        timeout: float,
        sample: int | None,
        tell: Callable[[Any], None],
        problems: Callable[[DiscoveryManager], list[str]],
    ) -> tuple[list[Edge], list[str]]:
        """Return the edges, and what is wrong with the sources: who is not found is not checked."""
        from blixard.transport.connector import AddressProber, connector_apart

        manager = DiscoveryManager(
            replace(self.discovery, auto_connect=False, state_dir=None),
            own=self.key.public(),
            own_node_id=self.own_node_id,
            cluster=self.cluster,
        )
        async with connector_apart(self.key, self.hello, relay_url=self.relay_url) as connector:
            checker = Checker(
                connector,
                clock=SystemClock(),
                rng=SystemRandom(),
                own_node_id=self.own_node_id,
                apart=Apart(AddressProber(), lambda: connector_apart(self.key, self.hello)),
            )
            await manager.refresh_peers()
            peers = ring(manager.get_dialled(), self.own_node_id, sample)
            return await checker.check(peers, timeout=timeout, tell=tell), problems(manager)
