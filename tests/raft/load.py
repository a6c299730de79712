# SPDX-License-Identifier: MIT
"""Clients that write and read through all voters at once, and the history of what they were told."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

from tests.integration.nodes import eventually
from tests.raft.cluster import Cluster
from tests.raft.linearizable import Operation, impossible

from blixard.agent.control_client import AgentError, AgentNotRunning, ask
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

REGISTERS = 24
"""Entries that are written again and again; every other write is a new entry, which has to be there at the end."""

CLIENTS = 8
"""Clients of each node."""

PATIENCE = 6.0
"""Seconds that the node may take for one command. After that its outcome is not known."""

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
_NEWER = re.compile(r"the number of node \d+ is (\d+), and")


@dataclass(frozen=True)
class Answered:
    """One acknowledged operation: at which node, from when to when."""

    node: int
    called: float
    returned: float
    is_write: bool


@dataclass
class Load:
    """Clients, each of which talks with one node. `first` is the first node id of the entries that they write."""

    cluster: Cluster
    first: int
    history: list[Operation] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    kept: set[int] = field(default_factory=set)
    trouble: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._new = itertools.count(self.first + REGISTERS)
        self._is_over = threading.Event()
        self._may_go = threading.Event()
        self._may_go.set()
        self._threads = [
            threading.Thread(target=self._client, args=(node, Random(node * 1000 + number)), daemon=True)
            for node in self.cluster.voters
            for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def writes(self, at: int | None = None) -> int:
        """Return how many writes were acknowledged, by all nodes or by one."""
        with self._lock:
            return sum(each.is_write and at in (None, each.node) for each in self.answered)

    def more(self, writes: int, at: int | None = None) -> None:
        """Wait until so many more writes are acknowledged."""
        enough = self.writes(at) + writes
        try:
            eventually(lambda: self.writes(at) >= enough)
        except AssertionError:
            said = {number: self.cluster.status(number) for number in self.cluster.voters}
            raise AssertionError(f"no {writes} writes at {at or 'any node'}: {dict(self.trouble)}, {said}") from None

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def answered_within(self, nodes: set[int], start: float, end: float) -> list[Answered]:
        """Return what these nodes answered of that which was asked after `start`, before `end`."""
        return [each for each in self.answered if each.node in nodes and each.called > start and each.returned < end]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Begin nothing new for a while."""
        self._may_go.clear()
        try:
            yield
        finally:
            self._may_go.set()

    def _client(self, node: int, random: Random) -> None:
        while not self._is_over.is_set():
            self._may_go.wait()
            work = random.choice((self._write_register, self._write_register, self._write_new, self._read_register))
            if not work(node, random):
                self._is_over.wait(0.2)

    def _write_register(self, node: int, random: Random) -> bool:
        key = self.first + random.randrange(REGISTERS)
        return self._write(node, key, next(self._numbers))

    def _write_new(self, node: int, _: Random) -> bool:
        return self._write(node, next(self._new), 1)

    def _write(self, node: int, key: int, number: int) -> bool:
        params = {"name": f"host{key}", "entry": entry(key, number).to_json()}
        answer, called, returned = self._ask(node, "raft-put", params)
        outcome = answer.get("outcome")
        newer = _NEWER.search(str(answer.get("line"))) if outcome == "refused" else None
        with self._lock:
            if outcome == "done":
                self.history.append(_write(key, number, called, returned))
                self.answered.append(Answered(node, called, returned, True))
                self.kept.add(key)
            elif newer is not None:  # it was too late, and says what is there
                self.history.append(_read(key, number_of(int(newer[1])), called, returned))
            elif outcome not in ("refused", "not asked"):
                self.history.append(_write(key, number, called))
        return outcome == "done"

    def _read_register(self, node: int, random: Random) -> bool:
        key = self.first + random.randrange(REGISTERS)
        answer, called, returned = self._ask(node, "raft-get", {"node_id": key})
        if (outcome := answer.get("outcome")) not in ("done", "missing"):
            return False
        value = number_of(answer["entry"]["attestation"]["seq"]) if outcome == "done" else None
        with self._lock:
            self.history.append(_read(key, value, called, returned))
            self.answered.append(Answered(node, called, returned, False))
        return True

    def _export(self, node: int) -> list[dict[str, Any]]:
        """Return the registry, which is a read of all registers at once."""
        answer, called, returned = self._ask(node, "raft-export", {})
        found: list[dict[str, Any]] = answer.get("entries", [])
        if found:
            numbers = {each["entry"]["cluster_node_id"]: each["entry"]["attestation"]["seq"] for each in found}
            for key in range(self.first, self.first + REGISTERS):
                value = number_of(numbers[key]) if key in numbers else None
                self.history.append(_read(key, value, called, returned))
        return found

    def _ask(self, node: int, op: str, params: dict[str, Any]) -> tuple[dict[str, Any], float, float]:
        called = time.monotonic()
        try:
            data_dir = self.cluster.nodes[node].data_dir
            answer = ask(data_dir, op, {**params, "timeout_s": PATIENCE}, timeout=PATIENCE + 4)
        except AgentNotRunning as error:
            answer = {"outcome": "not asked"} if "no node runs" in str(error) else {}
        except AgentError as error:
            with self._lock:
                self.trouble[str(error).partition("says: ")[2][:80] or "no answer"] += 1
            answer = {}
        return answer, called, time.monotonic()

    def check(self) -> Judgement:
        """End the load, read all registers once more, and judge what the clients were told."""
        self.stop()
        cluster = self.cluster
        cluster.leader()
        exports = [eventually(lambda number=number: self._export(number)) for number in cluster.voters]  # type: ignore[misc]
        here = [{each["entry"]["cluster_node_id"] for each in entries} for entries in exports]
        return Judgement(
            acknowledged=self.writes(),
            unknown=sum(not each.is_known for each in self.history),
            operations=len(self.history),
            lost=sorted(self.kept - set.intersection(*here)),
            impossible=[str(each) for each in impossible(self.history)],
            is_same=all(entries == exports[0] for entries in exports),
            clusters=len({status["genesis"] for number in cluster.voters if (status := cluster.status(number))}),
        )


