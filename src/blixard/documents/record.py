# SPDX-License-Identifier: MIT
"""The fleet's record: a folder with one registry file per host, `NAME.json`, merged and never rebuilt.

A run knows only the hosts that it reached, so it updates those and keeps all others. A host leaves when that is
asked for, and leaves a tombstone, so that an old copy of its registry cannot bring it back. Attestations
are verified by whoever gathers; here the entries are taken as true of the hosts that gave them.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.entry_states import (
    ABSENT,
    ANNOUNCEMENTS,
    FIELDS,
    MAX_ANNOUNCEMENTS,
    PRESENT,
    RECORDED_AT,
    RETIRED_IDS,
    STATE,
    announcements_of,
    parse_state,
    retired_ids,
    state_of,
)
from blixard.documents.files import read_limited, write_all
from blixard.documents.registry_file import format_registry, parse_registry
from blixard.errors import InputError
from blixard.model.limits import MAX_RECORD_ENTRIES, MAX_REGISTRY_BYTES
from blixard.model.numbers import is_ahead
from blixard.model.times import format_time
from blixard.model.words import MAX_NAMES, named, quoted, too_many

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId

SUFFIX = ".json"
FILE_MODE = 0o644

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class MergeResult:
    """What a merge came to.

    Attributes:
        record: the record as it is to be; the old one when anything was refused.
        added: names that are new, or came back with a new id.
        changed: names whose entry or state differs.
        removed: names that became tombstones, or whose node has another name now.
        refused: a line for each thing that was refused; nothing is to be written when there is one.
    """

    record: Mapping[str, NodeRegistryEntry]
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def check_name(name: str) -> str:
    """Return `name` when it can be a file of the record: letters, digits, `.`, `_`, `-`, no dot first.

    Raises:
        InputError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{quoted(name)} cannot be the name of a host in the record",
            mend="letters, digits, '.', '_' and '-', a letter or digit first",
        )
    return name


