# SPDX-License-Identifier: MIT
"""The engine: PySyncObj behind one call, `step`, that takes what came and returns what goes.

PySyncObj has its own thread, sockets, pickles and files. Here it has none of them: `step` runs it once with our
journal, our codec and messages that others carry, and hands nothing out before the journal is on the disk. The names
with `_SyncObj__` are its private ones: 0.3.17 is pinned for their sake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.files import write_atomic
from blixard.errors import BlixardError, InputError
from blixard.raft.append_guard import Message, guard_answer, guard_append, in_term
from blixard.raft.codec import BATCH, CHUNK, MEMBERSHIP, REGULAR, command_body, frame, parse_membership
from blixard.raft.storage import MAX_SNAPSHOT_BYTES, Snapshot, Storage, format_snapshot, parse_snapshot

if TYPE_CHECKING:
    from blixard.raft.append_guard import Entry
    from blixard.raft.registry_machine import RegistryMachine, Result

try:
    from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf
    from pysyncobj import syncobj as _syncobj
    from pysyncobj.node import Node
    from pysyncobj.transport import Transport
except ImportError:
    raise InputError("needs pysyncobj", file="raft", mend="pip install 'blixard[raft]', or set raft to false") from None

log = logging.getLogger("blixard.raft")

TICK = 0.05
"""Seconds between two steps where nothing happens."""

ELECTION = (1.0, 3.0)
"""Seconds, at least and at most, without a word of the leader after which a voter wants to lead. By default these are
0.4 and 1.4: voters on a machine that is short of processors then elect all the time, and nobody leads for long."""

LEADER_FALLBACK = 5.0
"""Seconds without answers of a majority after which a leader is none any more. By default it is 30."""

SNAPSHOT_ENTRIES = 5000
"""Entries in the journal before a snapshot is made; after five minutes one is made of fewer."""

AT_ONCE = 128
"""Entries applied in one step. The engine takes all, and a leader that verifies signatures for longer than an election
takes is one no more."""

NOBODY = 0
"""Node id of nobody: who has voted for it has no vote left in this term."""

BEHIND = "that voter is not connected, or has not everything that the leader has"
"""Why a voter cannot lead now; it may soon."""

_REASONS = {
    FAIL_REASON.QUEUE_FULL: "too many commands wait",
    FAIL_REASON.MISSING_LEADER: "there is no leader",
    FAIL_REASON.DISCARDED: "another leader wrote something else",
    FAIL_REASON.NOT_LEADER: "the leader has changed",
    FAIL_REASON.LEADER_CHANGED: "the leader has changed",
    FAIL_REASON.REQUEST_DENIED: "the leader denies it, another change of the voters is under way",
    FAIL_REASON.UNKNOWN_OUTCOME: "the leader's answer came too late",
}


@dataclass(frozen=True)
class Proposal:
    """A command for the log.

    Attributes:
        token: names it in the outputs.
        data: the command.
        read: makes the result of it out of the registry as it is at that place in the log.
    """

    token: int
    data: bytes
    read: Callable[[RegistryMachine], Any] | None = None


@dataclass(frozen=True)
class Inputs:
    """What came since the last step.

    Attributes:
        messages: node ids and what they sent.
        connected: the nodes that can be reached.
        incarnations: those that the connected nodes name.
        proposals: commands of this node.
        transfer_to: a voter that is to lead; NOBODY for any; None for no change.
    """

    messages: Sequence[tuple[int, Message]] = ()
    connected: Collection[int] = ()
    incarnations: Mapping[int, str] = field(default_factory=dict)
    proposals: Sequence[Proposal] = ()
    transfer_to: int | None = None


@dataclass(frozen=True)
class View:
    """Where the engine stands.

    Attributes:
        role: `leader`, `candidate` or `follower`.
        leader: the node that leads, as far as this one knows.
        matched: of a leader, the last index that each other voter has.
        genesis, admitted, is_open: as the registry has them.
        entries: how many the registry has.
    """

    role: str
    leader: int | None
    term: int
    last_index: int
    commit_index: int
    applied_index: int
    members: frozenset[int]
    matched: Mapping[int, int]
    journal_entries: int
    genesis: str | None
    admitted: Mapping[int, str]
    is_open: bool
    entries: int


@dataclass(frozen=True)
class Outputs:
    """What is to be sent and told after a step; all of it is on the disk.

    Attributes:
        frames: node ids and frames for them.
        results: token, result and None, or None and a reason, of proposals.
        view: where the engine stands.
        refused: messages that were dropped, by kind.
    """

    frames: list[tuple[int, bytes]]
    results: list[tuple[int, Any, str | None]]
    view: View
    refused: list[str]
    transfer: str | None = None


class _Wires(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Collects what the engine sends."""

    def __init__(self) -> None:
        super().__init__(None, None, ())
        self.sent: list[tuple[int, Message]] = []

    def send(self, node: Node, message: Message) -> bool:
        """Take a message; the transport has no news of its own, so it is always taken."""
        self.sent.append((node.id, message))
        return True

    def addNode(self, node: Node) -> None:
        """Do nothing: who is a voter is asked of the engine."""

    def dropNode(self, node: Node) -> None:
        """Do nothing, likewise."""

    def destroy(self) -> None:
        """Do nothing: there is nothing open."""


