# SPDX-License-Identifier: MIT
"""What tests of file sources share."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from tests.unit.peers.people import CLUSTER, HOUR

from blixard.clock import SystemClock
from blixard.documents.peers_file import format_peers
from blixard.documents.registry_file import format_registry
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.sources.base import Answer, Failed, Found
from blixard.trust.attestation import AttestationCheck


def in_an_hour() -> datetime:
    """A wall clock by which every file that a test has written is an old one."""
    return SystemClock().wall() + HOUR


CHECK = AttestationCheck(cluster=CLUSTER, wall=in_an_hour)


def write(path: Path, data: bytes | str, *, age: float = 60.0) -> None:
    """Write a file with a date of its own: two writes must not look alike, however fast they follow each other."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    then = SystemClock().wall().timestamp() - age
    os.utime(path, (then, then))


def remove(path: Path) -> None:
    """Remove a file."""
    path.unlink()


def registry_of(peer: DiscoveredPeer, **extra: object) -> bytes:
    """The registry file of a peer."""
    address = peer.direct_addresses[0]
    return format_registry(NodeRegistryEntry(*peer.content(), address, peer.attestation, extra))


def peers_file_of(*peers: DiscoveredPeer) -> bytes:
    """The peers file with these peers."""
    return format_peers(peers)


def nodes(answer: Answer) -> list[int]:
    """The nodes that a good answer names."""
    assert isinstance(answer, Found), answer
    return [each.node_id for each in answer.peers]


def said(answer: Answer) -> str:
    """The one line of a failure."""
    assert isinstance(answer, Failed), answer
    assert "\n" not in answer.error
    return answer.error
