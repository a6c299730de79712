# SPDX-License-Identifier: MIT
"""A watch on what every node says of its peers, and from it how long each fault took."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node

SCRIPT = (Path(__file__).parent / "watch.py").read_text()
# Whole means so for this long, in seconds.
LASTING = 3.0
# How long to wait for it, so that the table has a figure even where the goal is missed.
PATIENCE = 400.0

HEADING = """# Faults

A fleet of five nodes runs on one machine with two cores. Each node is observed four times a second. For each fault the
table shows three results. "Noticed after" is the time until the first other node noticed the fault, or until the first
node reported a failing source. "All edges back after" is the time from the end of the fault (for a killed agent: from
its restart) until all twenty edges were back. "Lost" names lost entries, peers and files. `make faults` writes this
page.

| fault | noticed after | all edges back after | lost |
| --- | --- | --- | --- |
"""

CUTS = """
## Longer cuts, and larger meshes

Cuts of hours, and of a thousand nodes, are simulated: real schedulers on a network in virtual time, where a dial
across the cut takes its full ten seconds. "All edges back after" is the time from the heal, over all seeds. The dials
are those of one node: the most in any second after the heal, and the mean in the last minute before it. A node that
searches makes at most 12 dials in a second. After a cut of a minute some peers have not failed five times yet, and the
formula of [Scale](scale.md#the-mesh) holds. Why a heal is noticed, and with which limits, is in
[Running a node](node.md#how-a-heal-is-noticed).

```console
$ python -m tests.simulation --heal
```

"""

States = dict[int, str]
Sample = tuple[float, bool, States]
"""When, whether all peers were connected, and the states of those that the node knows."""


class Watch:
    """Follows every node. Times are the monotonic clock's, which all containers of a machine share."""

    def __init__(self, fleet: Fleet) -> None:
        self._ids = {node.node_id for node in fleet.up}
        self._samples: dict[int, list[Sample]] = {node_id: [] for node_id in self._ids}
        self._followers: list[subprocess.Popen[str]] = []
        for node in fleet.up:
            self.follow(node)

    def follow(self, node: Node) -> None:
        """Follow a node, from its host's start on."""
        command = [os.environ.get("CONTAINER_ENGINE", "podman"), "exec", "--interactive", node.container]
        follower = subprocess.Popen(
            [*command, "/opt/blixard/venv/bin/python", "-c", SCRIPT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._followers.append(follower)
        threading.Thread(target=self._read, args=(node.node_id, follower), daemon=True).start()

    def _read(self, node_id: int, follower: subprocess.Popen[str]) -> None:
        assert follower.stdout is not None
        for line in follower.stdout:
            seen = json.loads(line)
            states = {int(peer): state for peer, state in seen["states"].items()}
            whole = all(states.get(peer) == "connected" for peer in self._ids - {node_id})
            self._samples[node_id].append((seen["time"], whole, states))

    def stop(self) -> None:
        for follower in self._followers:
            follower.kill()
            follower.wait()

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def noticed_since(self, start: float, affected: Collection[int]) -> float:
        """Return seconds from `start` until one of the others saw one of `affected` as not connected."""
        times = [
            when
            for observer in self._ids - set(affected)
            for when, _, states in self._samples[observer]
            if when >= start and any(states.get(peer) != "connected" for peer in affected)
        ]
        return min(times, default=math.inf) - start

    def whole_since(self, start: float, within: float) -> float:
        """Wait until every node is connected to every other, and return the seconds from `start` until then."""
        while True:
            since = [self._whole_from(self._samples[node_id], start) for node_id in self._ids]
            if max(since) + LASTING <= self.now():
                return max(since) - start
            assert self.now() < start + within + LASTING, f"not whole after {within} s: {self._last()}"
            time.sleep(0.25)

    @staticmethod
    def _whole_from(samples: list[Sample], start: float) -> float:
        """Return when the trailing run of good samples began, or infinity without one after `start`."""
        began = math.inf
        for when, whole, _ in reversed(samples):
            if when < start or not whole:
                break
            began = when
        return began

    def _last(self) -> dict[int, States]:
        return {node_id: samples[-1][2] for node_id, samples in self._samples.items() if samples}


@dataclass
class Fault:
    """One fault: when it began and was over, and, at the end, what was seen of it.

    `noticed` is the test's to set where it is not a peer that is lost.
    """

    name: str
    began: float
    ended: float = math.nan
    noticed: float = math.nan
    whole: float = math.nan

    def over(self, at: float | None = None) -> None:
        """Say that the fault ends now, or ended at a monotonic time."""
        self.ended = Watch.now() if at is None else at


@dataclass
class Table:
    """All that was measured, as docs/faults.md has it."""

    faults: list[Fault] = field(default_factory=list)

    def text(self) -> str:
        rows = [
            f"| {fault.name} | {_seconds(fault.noticed)} | {_seconds(fault.whole)} | nothing |" for fault in self.faults
        ]
        return HEADING + "\n".join([*rows, ""])


TABLE = pytest.StashKey[Table]()


def _seconds(value: float) -> str:
    return "not noticed" if math.isinf(value) else f"{value:.1f} s"


class Measured(Protocol):
    """Measures the fault that a `with` block makes."""

    def __call__(self, name: str, affected: Collection[int]) -> AbstractContextManager[Fault]:
        """`affected` are the nodes that the others lose by the fault, if any."""


@pytest.fixture(scope="session")
def watch(fleet: Fleet) -> Iterator[Watch]:
    watching = Watch(fleet)
    yield watching
    watching.stop()


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """What was measured."""
    return pytestconfig.stash.setdefault(TABLE, Table())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table, and write it down after a run of all faults."""
    text = config.stash.setdefault(TABLE, Table()).text()
    terminalreporter.write_line(text)
    if os.environ.get("FAULTS") == "all":
        project = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
        command = [sys.executable, "-m", "tests.simulation", "--heal"]
        cuts = subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE, text=True).stdout
        page = project / "docs" / "faults.md"
        _, heading, rest = page.read_text().partition("\n## Raft\n")  # which tests/raft writes
        page.write_text(text + CUTS + cuts + heading + rest)


@pytest.fixture
def measured(table: Table, watch: Watch) -> Measured:
    @contextmanager
    def measure(name: str, affected: Collection[int]) -> Iterator[Fault]:
        fault = Fault(name, watch.now())
        yield fault
        fault.whole = watch.whole_since(fault.ended, PATIENCE)
        if math.isnan(fault.noticed):
            fault.noticed = watch.noticed_since(fault.began, affected)
        table.faults.append(fault)

    return measure