def record_files(folder: str | os.PathLike[str], *, missing_ok: bool = False) -> dict[str, str]:
    """Return the path of every `NAME.json` in `folder`, by name and in its order; other files are left alone.

    Raises:
        InputError: the folder cannot be read, or has too many.
    """
    try:
        with os.scandir(folder) as found:
            names = sorted(item.name.removesuffix(SUFFIX) for item in found if _is_entry(item.name))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise InputError("does not exist", file=os.fspath(folder)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", file=os.fspath(folder)) from None
    if len(names) > MAX_RECORD_ENTRIES:
        raise InputError(too_many(MAX_RECORD_ENTRIES, len(names)), file=os.fspath(folder))
    base = str(Path(folder))
    return {name: f"{base}/{name}{SUFFIX}" for name in names}


def read_record(
    folder: str | os.PathLike[str], *, missing_ok: bool = False, read: Callable[[str, int], bytes] = read_limited
) -> dict[str, NodeRegistryEntry]:
    """Read the record: every `NAME.json` in `folder`, by name, tombstones too.

    Args:
        folder: the record's folder.
        missing_ok: take a folder that does not exist for an empty record, as on a fleet's first run.
        read: reads a file of at most so many bytes.

    Raises:
        InputError: the folder cannot be read, a name or an entry cannot be used, or a state is unknown.
    """
    files = record_files(folder, missing_ok=missing_ok)
    return {name: _entry(name, path, read(path, MAX_REGISTRY_BYTES)) for name, path in files.items()}


def write_record(
    folder: str | os.PathLike[str],
    before: Mapping[str, NodeRegistryEntry],
    after: Mapping[str, NodeRegistryEntry],
) -> list[str]:
    """Bring the files from `before` to `after`, touching only those that differ; return their names.

    Raises:
        InputError: a name cannot be used (then nothing was written), or a file cannot be written.
    """
    for name in after:
        check_name(name)
    touched = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    paths = {name: Path(folder) / f"{name}{SUFFIX}" for name in touched}
    for name, path in paths.items():
        _make_room(path, is_gone=name not in after)
    write_all({path: format_registry(after[name]) for name, path in paths.items() if name in after}, FILE_MODE)
    return touched


def only_known(entry: NodeRegistryEntry) -> tuple[NodeRegistryEntry, list[str]]:
    """Return an entry with no more extra fields than the record keeps, and the names of those that it had.

    A registry file may have fields of its own (they are kept there); the record is read by people and by programs as
    the fleet's word, so it has those of its schema (`record-entry`) alone.
    """
    unknown = sorted(field for field in entry.extra if field not in FIELDS)
    kept = {field: value for field, value in entry.extra.items() if field in FIELDS}
    return (dataclasses.replace(entry, extra=kept) if unknown else entry), unknown


def merge_record(
    record: Mapping[str, NodeRegistryEntry],
    gathered: Mapping[str, NodeRegistryEntry],
    *,
    now: datetime,
    max_removals: int,
    states: Mapping[str, str] | None = None,
    announced: Mapping[str, EndpointId] | None = None,
    announcements: Mapping[str, object] | None = None,
) -> MergeResult:
    """Merge what a run gathered into the record; pure.

    A host that was not gathered keeps its entry. What the record keeps for itself (`states.FIELDS`) is never
    taken from a host. A name that is to be absent while its Iroh id was gathered under a new name is a rename:
    the entry moves, without a tombstone. All refusals are collected, and with one the record stays as it was.

    Args:
        record: name to entry, as read_record gives it.
        gathered: name to entry, of the hosts that were reached.
        now: for `recorded_at` of entries without attestation, with a time zone.
        max_removals: how many hosts may become absent at once.
        states: name to `present`, `draining` or `absent`; a host that is not named keeps its state.
        announced: name to the new Iroh id that was announced for it; verified by the caller.
        announcements: name to the announcement that says so, to be kept with the new id; verified by the caller.

    Raises:
        InputError: a name or a state that cannot be used.
    """
    wanted = {check_name(name): parse_state(state) for name, state in (states or {}).items()}
    taken = {check_name(name): gathered[name] for name in sorted(gathered) if wanted.get(name) != ABSENT}
    renamed = _renames(record, taken, wanted)
    merged = {name: entry for name, entry in record.items() if name not in renamed.values()}
    refused = _returning(record, taken)
    for name, entry in taken.items():
        old = record.get(renamed.get(name, name))
        refused += _refusals(name, old, entry, (announced or {}).get(name), now)
        merged[name] = _update(old, entry, now, (announcements or {}).get(name))
    merged = {name: _with_state(entry, name, wanted, taken) for name, entry in merged.items()}
    refused += _clashes(merged)
    refused += _too_many_removals(_became_absent(record, merged), max_removals)
    if refused:
        return MergeResult(record=dict(record), refused=tuple(refused))
    return _result(record, merged)


def announced_option(name: str, new: EndpointId) -> str:
    """Return the option by which an operator says that the host `name` has the id `new` now."""
    return f"""-e '{{"blixard_announced": {{"{name}": "{new.hex}"}}}}'"""


def unannounced(name: str, old: EndpointId, new: EndpointId) -> str:
    """Return the line that refuses another key on a host than the recorded one, with the way to accept it."""
    return (
        f"{name}: its Iroh id changed from {old.short} to {new.short} and nobody announced that; if that is meant, run"
        f" site.yml with {announced_option(name, new)}"
    )


def _is_entry(file: str) -> bool:
    return file.endswith(SUFFIX) and not file.startswith(".")


def _entry(name: str, path: str, data: bytes) -> NodeRegistryEntry:
    entry = parse_registry(data, file=path)
    try:
        check_name(name)
        state_of(entry)
        retired_ids(entry)
        announcements_of(entry)
    except InputError as error:
        raise error.located(file=path) from None
    return entry


def _make_room(path: Path, *, is_gone: bool) -> None:
    """Make the folder of an entry's file, and remove the file where the entry `is_gone`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_gone:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=str(path)) from None


def _absent(entry: NodeRegistryEntry | None) -> bool:
    return entry is not None and state_of(entry) == ABSENT


def _renames(
    record: Mapping[str, NodeRegistryEntry], taken: Mapping[str, NodeRegistryEntry], wanted: Mapping[str, str]
) -> dict[str, str]:
    """New name to old name, of nodes whose old name is to be absent."""
    leaving = {
        entry.iroh_node_id: name for name, entry in record.items() if wanted.get(name) == ABSENT and not _absent(entry)
    }
    return {
        name: leaving[entry.iroh_node_id]
        for name, entry in taken.items()
        if name not in record and entry.iroh_node_id in leaving
    }


def _returning(record: Mapping[str, NodeRegistryEntry], taken: Mapping[str, NodeRegistryEntry]) -> list[str]:
    """Refuse ids that left for good: those of tombstones and those that a rotation replaced."""
    gone = {retired: name for name, entry in record.items() for retired in retired_ids(entry)}
    gone |= {entry.endpoint_id: name for name, entry in record.items() if _absent(entry)}
    return [
        f"{name}: Iroh id {entry.endpoint_id.short} was retired ({gone[entry.endpoint_id]}{SUFFIX} in the record)"
        " and does not come back; give the host a new key"
        for name, entry in taken.items()
        if entry.endpoint_id in gone
    ]


def _refusals(
    name: str, old: NodeRegistryEntry | None, new: NodeRegistryEntry, announced: EndpointId | None, now: datetime
) -> list[str]:
    """Refuse what one host may not change by itself."""
    if old is None or _absent(old):
        return []
    refusals = []
    if old.node_id != new.node_id:
        refusals.append(
            f"{name}: its node id changed from {old.node_id} to {new.node_id}; a node keeps its id,"
            " remove it and add it anew if it is another node"
        )
    if old.iroh_node_id == new.iroh_node_id:
        refusals += _rollback(name, old, new, now)
    elif new.endpoint_id != announced:
        refusals.append(unannounced(name, old.endpoint_id, new.endpoint_id))
    return refusals


def _rollback(name: str, old: NodeRegistryEntry, new: NodeRegistryEntry, now: datetime) -> list[str]:
    if old.attestation is None:
        return []
    if new.attestation is None:
        return [f"{name}: its entry was attested before and is not now; gather it from its agent or key"]
    before, after = old.attestation.seq, new.attestation.seq
    if is_ahead(before, now) and not is_ahead(after, now):
        return []  # no node takes the recorded one: this is how a host comes back from it
    if after < before:
        return [f"{name}: its entry is older than the recorded one (sequence number {after}, recorded {before})"]
    if after == before and new.content() != old.content():
        return [f"{name}: two different entries were attested under sequence number {after}"]
    return []


def _update(
    old: NodeRegistryEntry | None, new: NodeRegistryEntry, now: datetime, announcement: object = None
) -> NodeRegistryEntry:
    """Return the new entry with what the record keeps about it."""
    extra = {} if old is None else _kept(old, new, announcement)
    updated = dataclasses.replace(new, extra=extra)
    if new.attestation is not None:
        return updated
    if old is not None and RECORDED_AT in old.extra:
        same = dataclasses.replace(updated, extra={**extra, RECORDED_AT: old.extra[RECORDED_AT]})
        if same == old:
            return old
    return dataclasses.replace(updated, extra={**extra, RECORDED_AT: format_time(now.replace(microsecond=0))})


def _kept(old: NodeRegistryEntry, new: NodeRegistryEntry, announcement: object) -> dict[str, object]:
    kept: dict[str, object] = {}
    if STATE in old.extra and not _absent(old):
        kept[STATE] = old.extra[STATE]
    retired = [endpoint_id.base64 for endpoint_id in retired_ids(old)]
    if old.iroh_node_id != new.iroh_node_id:
        retired.append(old.iroh_node_id)
    if retired:
        kept[RETIRED_IDS] = retired
    announcements: list[object] = list(announcements_of(old))
    if old.iroh_node_id != new.iroh_node_id:
        # Those before a change that nobody announced lead to an id that is no longer this node's.
        announcements = [*announcements, announcement][-MAX_ANNOUNCEMENTS:] if announcement is not None else []
    if announcements:
        kept[ANNOUNCEMENTS] = announcements
    return kept


def _with_state(
    entry: NodeRegistryEntry,
    name: str,
    wanted: Mapping[str, str],
    taken: Mapping[str, NodeRegistryEntry],
) -> NodeRegistryEntry:
    if name not in wanted or (_absent(entry) and name not in taken):
        return entry  # a tombstone is not raised by a word, only by a host with a new id
    extra = {field: value for field, value in entry.extra.items() if field != STATE}
    if wanted[name] != PRESENT:
        extra[STATE] = wanted[name]
    return dataclasses.replace(entry, extra=extra)


def _clashes(merged: Mapping[str, NodeRegistryEntry]) -> list[str]:
    """Refuse one Iroh id or one node id under two names; tombstones count for neither."""
    by_id = defaultdict(list)
    by_node = defaultdict(list)
    for name, entry in sorted(merged.items()):
        if not _absent(entry):
            by_id[entry.endpoint_id].append(name)
            by_node[entry.node_id].append(name)
    clashes = [
        f"{' and '.join(names)} have the same Iroh id {endpoint_id.short}: a cloned machine needs a new key, a"
        " renamed host keeps it: set blixard_state: absent for its old name"
        for endpoint_id, names in by_id.items()
        if len(names) > 1
    ]
    return clashes + [
        f"{' and '.join(names)} have the same node id {node_id}; give one of them another"
        for node_id, names in by_node.items()
        if len(names) > 1
    ]


def _became_absent(record: Mapping[str, NodeRegistryEntry], merged: Mapping[str, NodeRegistryEntry]) -> list[str]:
    return sorted(name for name, entry in merged.items() if _absent(entry) and not _absent(record[name]))


def _too_many_removals(names: list[str], most: int) -> list[str]:
    if len(names) <= most:
        return []
    hosts = "1 host" if len(names) == 1 else f"{len(names)} hosts"
    return [
        f"{hosts} would be removed ({named(names, MAX_NAMES)}), at most {most} may be at once; raise"
        " max_removals if that is meant"
    ]


def _result(record: Mapping[str, NodeRegistryEntry], merged: Mapping[str, NodeRegistryEntry]) -> MergeResult:
    def living(entries: Mapping[str, NodeRegistryEntry]) -> set[str]:
        return {name for name, entry in entries.items() if not _absent(entry)}

    before, after = living(record), living(merged)
    return MergeResult(
        record=merged,
        added=tuple(sorted(after - before)),
        changed=tuple(sorted(name for name in before & after if record[name] != merged[name])),
        removed=tuple(sorted(before - after)),
    )
