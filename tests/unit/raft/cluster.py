# SPDX-License-Identifier: MIT
"""Voters in one process: real engines, journals and frames, and a network that is a list."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from blixard.model.entry import NodeRegistryEntry
from blixard.raft.codec import REGULAR, command, parse
from blixard.raft.engine import Engine, Inputs, Outputs, Proposal, View
from blixard.raft.registry_machine import RegistryMachine
from blixard.raft.storage import Identity, Storage
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey

CLUSTER = "test"
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def attested(node: int, *, port: int = 7001, seq_at: datetime = NOW, key: SecretKey | None = None) -> NodeRegistryEntry:
    """An entry that node signed. The same node has the same key."""
    key = key or SecretKey.from_bytes(bytes([node % 256]) * 32)
    entry = NodeRegistryEntry(node, key.public().base64, (f"10.0.0.{node % 250 + 1}:{port}",), None, f"10.0.0.1:{port}")
    return attest(entry, key, cluster=CLUSTER, now=seq_at)


def put(entry: NodeRegistryEntry, *, client: str = "c", number: int = 1) -> dict[str, Any]:
    """The command that stores an entry."""
    name = f"host{entry.node_id}"
    return {"op": "put", "client": client, "number": number, "name": name, "entry": entry.to_json()}


class Voters:
    """Some voters, and who of them reaches whom."""

    def __init__(self, folder: Path, nodes: Collection[int], *, snapshot_entries: int = 5000) -> None:
        self.folder, self.nodes, self.snapshot_entries = folder, sorted(nodes), snapshot_entries
        self.engines: dict[int, Engine] = {}
        self.machines: dict[int, RegistryMachine] = {}
        self.views: dict[int, View] = {}
        self.words: dict[int, str] = {}
        self.results: dict[int, tuple[Any, str | None]] = {}
        self.refused: list[str] = []
        self.is_lost: Callable[[int, int], bool] = lambda _, __: False
        self.is_cut: Callable[[int, int], bool] = lambda _, __: False
        self._mail: dict[int, list[tuple[int, bytes]]] = {node: [] for node in self.nodes}
        self._proposals: dict[int, list[Proposal]] = {node: [] for node in self.nodes}
        self._transfer: dict[int, int] = {}
        self._token = 0
        for node in self.nodes:
            self.start(node)

    def start(self, node: int, voters: Collection[int] | None = None) -> None:
        folder = self.folder / str(node)
        folder.mkdir(exist_ok=True)
        self._mail.setdefault(node, [])
        self._proposals.setdefault(node, [])
        storage = Storage(folder / "raft", Identity(cluster=CLUSTER, node_id=node, incarnation=f"first-{node}"))
        if storage.identity.voters is None:
            storage.start_as(voters or self.nodes, None)
        self.machines[node] = RegistryMachine(CLUSTER)
        self.engines[node] = Engine(storage, self.machines[node], snapshot_entries=self.snapshot_entries)
        self.words[node] = storage.identity.incarnation
        self.views[node] = self.engines[node].view()

    def stop(self, node: int) -> None:
        self.engines.pop(node).close()
        del self.views[node]
        self._mail[node].clear()
        self._proposals[node].clear()

    def turn(self) -> None:
        """Let each voter take one step."""
        for node, engine in list(self.engines.items()):
            mail, self._mail[node] = self._mail[node], []
            proposals, self._proposals[node] = self._proposals[node], []
            reached = [each for each in self.engines if each != node and not self.is_cut(node, each)]
            messages = [
                (sender, dict(message)) for sender, data in mail if (message := parse(data, f"node {sender}").message)
            ]
            incarnations = {each: self.words[each] for each in reached}
            inputs = Inputs(messages, reached, incarnations, proposals, self._transfer.pop(node, None))
            self._deliver(node, engine.step(inputs))

    def _deliver(self, node: int, outputs: Outputs) -> None:
        self.views[node] = outputs.view
        self.refused += outputs.refused
        for token, result, why in outputs.results:
            self.results[token] = (result, why)
        for to, data in outputs.frames:
            if to in self.engines and not self.is_cut(node, to) and not self.is_lost(node, to):
                self._mail[to].append((node, data))

    def until(self, holds: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Take turns until something holds, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()
            if found := holds():
                return found
            time.sleep(0.002)
        raise AssertionError(f"not in {seconds} s: {self.views}")

    def leader(self) -> int | None:
        """The one that leads, as a majority sees it."""
        said = [view.leader for view in self.views.values()]
        leaders = {node for node in said if node is not None and said.count(node) > len(self.nodes) // 2}
        return next((node for node in leaders if node in self.views and self.views[node].role == "leader"), None)

    def propose(self, node: int, data: bytes, read: Callable[[RegistryMachine], Any] | None = None) -> int:
        self._token += 1
        self._proposals[node].append(Proposal(self._token, data, read))
        return self._token

    def do(self, node: int, body: dict[str, Any], read: Callable[[RegistryMachine], Any] | None = None) -> Any:
        """Propose a command at `node` until it is done, and return its result."""

        def once() -> tuple[Any, str | None]:
            token = self.propose(node, command(REGULAR, body), read)
            found: tuple[Any, str | None] = self.until(lambda: self.results.get(token))
            return found

        for _ in range(20):
            result, why = once()
            if why is None:
                return result
        raise AssertionError(why)

    def transfer(self, node: int, to: int) -> None:
        self._transfer[node] = to

    def open(self) -> int:
        """Elect a leader, give the cluster its id and admit all; return the leader."""
        leader: int = self.until(self.leader)
        self.do(leader, {"op": "genesis", "id": "g1", "voters": self.nodes})
        for node in self.views:
            self.do(leader, {"op": "admit", "voter": node, "incarnation": self.words[node]})
        return int(self.until(self.leader))