class _EngineJournal:
    """A `Journal` and a vote under the names that the engine has for them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._journal = storage.journal

    def __len__(self) -> int:
        return len(self._journal)

    def __getitem__(self, position: Any) -> Any:
        return self._journal[position]

    def add(self, data: bytes, index: int, term: int) -> None:
        self._journal.add(data, index, term)

    def clear(self) -> None:
        self._journal.cut_to(len(self._journal))

    def deleteEntriesFrom(self, position: int) -> None:
        self._journal.cut_from(position)

    def deleteEntriesTo(self, position: int) -> None:
        self._journal.cut_to(position)

    def setRaftCommitIndex(self, index: int) -> None:
        """Forget it: the next leader tells it again, and a wrong one would do harm."""

    def getRaftCommitIndex(self) -> int:
        return 1

    def setCurrentTerm(self, term: int, vote: int | None) -> None:
        self._storage.term, self._storage.vote = term, vote

    def getCurrentTerm(self) -> int:
        return self._storage.term

    def getVotedForNodeId(self) -> int | None:
        return self._storage.vote

    def onOneSecondTimer(self) -> None:
        """Do nothing."""

    def _destroy(self) -> None:
        """Do nothing: no file is open."""


# What the engine is given as its journal's file is the journal.
_syncobj.createJournal = lambda journal: journal


class _Core(SyncObj):  # type: ignore[misc]
    """The engine with our commands, our snapshots and our rules of what it may be told."""

    def __init__(self, storage: Storage, machine: RegistryMachine, wires: _Wires, conf: SyncObjConf) -> None:
        own = storage.identity.node_id
        others = [Node(each) for each in sorted(storage.members()) if each != own]
        self.machine = machine
        self.storage = storage
        super().__init__(Node(own), others, conf, nodeClass=Node, transport=wires)

    def _SyncObj__doApplyCommand(self, data: bytes) -> Result | None:
        if data[0] == MEMBERSHIP:
            self.machine.change_members(*parse_membership(data))  # the engine took it over when it came into the log
        elif data[0] == REGULAR:
            try:
                return self.machine.apply(command_body(data))
            except InputError as error:  # a voter passed on what is no JSON
                return {"refused": str(error)}
        return None

    def _SyncObj__getEntries(
        self, start: int | None, count: int | None = None, most: int | None = None
    ) -> Sequence[Entry]:
        entries: Sequence[Entry] = super()._SyncObj__getEntries(
            start, None if count is None else min(count, AT_ONCE), most
        )
        return entries

    def _SyncObj__changeCluster(self, request: tuple[str, int]) -> bool:
        """Take a change of the voters into the log. The engine would take a second before the first is committed."""
        journal, first = self.storage.journal, self.storage.journal[0][1]
        if self.raftLastApplied < self._SyncObj__noopIDx:
            return False
        if any(entry[0][0] == MEMBERSHIP for entry in journal[max(0, self.raftCommitIndex + 1 - first) :]):
            return False
        return bool(self._SyncObj__doChangeCluster(request))

    def _SyncObj__parseChangeClusterRequest(self, data: bytes) -> tuple[str, int] | None:
        return parse_membership(data) if data[0] == MEMBERSHIP else None

    def load(self) -> None:
        """Take over the snapshot that is on the disk, in the place of everything."""
        self._SyncObj__loadDumpFile(clearJournal=True)


class Engine:
    """One voter. All methods are called by one thread at a time."""

    def __init__(self, storage: Storage, machine: RegistryMachine, *, snapshot_entries: int = SNAPSHOT_ENTRIES) -> None:
        """Take up where `storage` stands; `machine` is empty, and is from now on this engine's."""
        self._storage = storage
        self._machine = machine
        self._wires = _Wires()
        self._incarnations: Mapping[int, str] = {}
        self._connected: set[int] = set()
        self._incoming: dict[int, bytearray] = {}
        self._results: list[tuple[int, Any, str | None]] = []
        self._refused: list[str] = []
        conf = SyncObjConf(
            autoTick=False,
            journalFile=_EngineJournal(storage),
            fullDumpFile=str(storage.snapshot_path),
            serializer=self._write_snapshot,
            deserializer=self._read_snapshot,
            useFork=False,
            dynamicMembershipChange=True,
            appendEntriesBatchSizeBytes=BATCH,
            logCompactionBatchSize=CHUNK,
            logCompactionMinEntries=snapshot_entries,
            raftMinTimeout=ELECTION[0],
            raftMaxTimeout=ELECTION[1],
            leaderFallbackTimeout=LEADER_FALLBACK,
        )
        self._core = _Core(storage, machine, self._wires, conf)
        self._core.doTick()
        self._wires.sent.clear()
        storage.sync()

    def step(self, inputs: Inputs) -> Outputs:
        """Run once.

        Raises:
            InputError: the disk cannot be written. The engine is then of no use any more, and nothing of this step
                may be told; a new one takes up what is on the disk.
        """
        self._connect(inputs)
        for node, message in inputs.messages:
            self._deliver(node, message)
        for proposal in inputs.proposals:
            self._propose(proposal)
        transfer = None if inputs.transfer_to is None else self._transfer(inputs.transfer_to)
        self._core.doTick()
        if self._machine.genesis is not None:
            self._storage.learn_genesis(self._machine.genesis)
        self._storage.sync()
        genesis, term = self._genesis(), self._core._getTerm()
        frames = [
            (node, frame(in_term(message, term) if message["type"] == "next_node_idx" else message, genesis))
            for node, message in self._wires.sent
        ]
        self._wires.sent.clear()
        results, self._results = self._results, []
        refused, self._refused = self._refused, []
        return Outputs(frames, results, self.view(), refused, transfer)

    def view(self) -> View:
        """Return where it stands."""
        core, journal = self._core, self._storage.journal
        leader = core._getLeader()
        others = core.otherNodes
        is_leader = core._isLeader()
        matched = core._SyncObj__raftMatchIndex
        return View(
            role=("follower", "candidate", "leader")[core._SyncObj__raftState],
            leader=None if leader is None else leader.id,
            term=core._getTerm(),
            last_index=journal[-1][1],
            commit_index=core.raftCommitIndex,
            applied_index=core.raftLastApplied,
            members=frozenset(node.id for node in others) | {self._storage.identity.node_id},
            matched={node.id: matched.get(node, 0) for node in others} if is_leader else {},
            journal_entries=len(journal),
            genesis=self._genesis(),
            admitted=self._machine.admitted,
            is_open=self._machine.is_open,
            entries=len(self._machine),
        )

    def close(self) -> None:
        """End it; what it has written stays."""
        self._core.destroy()

    def snapshot(self) -> None:
        """Make a snapshot with the next steps."""
        self._core.forceLogCompaction()

    def _genesis(self) -> str | None:
        return self._machine.genesis or self._storage.identity.genesis

    def _connect(self, inputs: Inputs) -> None:
        self._incarnations = inputs.incarnations
        connected = set(inputs.connected)
        for node in sorted(connected - self._connected):
            self._wires._onNodeConnected(Node(node))
        for node in sorted(self._connected - connected):
            self._wires._onNodeDisconnected(Node(node))
            self._incoming.pop(node, None)
        self._connected = connected

    def _propose(self, proposal: Proposal) -> None:
        def told(result: Any, reason: int) -> None:
            if reason != FAIL_REASON.SUCCESS:
                self._results.append((proposal.token, None, _REASONS.get(reason, f"the engine says {reason}")))
            else:
                value = result if proposal.read is None else proposal.read(self._machine)
                self._results.append((proposal.token, value, None))

        self._core._applyCommand(proposal.data, told)

    def _transfer(self, to: int) -> str | None:
        told: list[int] = []
        self._core.transferLeadership(None if to == NOBODY else Node(to), lambda _, reason: told.append(reason))
        if told == [FAIL_REASON.SUCCESS]:
            return None
        if told == [FAIL_REASON.NOT_LEADER]:
            return "this node does not lead"
        return BEHIND

    def _deliver(self, node: int, message: Message) -> None:
        kind = message["type"]
        is_member = Node(node) in self._core.otherNodes
        # A voter that was removed is not told so, and must not force elections; whoever leads may be a voter that
        # this node, which was away, does not know yet.
        if not is_member and kind != "append_entries":
            self._refused.append("not a voter")
            return
        admitted = self._machine.voters.get(node)
        if admitted is not None and admitted != self._incarnations.get(node):
            self._refused.append("another incarnation")
            return
        if kind == "append_entries":
            self._append(node, message)
        elif kind == "next_node_idx":
            self._answered(node, message)
        else:
            self._tell(node, message)

    def _tell(self, node: int, message: Message) -> None:
        self._wires._onMessageReceived(Node(node), message)

    def _append(self, node: int, message: Message) -> None:
        term = self._core._getTerm()
        if message["term"] < term or (message["term"] == term and self._core._isLeader()):
            self._refused.append("of a former term")
            return
        if message.get("serialized") is not None:
            self._take_piece(node, message)
            return
        committed = max(self._core.raftCommitIndex, self._core.raftLastApplied)
        guarded = guard_append(message, self._storage.journal, committed)
        if guarded.message is not None:
            self._tell(node, guarded.message)
        if guarded.answer is not None:
            self._wires.send(Node(node), guarded.answer)

    def _answered(self, node: int, message: Message) -> None:
        machine = self._machine
        known = self._admission(node) if machine.is_open else self._incarnations.get(node)
        if known is None or known != self._incarnations.get(node):
            self._refused.append("not admitted")
            return
        last = self._storage.journal[-1][1]
        guarded = guard_answer(message, term=self._core._getTerm(), last=last)
        if guarded is not None:
            self._tell(node, guarded)

    def _admission(self, node: int) -> str | None:
        """Return the incarnation whose answers count: the admitted one, or else the first that the log is to admit.

        An admission counts from the moment it is in the leader's log, as a change of the voters does: where the others
        that are admitted are lost, it could never be committed without the answers of the one whom it admits. A blank
        journal in that place does not vote before it is committed, so nothing that was acknowledged is lost by it.
        """
        known = self._machine.voters.get(node)
        if known is not None:
            return known
        journal = self._storage.journal
        for place in range(max(0, self._core.raftLastApplied + 1 - journal[0][1]), len(journal)):
            data = journal[place][0]
            if data[0] == REGULAR and b'"admit"' in data:
                body = command_body(data)
                if isinstance(body, dict) and (body.get("op"), body.get("voter")) == ("admit", node):
                    return str(body.get("incarnation"))
        return None

    def _take_piece(self, node: int, message: Message) -> None:
        """Put a snapshot together. It replaces what is here only when it is whole and good."""
        data, is_first, is_last = message["serialized"]
        self._tell(node, {**message, "serialized": None, "commit_index": 0})  # who leads
        pieces = self._incoming.setdefault(node, bytearray())
        if is_first:
            pieces.clear()
        pieces += data
        answer = {"type": "next_node_idx", "next_node_idx": 2, "reset": False, "success": False}
        if len(pieces) > MAX_SNAPSHOT_BYTES:
            pieces.clear()
            self._refused.append("snapshot too large")
        elif is_last:
            answer = self._install(bytes(self._incoming.pop(node)), f"node {node}")
        self._wires.send(Node(node), answer)

    def _install(self, data: bytes, sender: str) -> Message:
        journal = self._storage.journal
        keep = {"type": "next_node_idx", "next_node_idx": journal[-1][1] + 1, "reset": True, "success": False}
        try:
            snapshot = parse_snapshot(data, sender)
            good = {**keep, "next_node_idx": snapshot.last[1] + 1, "reset": False, "success": True}
            place = snapshot.last[1] - journal[0][1]
            if place < 0 or (place < len(journal) and journal[place][2] == snapshot.last[2]):
                return good  # all of it is here, and what follows stays
            if snapshot.state["cluster"] != self._storage.identity.cluster:
                raise InputError("is of another cluster", file=sender)
        except BlixardError as error:
            log.warning("snapshot refused", extra={"error": str(error)})
            self._refused.append("snapshot")
            return keep
        write_atomic(self._storage.snapshot_path, data)
        self._storage.snapshot = snapshot
        self._storage.journal.cut_to(len(self._storage.journal))
        self._storage.journal.add(*snapshot.before)
        self._storage.journal.add(*snapshot.last)
        self._core.load()
        return good

    def _read_snapshot(self, _: str) -> tuple[Entry, Entry, list[int]]:
        """Give the engine what it needs of the snapshot; the registry is restored beside it."""
        snapshot = self._storage.snapshot
        assert snapshot is not None  # noqa: S101  (the engine asks only where there is one)
        self._machine.restore(snapshot.state)
        return snapshot.last, snapshot.before, sorted(self._storage.members())

    def _write_snapshot(self, path: str, data: tuple[Entry, Entry, set[Node]]) -> None:
        last, before, _ = data  # the engine's voters may have a change in them that is not committed
        snapshot = Snapshot(before, last, self._storage.members(up_to=last[1]), self._machine.to_json())
        content = format_snapshot(snapshot)
        if len(content) > MAX_SNAPSHOT_BYTES:
            raise InputError("is too large", file=path)
        write_atomic(Path(path), content)
        self._storage.snapshot = snapshot
