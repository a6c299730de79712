# SPDX-License-Identifier: MIT
"""A voter as a node runs it: forms or joins, then steps the engine with what came and hands out what goes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from blixard.clock import TimeLimit, limited
from blixard.errors import BlixardError, InputError
from blixard.raft.codec import COMMAND, REGULAR, Frame, command, hello
from blixard.raft.engine import BEHIND, NOBODY, TICK, Engine, Inputs, Outputs, Proposal, View
from blixard.raft.formation import Form, Join, Standing, StayOut, decide
from blixard.raft.links import Links
from blixard.raft.registry_machine import RegistryMachine
from blixard.raft.storage import Identity, Storage
from blixard.tasks import spawn

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import Connection, Stream
    from blixard.raft.append_guard import Message

log = logging.getLogger("blixard.raft")

FORM_INTERVAL = 0.5
"""Seconds between two looks at who is there, before the start."""

REOPEN_INTERVAL = 10.0
"""Seconds until a voter whose disk failed tries again."""

MAX_INBOX = 4096
"""Messages that wait for the engine; while there are so many, no stream is read."""

MAX_WAITING = 1024
"""Commands of this node at once."""

HAND_OVER = 3.0
"""Seconds for which a leader takes no commands while another voter is to lead; they wait."""

_ATTEMPT = 5.0
"""Seconds for one attempt at a command; a lost answer is not waited for any longer. A repetition is done once."""

_ERRAND_INTERVAL = 1.0
"""Seconds until a leader proposes again what nobody asked it for."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class VoterSettings:
    """What a voter is told.

    Attributes:
        node_id: the node.
        cluster: the cluster's name.
        expected: the voters that the record names, the same on all of them.
        folder: where this voter keeps its files.
    """

    node_id: int
    cluster: str
    expected: frozenset[int]
    folder: Path


class Mesh(Protocol):
    """What a voter needs of discovery: connections to nodes that the operator's sources name."""

    def connection(self, node_id: int) -> Connection | None:
        """Return the live connection to a member; None when there is none, or the node is no member."""
        ...

    def want(self, node_ids: Collection[int]) -> None:
        """Keep connections to these nodes, whatever the overlay would."""
        ...


class Unknown(BlixardError):
    """It is not known whether a command was committed."""


@dataclass(frozen=True)
class _Transfer:
    """A change of leader, asked of this one: `told` is what came of it, `until` when it is over, in any case.

    While it lasts no command comes into the log, from nobody: otherwise the next leader would never have all of it.
    """

    to: int
    told: asyncio.Future[str | None]
    until: float


