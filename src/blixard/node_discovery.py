# SPDX-License-Identifier: MIT
"""Finding single nodes: registry entries written, read, and looked up by location."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.clock import SystemClock
from blixard.documents.registry_file import read_registry, write_registry
from blixard.errors import InputError
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.sources.base import Failed, Found, SourceContext
from blixard.sources.factory import registry_at
from blixard.sources.worker import Worker
from blixard.trust.attestation import AttestationCheck

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.model.tickets import Ticket

__all__ = ["NodeDiscovery", "NodeRegistryEntry", "load_node_registry", "save_node_registry"]

_log = logging.getLogger("blixard.sources")


async def save_node_registry(path: str | Path, entry: NodeRegistryEntry) -> None:
    """Write a registry file in one step.

    Raises:
        InputError: the folder is missing or cannot be written.
    """
    await Worker[None]().run(lambda: write_registry(path, entry))


async def load_node_registry(path: str | Path) -> NodeRegistryEntry:
    """Read a registry file. Its attestation, if it has one, is not looked at.

    Raises:
        InputError: the file is missing or is no registry.
    """
    return await Worker[NodeRegistryEntry]().run(lambda: read_registry(path))


class NodeDiscovery:
    """Finds the nodes that a location names, once. The DiscoveryManager goes on looking."""

    def __init__(
        self,
        *,
        cluster: str | None = None,
        introduce: Callable[[Ticket], Awaitable[DiscoveredPeer]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`cluster`: what attestations must be for; None for any. `introduce`: asks a ticket's endpoint who it is."""
        clock = clock or SystemClock()
        self._context = SourceContext(
            check=AttestationCheck(cluster=cluster, wall=clock.wall),
            wall=clock.wall,
            is_known=lambda _: False,
            introduce=introduce,
        )

    async def find(self, location: str | Path) -> list[DiscoveredPeer]:
        """Return the nodes at a location: a registry file, a directory of them, a glob, a URL, or a ticket.

        What is bad among good ones in a directory is logged and left out.

        Raises:
            InputError: the location cannot be used.
        """
        source = registry_at(location, self._context)
        answer = await source.fetch()
        if isinstance(answer, Failed):
            raise InputError(answer.error)
        if not isinstance(answer, Found):
            return []
        for problem in answer.problems:
            _log.warning("refused", extra={"source": source.name, "reason": problem})
        return list(answer.peers)
