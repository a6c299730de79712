# SPDX-License-Identifier: MIT
"""From the bytes of a registry file to a sighting, wherever the bytes came from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from blixard.documents.entry_states import PRESENT, state_of
from blixard.documents.json_times import parse_time
from blixard.documents.registry_file import parse_registry
from blixard.errors import TrustError
from blixard.model.addresses import HostPort
from blixard.model.entry import DiscoveredPeer
from blixard.sources.base import Sighting

if TYPE_CHECKING:
    from blixard.model.entry import NodeRegistryEntry
    from blixard.sources.attestations import AttestationCheck


class RegistryReader:
    """Parses and verifies registries."""

    def __init__(self, check: AttestationCheck, wall: Callable[[], datetime]) -> None:
        """`wall` dates peers whose registry is not signed; a signed one says when it was."""
        self._check = check
        self._wall = wall

    def read(self, data: bytes, place: str, before: Sighting | None = None) -> Sighting | None:
        """Return what a registry says; None when it says that its node is leaving or has left.

        Args:
            data: the bytes of the file.
            place: path or URL.
            before: the sighting from the same place; it is returned again when nothing has changed.

        Raises:
            InputError: it is no registry.
            TrustError: its attestation does not hold.
        """
        entry = parse_registry(data, file=place)
        if state_of(entry) != PRESENT:
            return None
        listens_at = HostPort.parse(entry.address)
        if before is not None and _says_the_same(entry, listens_at, before):
            return before
        issued = entry.attestation.issued_at if entry.attestation else None
        peer = DiscoveredPeer.from_entry(entry, "registry", parse_time(issued) if issued else self._wall())
        problem = self._check.problem(peer)
        if problem is not None:
            raise TrustError(f"{place}: {problem}")
        return Sighting(peer, place, listens_at)


def _says_the_same(entry: NodeRegistryEntry, listens_at: HostPort, before: Sighting) -> bool:
    return (entry.content(), entry.attestation, listens_at) == (
        before.peer.content(),
        before.peer.attestation,
        before.listens_at,
    )
