# SPDX-License-Identifier: MIT
"""One stream to each voter, over the connections that discovery made and that other protocols share.

Each side says where it stands once a second, which is also the beat by which the other knows that it lives. The node
with the smaller id opens the stream; the other does when none has come for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from blixard.dialling.protocols import DialError
from blixard.errors import InputError
from blixard.raft.codec import MAX_FRAME, PROTOCOL, Frame, parse
from blixard.raft.health import BEAT, SILENCE, Liveness
from blixard.tasks import spawn

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.dialling.protocols import Connection, Stream
    from blixard.raft.formation import Standing

log = logging.getLogger("blixard.raft")

MAX_QUEUED = 8 * MAX_FRAME
"""Bytes that wait for one voter. More are dropped: Raft sends again what was not answered."""


class _Link:
    """The stream to one voter, with what waits to be sent."""

    def __init__(self, node: int, stream: Stream) -> None:
        self.node = node
        self.stream = stream
        self.standing: Standing | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._is_there = asyncio.Event()

    def put(self, frame: bytes) -> bool:
        """Queue a frame; False when there is no room."""
        if self._bytes + len(frame) > MAX_QUEUED:
            return False
        self._waiting.append(frame)
        self._bytes += len(frame)
        self._is_there.set()
        return True

    async def send_all(self) -> None:
        """Send what is queued, for ever."""
        while True:
            while self._waiting:
                frame = self._waiting.popleft()
                self._bytes -= len(frame)
                await self.stream.send(frame)
            self._is_there.clear()
            await self._is_there.wait()

    def end(self) -> asyncio.Task[None]:
        """End it both ways; the task has done that when it ends."""
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        return spawn(self.stream.abort(), f"ending the stream to voter {self.node}")


class Links:
    """The streams to the voters.

    Attributes:
        refused: frames that were dropped, counted by kind.
        last_refused: a line for each node whose last frame was refused.
    """

    def __init__(
        self,
        own: int,
        *,
        cluster: str,
        connection: Callable[[int], Connection | None],
        hello: Callable[[], bytes],
        genesis: Callable[[], str | None],
        received: Callable[[int, Frame], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Make none yet.

        Args:
            own: this node.
            cluster: the name that every other voter must give.
            connection: gives the live connection to a node.
            hello: gives the frame that says where this node stands.
            genesis: gives the id of the cluster, once it is known.
            received: takes what came from a node, hellos too.
            clock: for beats and silence.
        """
        self.refused: Counter[str] = Counter()
        self.last_refused: dict[int, str] = {}
        self._own, self._cluster, self._clock = own, cluster, clock
        self._connection, self._hello, self._genesis, self._received = connection, hello, genesis, received
        self._links: dict[int, _Link] = {}
        self._liveness = Liveness()
        self._missing_since: dict[int, float] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def alive(self) -> frozenset[int]:
        """Return the nodes that have said where they stand, and were heard of late."""
        told = [node for node, link in self._links.items() if link.standing is not None]
        return self._liveness.alive(told, self._clock.now())

    def standings(self) -> dict[int, Standing]:
        """Return what the live nodes say of themselves."""
        found = {node: self._links[node].standing for node in sorted(self.alive())}
        return {node: standing for node, standing in found.items() if standing is not None}

    def age(self, node: int) -> float | None:
        """Return for how many seconds a node was not heard; None without a stream to it."""
        return self._liveness.age(node, self._clock.now())

    def send(self, node: int, frame: bytes) -> None:
        """Queue a frame for a node; it is dropped when there is no stream, or no room."""
        link = self._links.get(node)
        if link is not None and not link.put(frame):
            self.refused["queue full"] += 1

    async def keep(self, wanted: Callable[[], Collection[int]]) -> None:
        """Open streams to those wanted, and beat, for ever."""
        while True:
            hello, now = self._hello(), self._clock.now()
            for link in list(self._links.values()):
                age = self._liveness.age(link.node, now)
                if age is None or age > SILENCE:
                    self._drop(link, f"nothing heard for {SILENCE:g} s")
                else:
                    link.put(hello)
            for node in wanted():
                if node != self._own and node not in self._links and self._is_mine_to_open(node, now):
                    await self._open(node)
            await self._clock.sleep(BEAT)

    def tell(self) -> None:
        """Say at once where this node stands, because that has changed."""
        hello = self._hello()
        for link in self._links.values():
            link.put(hello)

    async def serve(self, node: int, stream: Stream) -> None:
        """Take in a stream that `node` opened, until it ends. An earlier one of that node ends."""
        link = self._add(node, stream)
        try:
            await asyncio.wait(link.tasks)
        finally:
            self._drop(link, "its connection has ended")

    async def close(self) -> None:
        """End all."""
        for link in list(self._links.values()):
            self._drop(link, "this node stops")
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _is_mine_to_open(self, node: int, now: float) -> bool:
        since = self._missing_since.setdefault(node, now)
        return self._own < node or now - since >= SILENCE

    async def _open(self, node: int) -> None:
        connection = self._connection(node)
        if connection is None or PROTOCOL not in connection.protocols:
            return
        with contextlib.suppress(DialError):
            self._add(node, await connection.open_stream(PROTOCOL))

    def _add(self, node: int, stream: Stream) -> _Link:
        old = self._links.get(node)
        if old is not None:
            self._drop(old, "another stream came")
        link = _Link(node, stream)
        self._links[node] = link
        self._missing_since.pop(node, None)
        self._liveness.heard(node, self._clock.now())
        link.put(self._hello())
        link.tasks = [
            spawn(self._sending(link), f"sending to voter {node}"),
            spawn(self._listening(link), f"hearing voter {node}"),
        ]
        return link

    def _drop(self, link: _Link, reason: str) -> None:
        if self._links.get(link.node) is not link:
            return
        del self._links[link.node]
        self._liveness.gone(link.node)
        log.info("stream to a voter ended", extra={"node_id": link.node, "reason": reason})
        ending = link.end()
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _sending(self, link: _Link) -> None:
        try:
            await link.send_all()
        except DialError as error:
            self._drop(link, str(error))

    async def _listening(self, link: _Link) -> None:
        try:
            while (data := await link.stream.receive(most=MAX_FRAME)) is not None:
                await self._take(link, data)
            self._drop(link, "the other side ended it")
        except DialError as error:
            self._drop(link, str(error))
        except InputError as error:
            self._refuse(link, "malformed", str(error))
            self._drop(link, str(error))

    async def _take(self, link: _Link, data: bytes) -> None:
        node = link.node
        frame = parse(data, f"node {node}")
        if frame.standing is not None and frame.cluster != self._cluster:
            self._refuse(link, "other cluster", f'is of cluster "{frame.cluster}", not "{self._cluster}"')
            return
        if frame.standing is not None and frame.standing.node_id != node:
            self._refuse(link, "other node", f"says that it is node {frame.standing.node_id}")
            return
        ours = self._genesis()
        if ours is not None and frame.genesis not in (None, ours):
            self._refuse(link, "other genesis", f"is of the cluster {frame.genesis}, and this is {ours}")
            return
        self._liveness.heard(node, self._clock.now())
        if frame.standing is not None:
            link.standing = frame.standing
        elif link.standing is None:
            self._refuse(link, "before its hello", "sent something before it said where it stands")
            return
        self.last_refused.pop(node, None)
        await self._received(node, frame)

    def _refuse(self, link: _Link, kind: str, why: str) -> None:
        self.refused[kind] += 1
        line = f"node {link.node}: {why}"
        if self.last_refused.get(link.node) != line:
            log.warning("raft frame refused", extra={"node_id": link.node, "reason": why})
        self.last_refused[link.node] = line
