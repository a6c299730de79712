# SPDX-License-Identifier: MIT
"""The folder `raft` in a node's data directory: who the voter is, its vote, its journal, its last snapshot."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import loads, pretty_bytes
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.limits import MAX_SAFE_INTEGER, MIB
from blixard.raft.codec import MAX_WORD, MEMBERSHIP, entry_from_json, entry_to_json, parse_membership
from blixard.raft.journal import Journal
from blixard.raft.registry_machine import RegistryMachine

if TYPE_CHECKING:
    from blixard.raft.append_guard import Entry

IDENTITY, VOTE, JOURNAL, SNAPSHOT = "identity.json", "vote.json", "journal", "snapshot.json"

MAX_IDENTITY_BYTES = 4096
MAX_SNAPSHOT_BYTES = 64 * MIB
"""Of the registry's 16 MiB, with room for what JSON adds, tombstones and clients."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who this voter is.

    Attributes:
        cluster: the cluster's name.
        node_id: the node.
        incarnation: a random word, made with the journal.
        voters: the voters that it started with; None before it has started.
        genesis: the id of its cluster; None until that is known.
    """

    cluster: str
    node_id: int
    incarnation: str
    voters: tuple[int, ...] | None = None
    genesis: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """The state up to an entry.

    Attributes:
        before, last: the last two entries that it has in it.
        members: the voters.
        state: what the registry then was, as JSON.
    """

    before: Entry
    last: Entry
    members: frozenset[int]
    state: dict[str, Any]


class Storage:
    """A voter's files. All that is kept here is synced before anybody else hears of it."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        """Read what `folder` has; make the folder with a new `identity` where there is none.

        Raises:
            InputError: a file is damaged, is another node's or another cluster's, or cannot be read or written.
        """
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be made: {error.strerror}", file=str(folder)) from None
        self.identity = self._identity(identity)
        self.term, self.vote = self._vote()
        self._voted = (self.term, self.vote)
        self.journal = Journal(folder / JOURNAL)
        self.snapshot = self._snapshot()
        if self.snapshot is not None:
            self._align(self.snapshot)

    @property
    def snapshot_path(self) -> Path:
        """Where the snapshot is."""
        return self.folder / SNAPSHOT

    def members(self, up_to: int | None = None) -> frozenset[int]:
        """Return the voters as the newest entry of the journal has them, committed or not, as Raft wants it.

        Args:
            up_to: the index of the last entry that counts; None for all.
        """
        start = self.snapshot.members if self.snapshot is not None else frozenset(self.identity.voters or ())
        entries = (self.journal[place] for place in range(len(self.journal)))
        return changed_members(start, (each for each in entries if up_to is None or each[1] <= up_to))

    def start_as(self, voters: Iterable[int], genesis: str | None) -> None:
        """Note that this voter starts, with whom, and in which cluster if that is known."""
        self._write_identity(dataclasses.replace(self.identity, voters=tuple(sorted(voters)), genesis=genesis))

    def learn_genesis(self, genesis: str) -> None:
        """Note the id of the cluster."""
        if self.identity.genesis != genesis:
            self._write_identity(dataclasses.replace(self.identity, genesis=genesis))

    def sync(self) -> None:
        """Return when vote and journal are on the disk.

        Raises:
            InputError: they cannot be written.
        """
        if self._voted != (self.term, self.vote):
            write_atomic(self.folder / VOTE, pretty_bytes({"term": self.term, "vote": self.vote}))
            self._voted = (self.term, self.vote)
        self.journal.sync()

    def _write_identity(self, identity: Identity) -> None:
        write_atomic(self.folder / IDENTITY, pretty_bytes(dataclasses.asdict(identity)))
        self.identity = identity

    def _identity(self, new: Identity) -> Identity:
        path = self.folder / IDENTITY
        if not os.path.lexists(path):
            if os.path.lexists(self.folder / JOURNAL):
                mend = "move the folder away; the node is then a new voter"
                raise InputError("is missing beside a journal", file=str(path), mend=mend)
            self._write_identity(new)
            return new
        found = _read_identity(path)
        for name in ("cluster", "node_id"):
            ours, theirs = getattr(new, name), getattr(found, name)
            if ours != theirs:
                mend = "move the folder away, or set the node back"
                raise InputError(f"is of {name} {theirs}, and this is {ours}", file=str(path), mend=mend)
        return found

    def _vote(self) -> tuple[int, int | None]:
        path = self.folder / VOTE
        if not os.path.lexists(path):
            return 0, None
        obj = _object(path, MAX_IDENTITY_BYTES, ("term", "vote"))
        try:
            term = fields.integer(obj["term"], "/term", least=0, most=MAX_SAFE_INTEGER)
            vote = None if obj["vote"] is None else fields.integer(obj["vote"], "/vote", least=0, most=2**64 - 1)
        except InputError as error:
            raise error.located(file=str(path)) from None
        return term, vote

    def _snapshot(self) -> Snapshot | None:
        path = self.snapshot_path
        if not os.path.lexists(path):
            return None
        return parse_snapshot(read_limited(path, MAX_SNAPSHOT_BYTES, own=True), str(path))

    def _align(self, snapshot: Snapshot) -> None:
        """Let the journal begin where the snapshot ends: a crash may have come between the two.

        The engine would throw the whole journal away otherwise, with what came after the snapshot.
        """
        journal = self.journal
        if len(journal):
            place = snapshot.before[1] - journal[0][1]
            if 0 <= place < len(journal) - 1 and journal[place][2] == snapshot.before[2]:
                if place:
                    journal.cut_to(place)
                return
        journal.cut_to(len(journal))
        journal.add(*snapshot.before)
        journal.add(*snapshot.last)


def changed_members(start: frozenset[int], entries: Iterable[Entry]) -> frozenset[int]:
    """Return the voters after the changes among `entries`."""
    members = set(start)
    for data, _, _ in entries:
        if data[0] == MEMBERSHIP:
            action, node = parse_membership(data)
            (members.add if action == "add" else members.discard)(node)
    return frozenset(members)


def format_snapshot(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot."""
    return pretty_bytes(
        {
            "before": entry_to_json(snapshot.before),
            "last": entry_to_json(snapshot.last),
            "members": sorted(snapshot.members),
            "state": snapshot.state,
        }
    )


