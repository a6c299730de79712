# SPDX-License-Identifier: MIT
"""Verifying the attestations of found peers, each only once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from blixard.errors import TrustError
from blixard.trust.attestation import check_timely, verify_attestation

if TYPE_CHECKING:
    from blixard.model.entry import Attestation, Content, DiscoveredPeer

MOST_REMEMBERED = 100_000
"""Attestations that are remembered as good: twice the peers of the largest peers file."""


class AttestationCheck:
    """Says what is wrong with a peer's attestation. Shared by all sources of a manager, also across threads."""

    def __init__(self, *, cluster: str | None, wall: Callable[[], datetime]) -> None:
        """`cluster`: the one that every attestation must be for; None for any. `wall`: the date and time."""
        self._cluster = cluster
        self._wall = wall
        self._good: dict[str, tuple[Content, Attestation]] = {}

    def problem(self, peer: DiscoveredPeer) -> str | None:
        """Return one line when the attestation does not hold; None when it does, or there is none."""
        attestation = peer.attestation
        if attestation is None:
            return None
        signed = (peer.content(), attestation)
        now = self._wall()
        if self._good.get(peer.iroh_node_id) == signed and _is_timely(attestation, now):
            return None
        try:
            verify_attestation(peer, cluster=self._cluster, now=now)
        except TrustError as error:
            return str(error)
        if len(self._good) >= MOST_REMEMBERED:
            self._good.clear()
        self._good[peer.iroh_node_id] = signed
        return None


def _is_timely(attestation: Attestation, now: datetime) -> bool:
    try:
        check_timely(attestation, now)
    except TrustError:
        return False
    return True
