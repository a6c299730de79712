# SPDX-License-Identifier: MIT
"""One run's answers merged into the fleet's record on the controller, and the peers that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.entry_states import ABSENT, RECORDED_AT, state_of
from blixard.documents.json_bytes import loads, sha256_hex
from blixard.documents.peers_file import PeersDiff, build_peers, diff_peers, format_peers, parse_peers
from blixard.documents.record import SUFFIX, MergeResult, merge_record, only_known, read_record, write_record
from blixard.documents.registry_file import read_registry
from blixard.errors import BlixardError, InputError, one_line
from blixard.fleet.accepted import Reading, keep, recall
from blixard.fleet.inventory_check import of_another_cluster
from blixard.fleet.observe import differs, observe
from blixard.fleet.signature import parse_signers
from blixard.fleet.staying import removed_unseen
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_PEERS_BYTES
from blixard.model.numbers import is_ahead
from blixard.model.words import MAX_NAMES, named
from blixard.trust.attestation import verify_attestation
from blixard.trust.key_announcement import verify_announcement
from blixard.trust.signed_off import RESTORE, Expected, altered, hold, read_signed_off, too_many_removed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from blixard.trust.signed_off import SignedOff

_Built = tuple[list[DiscoveredPeer], bytes]
"""The peers that follow from a record, and the peers file."""

PEERS_MODE = "0644"
"""Mode of the peers file on the controller."""

LASTING = timedelta(hours=1)
"""For how long an attestation must still hold when it is recorded: one that ends at once makes every check fail."""


@dataclass(frozen=True)
class Update:
    """What a run came to. With `refused` nothing was written; members `without_host` are not in the inventory.

    `dropped` has a line for each entry with fields that the record does not keep, of hosts and of the record itself.
    `sha256` is the digest of the peers file that follows. Where `is_there`, the caller was to be brief and that file is
    there already: `peers` is left out then, and, of a record that was accepted before, all but `without_host` too.
    """

    merged: MergeResult
    peers: list[dict[str, Any]]
    diff: PeersDiff
    refused: tuple[str, ...]
    without_host: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    rewritten: bool = False
    sha256: str | None = None
    is_there: bool = False

    @property
    def touched(self) -> bool:
        """Whether any file of the record differs, or would."""
        return bool(self.rewritten or self.merged.added or self.merged.changed or self.merged.removed)


def update_record(
    folder: Path,
    gathered: Mapping[str, Any],
    *,
    cluster: str,
    now: datetime,
    max_removals: int,
    states: Mapping[str, str] | None,
    announced: Mapping[str, str],
    peers_file: Path | None,
    upstream_compat: bool,
    check: bool,
    announcements: Mapping[str, Any] | None = None,
    hosts: Collection[str] | None = None,
    prune: bool = False,
    guard_inventory: bool = True,
    signers: Sequence[str] = (),
    nodes: Mapping[str, Mapping[str, Any]] | None = None,
    brief: bool = False,
) -> Update:
    """Merge `gathered` (name to the JSON of a registry entry) into the record at `folder`.

    Args:
        folder: the record; made when it is missing.
        gathered: what the hosts of this run said of themselves.
        cluster: the cluster that their entries must be signed for.
        now: time of the run, with a time zone.
        max_removals: how many members may leave at once, those included that somebody took out of the record by hand.
        states: name to `present`, `draining` or `absent`; None for those that `nodes` says.
        announced: name to the new Iroh id that was announced for it, in any form of an id.
        peers_file: the fleet's peers file as it is now, to say what the new record means for it.
        upstream_compat: write times in the form that upstream's reader takes.
        check: write nothing.
        announcements: name to announcement (`blixard.trust.key_announcement`), which is verified here.
        hosts: every name in the inventory, to tell which members have no host; None when nobody knows.
        prune: take members without a host for absent.
        guard_inventory: where `max_removals` says that some are to leave, refuse an inventory that lost more members
            than that, whether they would be removed now or not.
        signers: ids of the fleet keys that may sign off the record and the peers file, in any form.
        nodes: what the inventory says of each host's node: `node_id`, as which alone the host may come, its `state`,
            and `managed`; one that is not need not sign its entry. None when nobody says so.
        brief: the caller needs no entries. A record that was accepted before, to the byte, is not checked again then.

    Raises:
        InputError: record, peers file or an argument cannot be used.
        TrustError: what was signed off was altered.
    """
    told = {
        "cluster": cluster,
        "max_removals": max_removals,
        "states": states,
        "announced": announced,
        "announcements": announcements,
        "hosts": hosts,
        "prune": prune,
        "guard_inventory": guard_inventory,
        "signers": signers,
        "nodes": nodes,
        "upstream_compat": upstream_compat,
    }
    if brief and not gathered and peers_file is not None:
        kept = recall(folder, peers_file, told, now)
        if kept is not None and _is_there(peers_file, kept["sha256"]):
            left = tuple(kept["without_host"])
            return Update(MergeResult({}), [], PeersDiff(), (), left, sha256=kept["sha256"], is_there=True)
    reading = Reading()
    found = read_record(folder, missing_ok=True, read=reading.read)
    before, lost = _only_known(found, f"{SUFFIX} in the record")
    present = reading.read(peers_file, MAX_PEERS_BYTES) if peers_file is not None and peers_file.exists() else None
    built = _built(before, upstream_compat=upstream_compat)
    at_hand = _peers_in(present, str(peers_file), built)
    signed_off = read_signed_off(
        folder, peers_file, at_hand, signers=parse_signers(signers), cluster=cluster, read=reading.read
    )
    if others := list(of_another_cluster(before, cluster)):
        return Update(MergeResult(before), [], PeersDiff(), tuple(others))
    entries, refused = _accept(gathered, cluster, now)
    entries, dropped = _only_known(entries)
    refused += _as_another({**before, **entries}, nodes or {})
    ids, unannounced = announced_ids(before, announcements or {}, cluster=cluster)
    refused += [*altered(before, cluster=cluster, now=now, gathered=entries), *_taken_away(before), *unannounced]
    ids |= {name: EndpointId.parse(text) for name, text in announced.items()}
    without_host = [] if hosts is None else _without_host(before, hosts)
    wanted = {**_states(states, nodes), **dict.fromkeys(without_host if prune else (), ABSENT)}
    merged = merge_record(
        before,
        entries,
        now=now,
        max_removals=max_removals,
        states=wanted,
        announced=ids,
        announcements=announcements,
    )
    refused += merged.refused
    renewed = [name for name in entries if name not in before]
    expected = Expected(ids, hosts, entries, renewed, _unattested(nodes))
    refused += _held(before, merged, signed_off, expected, cluster, max_removals, now)
    if nodes is not None:
        gone = {name for name, state in wanted.items() if state == ABSENT}
        refused += removed_unseen(before, merged, entries.keys(), nodes, gone)
    if guard_inventory and not prune and 0 < max_removals < len(without_host):
        refused.append(
            f"{len(without_host)} members are not in the inventory ({named(without_host, MAX_NAMES)}), and at most"
            f" {max_removals} may leave at once; put them back, or raise max_removals if that is meant"
        )
    if refused:
        return Update(MergeResult(before), [], PeersDiff(), tuple(dict.fromkeys(refused)), tuple(without_host))
    if built is None or merged.record != before:
        peers = build_peers(merged.record.values())
        built = peers, format_peers(peers, upstream_compat=upstream_compat)
    peers, text = built
    names = {entry.node_id: name for name, entry in (before | dict(merged.record)).items()}
    diff = diff_peers(at_hand or [], peers, names)
    digest = sha256_hex(text)
    if not check:
        write_record(folder, found, merged.record)
    left = () if prune else tuple(without_host)
    is_there = brief and _is_there(peers_file, digest)
    update = Update(
        merged,
        [] if is_there else _document(text),
        diff,
        (),
        left,
        dropped=(*lost, *dropped),
        rewritten=bool(lost),
        sha256=digest,
        is_there=is_there,
    )
    if brief and not gathered and present == text and not update.touched and not _has_ahead(signed_off, now):
        keep(folder, reading, told, now, {"without_host": left, "sha256": digest})
    return update


def keep_record(options: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Return what blixard_registry returns for its options, all of which are there; see `update_record`."""
    given = dict(options)
    folder, gathered = Path(given.pop("path")), given.pop("entries")
    peers_file = Path(given.pop("peers_file")) if given["peers_file"] else given.pop("peers_file")
    now = datetime.now(timezone.utc)
    update = update_record(folder, gathered, peers_file=peers_file, now=now, check=check, **given)
    if update.refused:
        said = "\n".join(["refused, nothing was written:", *update.refused])
        return {"failed": True, "msg": said, "refused": list(update.refused)}
    lines = [str(update.diff), *update.diff.lines()]
    whole: dict[str, Any] = {} if update.is_there else {"peers": update.peers}
    if not options["brief"]:
        whole["record"] = {name: entry.to_json() for name, entry in update.merged.record.items()}
    return {
        **whole,
        "changed": update.touched,
        "sha256": update.sha256,
        "added": update.merged.added,
        "updated": update.merged.changed,
        "removed": update.merged.removed,
        "without_host": list(update.without_host),
        "dropped": list(update.dropped),
        "peers_changed": lines[0],
        "peers_changes": lines[1:],
        "diff": {"prepared": "\n".join(lines) + "\n"} if update.diff else {},
        **({"warnings": list(update.dropped)} if update.dropped else {}),
    }


