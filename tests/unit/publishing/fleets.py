# SPDX-License-Identifier: MIT
"""A record, its peers file and their signatures, as a controller has them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.unit.documents.samples import CLUSTER, attested, entry, key

from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.record import write_record
from blixard.model.entry import NodeRegistryEntry
from blixard.publishing.base import Outcome, Publication, PublishContext, read_publication
from blixard.publishing.factory import make_destinations, publish_everywhere
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey
from blixard.trust.manifest import keep_manifest
from blixard.trust.peers_signature import sign_peers

FLEET = key(100)
NOW = datetime(2026, 9, 1, tzinfo=timezone.utc)
CONTEXT = PublishContext(lambda: NOW + timedelta(hours=1))


def record_of(*numbers: int, changed: int | None = None) -> dict[str, NodeRegistryEntry]:
    """Attested entries by name; that of `changed` has another address and a higher number."""
    record = {f"n{number}": attested(number) for number in numbers}
    if changed is not None:
        moved = entry(changed, direct_addresses=(f"10.9.9.{changed}:7001",))
        record[f"n{changed}"] = attest(moved, key(changed), cluster=CLUSTER, now=NOW)
    return record


def keep(folder: Path, record: dict[str, NodeRegistryEntry], *, seq: int | None = None, by: SecretKey = FLEET) -> Path:
    """Write a record with its peers file, signed under the number `seq` if there is one; returns the peers file."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("registry/*"):
        path.unlink()
    write_record(folder / "registry", {}, record)
    peers = folder / "discovery-peers.json"
    data = format_peers(build_peers(record.values()))
    peers.write_bytes(data)
    signature = folder / "discovery-peers.json.sig"
    signature.unlink(missing_ok=True)
    if seq is not None:
        now = datetime.fromtimestamp(seq, timezone.utc)
        signature.write_bytes(sign_peers(data, by, cluster=CLUSTER, previous_seq=None, now=now))
        keep_manifest(folder / "registry", key=by, cluster=CLUSTER, now=now)
    return peers


def at(seconds: int) -> int:
    """A number of a signature, that many seconds after NOW."""
    return int(NOW.timestamp()) + seconds


def publication_of(
    folder: Path, record: dict[str, NodeRegistryEntry], *, seq: int | None = None, by: SecretKey = FLEET
) -> Publication:
    """The publication of such a record."""
    return read_publication(folder / "registry", keep(folder, record, seq=seq, by=by))


def publish(publication: Publication, *locations: str | Path, check: bool = False) -> list[Outcome]:
    """Publish, as the command does."""
    destinations = make_destinations(map(str, locations), CONTEXT)
    return asyncio.run(publish_everywhere(destinations, publication, check=check))


def unsigned(*numbers: int) -> dict[str, NodeRegistryEntry]:
    """Entries that nobody signed."""
    return {f"n{number}": entry(number) for number in numbers}
