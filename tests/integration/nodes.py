# SPDX-License-Identifier: MIT
"""Real `blixard node` processes on loopback, and waiting for what they do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from tests.ports import free_port

from blixard.agent.control_client import AgentNotRunning, ask
from blixard.agent.own_entry import REGISTRY_FILE_NAME, key_path
from blixard.documents.peers_file import build_peers, write_peers
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import create_secret_key

DEADLINE = 60.0

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], *, within: float = DEADLINE) -> Found:
    """Call `look` until it returns something true, and return that; after `within` seconds the test has failed."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within:g} s; the last answer was {found!r}"
        time.sleep(0.05)
    return found


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def blixard(*words: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "blixard", *map(str, words)],
        cwd=cwd,
        env=_environment(env),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("BLIXARD_", "NOTIFY_", "WATCHDOG_"))
    }
    return own | (more or {})


@dataclass
class Node:
    """One node: its place, its port, and its process while it runs, which has `room` as its working directory.

    `within` is the start of the command, such as that which enters another network namespace.
    """

    number: int
    room: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    within: Sequence[str] = ()

    @property
    def data_dir(self) -> Path:
        return self.room / "data" / f"node{self.number}"

    @property
    def registry(self) -> Path:
        return self.data_dir / REGISTRY_FILE_NAME

    @property
    def peers_file(self) -> Path:
        return self.data_dir / "discovery-peers.json"

    @property
    def log(self) -> str:
        return (self.room / f"node{self.number}.log").read_text()

    def start(self, *words: object, env: dict[str, str] | None = None) -> Node:
        """Start it in the foreground of its own process, and return when it answers."""
        self.launch(*words, env=env)
        eventually(self._answers)
        return self

    def launch(self, *words: object, env: dict[str, str] | None = None) -> None:
        """Start it and wait for nothing."""
        command = ["node", "--id", self.number, "--bind", f"127.0.0.1:{self.port}", *words]
        with (self.room / f"node{self.number}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "blixard", *map(str, command)],
                cwd=self.room,
                env=_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"node {self.number} ended: {self.log}"
        try:
            return bool(ask(self.data_dir, "info"))
        except AgentNotRunning:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as a service manager would; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = ask(self.data_dir, "status")
        return answer

    def peers(self) -> dict[int, dict[str, Any]]:
        return {peer["node_id"]: peer for peer in self.status()["peers"]}

    def state_of(self, other: Node) -> str | None:
        return self.peers().get(other.number, {}).get("state")

    def make_identity(self) -> NodeRegistryEntry:
        """Give it a key before it first runs; return the entry that it will sign."""
        key = create_secret_key(key_path(self.data_dir))
        address = f"127.0.0.1:{self.port}"
        entry = NodeRegistryEntry(self.number, key.public().base64, [address], None, address)
        return attest(entry, key, cluster="blixard", now=datetime.now(timezone.utc))


MakeNode = Callable[[int], Node]
"""Makes a node with this number; what the fixture `node` gives."""


@contextlib.contextmanager
def killed_afterwards(nodes: Sequence[Node]) -> Iterator[None]:
    """Kill those of `nodes` that still run at the end; more may be added until then."""
    try:
        yield
    finally:
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()


def are_meshed(nodes: Sequence[Node]) -> bool:
    """Tell whether every node is connected with every other, as each of them sees it."""
    return all(
        {number for number, peer in node.peers().items() if peer["state"] == "connected"}
        == {other.number for other in nodes if other is not node}
        for node in nodes
    )


def give_peers(nodes: Sequence[Node], entries: Sequence[NodeRegistryEntry]) -> None:
    """Write the same peers file for each node."""
    for node in nodes:
        node.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_peers(node.peers_file, build_peers(entries))
