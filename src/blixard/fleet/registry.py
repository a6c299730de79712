# SPDX-License-Identifier: MIT
"""One run's answers merged into the fleet's record on the controller, and the peers that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.peers import PeersDiff, build_peers, diff_peers, format_peers, read_peers
from blixard.documents.record import SUFFIX, MergeResult, merge_record, read_record, write_record
from blixard.documents.states import ABSENT, RECORDED_AT, state_of
from blixard.documents.strictjson import loads
from blixard.errors import BlixardError, InputError
from blixard.fleet.announcements import announced_ids
from blixard.model.entry import NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.model.numbers import check_number
from blixard.trust.attestation import verify_attestation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

LASTING = timedelta(hours=1)
"""For how long an attestation must still hold when it is recorded: one that ends at once makes every check fail."""


@dataclass(frozen=True)
class Update:
    """What a run came to. With `refused` nothing was written; members `without_host` are not in the inventory."""

    merged: MergeResult
    peers: list[dict[str, Any]]
    diff: PeersDiff
    refused: tuple[str, ...]
    without_host: tuple[str, ...] = ()

    @property
    def touched(self) -> bool:
        """Whether any file of the record differs, or would."""
        return bool(self.merged.added or self.merged.changed or self.merged.removed)


def update_record(
    folder: Path,
    gathered: Mapping[str, Any],
    *,
    cluster: str,
    now: datetime,
    max_removals: int,
    states: Mapping[str, str],
    announced: Mapping[str, str],
    peers_file: Path | None,
    upstream_compat: bool,
    check: bool,
    announcements: Mapping[str, Any] | None = None,
    hosts: Collection[str] | None = None,
    prune: bool = False,
) -> Update:
    """Merge `gathered` (name to the JSON of a registry entry) into the record at `folder`.

    Args:
        folder: the record; made when it is missing.
        gathered: what the hosts of this run said of themselves.
        cluster: the cluster that their entries must be signed for.
        now: time of the run, with a time zone.
        max_removals: how many hosts may become absent at once. More than 0 says that some are to leave, and then an
            inventory that lost more members than that is refused, whether they would be removed now or not.
        states: name to `present`, `draining` or `absent`.
        announced: name to the new Iroh id that was announced for it, in any form of an id.
        peers_file: the fleet's peers file as it is now, to say what the new record means for it.
        upstream_compat: write times in the form that upstream's reader takes.
        check: write nothing.
        announcements: name to announcement (`blixard.trust.rotation`), which is verified here.
        hosts: every name in the inventory, to tell which members have no host; None when nobody knows.
        prune: take members without a host for absent.

    Raises:
        InputError: record, peers file or an argument cannot be used.
    """
    before = read_record(folder, missing_ok=True)
    entries, refused = _accept(gathered, cluster, now)
    ids, unannounced = announced_ids(before, announcements or {}, cluster=cluster)
    refused += [*_altered(before, entries, cluster, now), *unannounced]
    ids |= {name: EndpointId.parse(text) for name, text in announced.items()}
    without_host = [] if hosts is None else _without_host(before, hosts)
    wanted = {**states, **dict.fromkeys(without_host if prune else (), ABSENT)}
    merged = merge_record(before, entries, now=now, max_removals=max_removals, states=wanted, announced=ids)
    refused += merged.refused
    if not prune and 0 < max_removals < len(without_host):
        refused.append(
            f"{len(without_host)} members are not in the inventory ({', '.join(without_host)}), and at most"
            f" {max_removals} may leave at once; put them back, or raise max_removals if that is meant"
        )
    if refused:
        return Update(MergeResult(before), [], PeersDiff(), tuple(refused), tuple(without_host))
    peers = build_peers(merged.record.values())
    names = {entry.node_id: name for name, entry in (before | dict(merged.record)).items()}
    diff = diff_peers(_peers_before(peers_file), peers, names)
    if not check:
        write_record(folder, before, merged.record)
    document = loads(format_peers(peers, upstream_compat=upstream_compat))
    assert isinstance(document, list)  # noqa: S101  (for the type checker: we have just written it)
    return Update(merged, document, diff, (), () if prune else tuple(without_host))


def _without_host(record: Mapping[str, NodeRegistryEntry], hosts: Collection[str]) -> list[str]:
    known = set(hosts)
    return sorted(name for name, entry in record.items() if name not in known and state_of(entry) != ABSENT)


def _accept(gathered: Mapping[str, Any], cluster: str, now: datetime) -> tuple[dict[str, NodeRegistryEntry], list[str]]:
    """Parse and verify what each host said; a host whose word is no good refuses the run, by name."""
    entries: dict[str, NodeRegistryEntry] = {}
    refused = []
    for name, obj in gathered.items():
        try:
            entry = NodeRegistryEntry.from_json(obj)
            if entry.attestation is not None:
                verify_attestation(entry, cluster=cluster, now=now, lasting=LASTING)
        except InputError as error:
            refused.append(str(error.located(file=name)))
        except BlixardError as error:
            refused.append(f"{name}: {error}")
        else:
            entries[name] = entry
    return entries, refused


def _altered(
    record: Mapping[str, NodeRegistryEntry], gathered: Mapping[str, NodeRegistryEntry], cluster: str, now: datetime
) -> list[str]:
    """Refuse what somebody changed in the record by hand: a node signs what stands there about it.

    When an attestation ends is left to the nodes, so that the peers file stays a function of the record alone. Of an
    entry that was gathered without one, the record says when: without either, the attestation was taken away. A number
    far ahead of now is no reason where the host was gathered: what it says now takes the place of that.
    """
    refused = []
    for name, entry in sorted(record.items()):
        if state_of(entry) != ABSENT and (entry.attestation is not None or RECORDED_AT not in entry.extra):
            try:
                attestation = verify_attestation(entry, cluster=cluster)
                if name not in gathered:
                    check_number(attestation.seq, now)
            except BlixardError as error:
                refused.append(
                    f"{name}{SUFFIX} in the record: {error}; restore that file, or remove it and gather the host anew"
                )
    return refused


def _peers_before(path: Path | None) -> list[Any]:
    return list(read_peers(path)) if path is not None and path.exists() else []