def _is_there(peers_file: Path | None, sha256: str) -> bool:
    """Tell whether the peers file is what it is to be, as those who write it see it."""
    return peers_file is not None and not differs(observe(peers_file), sha256=sha256, mode=PEERS_MODE)


def _built(record: Mapping[str, NodeRegistryEntry], *, upstream_compat: bool) -> _Built | None:
    """Return what follows from the record as it stands; None where nothing can: why is said with all that is wrong."""
    try:
        peers = build_peers(record.values())
        return peers, format_peers(peers, upstream_compat=upstream_compat)
    except InputError:
        return None


def _peers_in(present: bytes | None, file: str, built: _Built | None) -> list[DiscoveredPeer] | None:
    """Return the peers in the file at hand. As a rule they are those of the record, and need not be parsed."""
    if present is None:
        return None
    return built[0] if built is not None and built[1] == present else parse_peers(present, file=file)


def _document(text: bytes) -> list[dict[str, Any]]:
    document = loads(text)
    assert isinstance(document, list)  # noqa: S101  (for the type checker: we have just written it)
    return document


def _has_ahead(signed_off: SignedOff | None, now: datetime) -> bool:
    """Tell whether a number that was signed off holds nothing now, and will once the clock has come to it."""
    members = signed_off.members.values() if signed_off else ()
    return any(is_ahead(member.seq or 0, now) for member in members)