@dataclass(frozen=True)
class Judgement:
    """What the history says.

    Attributes:
        acknowledged: writes that were.
        unknown: writes whose outcome no client knows.
        lost: node ids of entries that were acknowledged and are not in the registry of each voter.
        impossible: operations that fit in no order.
        is_same: whether all voters have the same registry.
        clusters: how many ids of clusters the voters name.
    """

    acknowledged: int
    unknown: int
    operations: int
    lost: list[int]
    impossible: list[str]
    is_same: bool
    clusters: int

    @property
    def faults(self) -> list[str]:
        """Return a line for each promise that was broken."""
        found = {
            f"{len(self.lost)} acknowledged writes lost, such as {self.lost[:3]}": bool(self.lost),
            f"not linearizable: {self.impossible[:3]}": bool(self.impossible),
            "voters have different registries": not self.is_same,
            f"{self.clusters} clusters": self.clusters != 1,
        }
        return [line for line, is_so in found.items() if is_so]


def _write(key: int, number: int, called: float, returned: float = float("inf")) -> Operation:
    return Operation(key=key, value=number, is_write=True, called=called, returned=returned)


def _read(key: int, number: int | None, called: float, returned: float) -> Operation:
    return Operation(key=key, value=number, is_write=False, called=called, returned=returned)


def number_of(seq: int) -> int:
    """Return which number an entry's seq stands for."""
    return seq - int(START.timestamp())


def entry(node_id: int, number: int, *, cluster: str = "blixard") -> NodeRegistryEntry:
    """Return an entry of some node that is signed with a key of its own; the greater `number` is the newer one."""
    key = SecretKey.from_bytes(hashlib.sha256(b"throwaway %d" % node_id).digest())
    address = f"192.0.2.1:{1024 + number % 60000}"
    made = NodeRegistryEntry(node_id, key.public().base64, (address,), None, address)
    return attest(made, key, cluster=cluster, now=START + timedelta(seconds=number))