class RaftService:
    """One voter. `run` is its whole life; all methods are called on one event loop.

    Attributes:
        state: `forming`, `out` (see `reason`), `running`, `failed` (its disk; it tries again), `stopped`.
        reason: why it does not run; None when it does.
        view: where the engine stands; None before it runs.
    """

    def __init__(self, settings: VoterSettings, mesh: Mesh, *, clock: Clock, rng: Random) -> None:
        self.state = "forming"
        self.reason: str | None = "looking for the other voters"
        self.view: View | None = None
        self.refused: Counter[str] = Counter()
        self.settings = settings
        self._mesh, self._clock, self._rng = mesh, clock, rng
        self._storage: Storage | None = None
        self._pool = ThreadPoolExecutor(1, "blixard-raft")
        self._wake = asyncio.Event()
        self._inbox: list[tuple[int, Message]] = []
        self._room = asyncio.Event()
        self._proposals: list[Proposal] = []
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tokens = itertools.count(1)
        self._transfer: _Transfer | None = None
        self._errand_at = 0.0
        self._changed = asyncio.Event()
        self.links = Links(
            settings.node_id,
            cluster=settings.cluster,
            connection=mesh.connection,
            hello=lambda: hello(self.standing(), settings.cluster),
            genesis=lambda: self.standing().genesis,
            received=self._received,
            clock=clock,
        )

    def word(self) -> str:
        """Return a random word of 128 bits."""
        return f"{self._rng.getrandbits(128):032x}"

    def members(self) -> frozenset[int]:
        """Return the voters as this node knows them: those of the cluster, or those expected before there is one."""
        return self.view.members if self.view is not None else self.settings.expected

    def standing(self) -> Standing:
        """Return what this node says of itself."""
        identity = self._storage.identity if self._storage is not None else None
        view = self.view
        started = identity is not None and identity.voters is not None
        return Standing(
            node_id=self.settings.node_id,
            expected=self.settings.expected,
            incarnation=identity.incarnation if identity is not None else "unknown",
            members=None
            if not started or identity is None
            else frozenset(view.members if view else identity.voters or ()),
            genesis=identity.genesis if identity is not None else None,
            admitted=dict(view.admitted) if view is not None else {},
            term=view.term if view is not None else 0,
        )

    def expect(self, voters: Collection[int]) -> None:
        """Take over the voters that the settings name. A cluster that has formed changes by `members` alone."""
        self.settings = dataclasses.replace(self.settings, expected=frozenset(voters))
        self._mesh.want(self._wanted())
        self.links.tell()

    async def handle(self, node: int, stream: Stream) -> None:
        """Serve a stream that the node `node`, a member, opened."""
        if self._storage is None:
            await stream.abort()
            return
        await self.links.serve(node, stream)

    async def run(self) -> None:
        """Form or join, then vote, until cancelled. A failure of its own files ends nothing but this voter's part."""
        keeping: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    self._storage = await self._in_thread(self._open)
                    self._mesh.want(self._wanted())
                    if keeping is None:
                        keeping = spawn(self.links.keep(self._wanted), "keeping streams to voters")
                    if self._storage.identity.voters is None:
                        await self._form(self._storage)
                    await self._vote(self._storage)
                except InputError as error:
                    self._failed(str(error))
                except Exception:
                    # A fault of the engine or of this program must not take discovery with it.
                    log.exception("raft broke")
                    self._failed("internal error, see the node's log")
                await self._clock.sleep(REOPEN_INTERVAL)
        finally:
            self.state, self.reason = "stopped", "the node stops"
            if keeping is not None:
                keeping.cancel()
            await self.links.close()
            self._give_up("the node stops")
            self._pool.shutdown(wait=False)

    def _wanted(self) -> frozenset[int]:
        return (self.members() | self.settings.expected) - {self.settings.node_id}

    def _open(self) -> Storage:
        settings = self.settings
        new = Identity(cluster=settings.cluster, node_id=settings.node_id, incarnation=self.word())
        return Storage(settings.folder, new)

    async def _form(self, storage: Storage) -> None:
        self.state = "forming"
        while True:
            heard = self.links.standings()
            decision = decide(self.standing(), heard)
            if isinstance(decision, (Form, Join)):
                break
            self.state = "out" if isinstance(decision, StayOut) else "forming"
            if decision.reason != self.reason:
                log.info("not voting yet", extra={"reason": decision.reason})
            self.reason = decision.reason
            await self._pause(FORM_INTERVAL)
        genesis = decision.genesis if isinstance(decision, Join) else None
        if genesis is not None:
            # Another journal of this node may have voted in a term that was: this one votes only in later ones.
            storage.term, storage.vote = max(each.term for each in heard.values()), NOBODY
        await self._in_thread(storage.sync)
        await self._in_thread(lambda: storage.start_as(decision.voters, genesis))
        log.info("voting", extra={"voters": ",".join(map(str, sorted(decision.voters))), "genesis": genesis or "new"})

    async def _vote(self, storage: Storage) -> None:
        machine = RegistryMachine(self.settings.cluster)
        engine = await self._in_thread(lambda: Engine(storage, machine))
        try:
            self.state, self.reason, self.view = "running", None, engine.view()
            self._mesh.want(self._wanted())
            self.links.tell()
            while True:
                inputs = self._take_inputs()
                outputs = await self._in_thread(lambda inputs=inputs: engine.step(inputs))  # type: ignore[misc]
                self._hand_out(outputs)
                view = outputs.view
                is_behind = bool(self._inbox) and self._transfer is None
                await self._pause(0 if is_behind or view.applied_index < view.commit_index else TICK)
        finally:
            engine.close()

    def _take_inputs(self) -> Inputs:
        inbox, self._inbox = self._inbox, []
        proposals, self._proposals = self._proposals, []
        if self._transfer is not None:
            self._proposals, proposals = proposals, []
            self._inbox = [each for each in inbox if each[1]["type"] == COMMAND]
            inbox = [each for each in inbox if each[1]["type"] != COMMAND]
        self._room.set()
        standings = self.links.standings()
        return Inputs(
            messages=inbox,
            connected=[node for node, standing in standings.items() if standing.has_formed],
            incarnations={node: standing.incarnation for node, standing in standings.items()},
            proposals=proposals,
            transfer_to=None if self._transfer is None or self._transfer.told.done() else self._transfer.to,
        )

    def _hand_out(self, outputs: Outputs) -> None:
        before, self.view = self.view, outputs.view
        for node, data in outputs.frames:
            self.links.send(node, data)
        self.refused.update(outputs.refused)
        for token, result, why in outputs.results:
            self._settle(token, result, why)
        if self._transfer is not None:
            self._go_on_with(self._transfer, outputs)
        if before is not None:
            self._tell_changes(before, outputs.view)
        self._lead(outputs.view)

    def _go_on_with(self, transfer: _Transfer, outputs: Outputs) -> None:
        is_over = self._clock.now() >= transfer.until
        if not transfer.told.done() and (outputs.transfer != BEHIND or is_over):
            transfer.told.set_result(outputs.transfer)
        if is_over or outputs.view.role != "leader":
            self._transfer = None

    def _tell_changes(self, before: View, view: View) -> None:
        if (before.leader, before.role) != (view.leader, view.role):
            log.info("raft leader", extra={"leader": view.leader, "term": view.term, "role": view.role})
        if before.members != view.members:
            self._mesh.want(self._wanted())
        if (before.members, before.admitted, before.genesis) != (view.members, view.admitted, view.genesis):
            self.links.tell()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _lead(self, view: View) -> None:
        """Propose what a leader has to by itself: the cluster's id, and voters that are not admitted yet."""
        now = self._clock.now()
        if view.role != "leader" or now < self._errand_at or len(self._waiting) >= MAX_WAITING:
            return
        body = self._errand(view)
        if body is not None:
            self._errand_at = now + _ERRAND_INTERVAL
            self._proposals.append(Proposal(next(self._tokens), command(REGULAR, body)))
            self._wake.set()

    def _errand(self, view: View) -> dict[str, Any] | None:
        if view.genesis is None:
            return {"op": "genesis", "id": self.word(), "voters": sorted(view.members)}
        known = {node: standing.incarnation for node, standing in self.links.standings().items()}
        known[self.settings.node_id] = self.standing().incarnation
        for node in sorted(view.members & known.keys() - view.admitted.keys()):
            return {"op": "admit", "voter": node, "incarnation": known[node]}
        return None

    def _settle(self, token: int, result: Any, why: str | None) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is None or waiting.done():
            if waiting is None and why is None:
                self._errand_at = 0.0  # an errand is done, and the next may follow
            return
        if why is None:
            waiting.set_result(result)
        else:
            waiting.set_exception(Unknown(why))

    def _give_up(self, why: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.done():
                each.set_exception(Unknown(why))
        self._proposals.clear()

    def _failed(self, why: str) -> None:
        self.state, self.reason, self.view = "failed", why, None
        log.error("raft does not run", extra={"error": why})
        self._give_up(why)
        self._inbox.clear()
        self._room.set()

    async def _received(self, node: int, frame: Frame) -> None:
        if frame.message is not None:
            if node not in self.members() | self.settings.expected:
                self.refused["not a voter"] += 1
                return
            while len(self._inbox) >= MAX_INBOX and self.state == "running":
                self._room.clear()
                await self._room.wait()
            if self.state == "running":
                self._inbox.append((node, dict(frame.message)))
        self._wake.set()

    async def propose(
        self, data: bytes, *, timeout: float, read: Callable[[RegistryMachine], Any] | None = None
    ) -> Any:
        """Return the result of a command once it is committed and applied here.

        It is proposed again when its outcome is not known: it has to be one that may come twice.

        Raises:
            Unknown: it may or may not have been committed.
            InputError: this node does not vote now; the command was not given to anybody.
        """
        until = self._clock.now() + timeout
        why: str | None = None
        while (left := until - self._clock.now()) > 0:
            try:
                return await self.once(data, timeout=min(left, _ATTEMPT), read=read)
            except InputError as error:
                if why is None:
                    raise
                raise Unknown(f"{why}; then: {error}") from None
            except TimeLimit:
                why = f"no answer came in {timeout:g} s"
            except Unknown as error:
                why = str(error)
                await self._clock.sleep(min(left, 2 * TICK))
        raise Unknown(why or "no answer came")

    async def once(self, data: bytes, *, timeout: float, read: Callable[[RegistryMachine], Any] | None = None) -> Any:
        """Propose a command once.

        Raises:
            Unknown: it may or may not have been committed.
            TimeLimit: likewise, after `timeout` seconds.
            InputError: this node does not vote, or too many commands wait.
        """
        self.check_running()
        if len(self._waiting) >= MAX_WAITING:
            raise InputError("too many commands wait", mend="try again in a moment")
        token = next(self._tokens)
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[token] = waiting
        self._proposals.append(Proposal(token, data, read))
        self._wake.set()
        try:
            return await limited(self._clock, timeout, _result(waiting))
        finally:
            self._waiting.pop(token, None)

    async def transfer(self, to: int, *, timeout: float) -> int | None:
        """Ask voter `to` (NOBODY: the best one) to lead; return who leads then, None when that is not known.

        Raises:
            InputError: this node does not lead, or that voter cannot.
        """
        if self._transfer is not None:
            raise InputError("another transfer is under way", mend="try again in a moment")
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._transfer = _Transfer(to, told, self._clock.now() + HAND_OVER)
        self._wake.set()
        why = await limited(self._clock, timeout, _result(told))
        if why is not None:
            raise InputError(why, mend="see blixard raft status")
        own = self.settings.node_id
        with contextlib.suppress(TimeLimit):
            await limited(self._clock, timeout, self._until(lambda view: view.leader not in (None, own)))
        return self.view.leader if self.view is not None else None

    def check_running(self) -> None:
        """Refuse what needs a running voter.

        Raises:
            InputError: with the reason why it does not run.
        """
        if self.state != "running":
            raise InputError(f"this voter does not run: {self.reason}")

    async def _until(self, holds: Callable[[View], bool]) -> None:
        while self.view is None or not holds(self.view):
            await self._changed.wait()

    async def _pause(self, seconds: float) -> None:
        """Return when something came, at the latest after `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeLimit):
            await limited(self._clock, seconds, _wait(self._wake))
        self._wake.clear()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


async def _result(future: asyncio.Future[Result]) -> Result:
    return await future


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