def parse_snapshot(data: bytes, file: str) -> Snapshot:
    """Read a snapshot, from a file or from a leader.

    Raises:
        InputError: it is none.
    """
    obj = loads(data, file=file)
    try:
        known = fields.members(obj, names=("before", "last", "members", "state"))
        before, last = entry_from_json(known["before"], "/before"), entry_from_json(known["last"], "/last")
        if last[1] != before[1] + 1:
            raise InputError("does not follow the one before it", place="/last")
        voters, state = known["members"], known["state"]
        if not isinstance(voters, list) or not isinstance(state, dict):
            raise InputError("has no voters or no state")
        RegistryMachine.check(state)
        return Snapshot(before, last, frozenset(fields.node_id(each, "/members") for each in voters), state)
    except InputError as error:
        raise error.located(file=file) from None


def _object(path: Path, most: int, names: tuple[str, ...]) -> dict[str, Any]:
    obj = loads(read_limited(path, most, own=True), file=str(path))
    try:
        return dict(fields.members(obj, names=names))
    except InputError as error:
        raise error.located(file=str(path)) from None


def _read_identity(path: Path) -> Identity:
    obj = _object(path, MAX_IDENTITY_BYTES, tuple(each.name for each in dataclasses.fields(Identity)))
    try:
        voters = obj["voters"]
        if voters is not None and not isinstance(voters, list):
            raise InputError("is no list", place="/voters")
        return Identity(
            cluster=fields.cluster(obj["cluster"]),
            node_id=fields.node_id(obj["node_id"], "/node_id"),
            incarnation=fields.text(obj["incarnation"], "/incarnation", most=MAX_WORD),
            voters=None if voters is None else tuple(fields.node_id(each, "/voters") for each in voters),
            genesis=None if obj["genesis"] is None else fields.text(obj["genesis"], "/genesis", most=MAX_WORD),
        )
    except InputError as error:
        raise error.located(file=str(path)) from None