def recorded_seq(path: str) -> int:
    """Return the sequence number of the entry in the record's file `path`; 0 where there is none that could count."""
    try:
        attestation = read_registry(path).attestation
    except BlixardError:
        return 0  # what is wrong with it is said where the record is read as a whole
    return attestation.seq if attestation else 0


def says_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two registry entries, as JSON, say the same of their node, whatever else stands in them.

    Raises:
        InputError: one is no registry entry.
    """
    first, second = (replace(NodeRegistryEntry.from_json(dict(each)), extra={}) for each in (one, other))
    return first == second


def _only_known(
    entries: Mapping[str, NodeRegistryEntry], where: str = ""
) -> tuple[dict[str, NodeRegistryEntry], list[str]]:
    """Return the entries with the fields that the record keeps, and a line for each that had others."""
    known, lines = {}, []
    for name, entry in entries.items():
        known[name], unknown = only_known(entry)
        if unknown:
            lines.append(f"{name}{where}: dropped what the record does not keep: {one_line(', '.join(unknown))}")
    return known, lines


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


def _as_another(entries: Mapping[str, NodeRegistryEntry], nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Refuse the entry of another node than the inventory has under that name, whether it was gathered or put there."""
    living = (name for name, entry in entries.items() if state_of(entry) != ABSENT)
    known = {name: nodes[name]["node_id"] for name in living if "node_id" in nodes.get(name, {})}
    return [
        f"{name}: says that it is node {entries[name].node_id}, and the inventory has it as node {number}"
        for name, number in sorted(known.items())
        if str(number) != str(entries[name].node_id)
    ]


def _states(states: Mapping[str, str] | None, nodes: Mapping[str, Mapping[str, Any]] | None) -> Mapping[str, str]:
    if states is not None:
        return states
    return {name: node["state"] for name, node in (nodes or {}).items() if "state" in node}


def _unattested(nodes: Mapping[str, Mapping[str, Any]] | None) -> list[str] | None:
    return None if nodes is None else [name for name, node in nodes.items() if not node.get("managed", True)]


def _taken_away(record: Mapping[str, NodeRegistryEntry]) -> list[str]:
    """Refuse an entry without attestation that no run recorded: of those that are gathered so, the record says when."""
    return [
        f"{name}{SUFFIX} in the record: node {entry.node_id} has no attestation; {RESTORE}"
        for name, entry in sorted(record.items())
        if state_of(entry) != ABSENT and entry.attestation is None and RECORDED_AT not in entry.extra
    ]


def _held(
    before: Mapping[str, NodeRegistryEntry],
    merged: MergeResult,
    signed_off: SignedOff | None,
    expected: Expected,
    cluster: str,
    max_removals: int,
    now: datetime,
) -> list[str]:
    """Hold the record as it was and as it would be against what was signed off.

    As it was too, since a host that is gathered now must not hide what somebody wrote in its place; but its number may
    be an older one, and its file be gone: that is what gathering it anew mends.
    """
    refused: list[str] = []
    if merged.refused or merged.record != before:
        refused += hold(before, signed_off, expected, cluster=cluster, now=now, numbers=False).refused
    if not merged.refused:
        after = hold(merged.record, signed_off, expected, cluster=cluster, now=now)
        refused += after.refused
        if signed_off is not None:
            refused += too_many_removed(after.removed, max_removals, signed_off.where)
    return refused


def announced_ids(
    record: Mapping[str, NodeRegistryEntry], announcements: Mapping[str, Any], *, cluster: str
) -> tuple[dict[str, EndpointId], list[str]]:
    """Return the new id of each host whose announcement holds, and a line for each one that does not.

    Args:
        record: the record before the change; it says which key a host may speak with.
        announcements: host name to announcement, as JSON.
        cluster: the cluster they must be for.
    """
    ids: dict[str, EndpointId] = {}
    refused = []
    for name, obj in announcements.items():
        try:
            said = verify_announcement(obj, cluster=cluster)
        except InputError as error:
            refused.append(str(error.located(file=f"announcement of {name}")))
            continue
        except BlixardError as error:
            refused.append(f"{name}: {error}")
            continue
        entry = record.get(name)
        if entry is None or said.node_id != entry.node_id or entry.endpoint_id not in (said.old, said.new):
            refused.append(
                f"{name}: announces node {said.node_id} with the key {said.old.short}, which is not what the record"
                " has for it"
            )
        else:
            ids[name] = said.new
    return ids, refused
