# SPDX-License-Identifier: MIT
"""A peers file on the controller, and the fleet key that signs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.documents.samples import CLUSTER, NOW, attested, key

from blixard.documents.peers_file import build_peers, format_peers
from blixard.fleet.signature import Signature, keep_signature

FLEET, OTHER = key(100), key(101)
ONE = format_peers(build_peers([attested(1)]))


def write_peers(folder: Path) -> Path:
    """Write a peers file, not signed yet, and return its path."""
    path = folder / "discovery-peers.json"
    path.write_bytes(ONE)
    return path


def keep(path: Path, **changes: Any) -> Signature:
    """Keep the signature of the peers file at `path` as a rollout does now, but for `changes` to what it is told."""
    arguments: dict[str, Any] = {
        "key": FLEET,
        "cluster": CLUSTER,
        "signers": [FLEET.public().hex],
        "now": NOW,
        "sha256": None,
        "check": False,
    }
    return keep_signature(path, **{**arguments, **changes})


def sig_of(path: Path) -> Path:
    """Return where the signature of a peers file is."""
    return path.with_name(f"{path.name}.sig")
