# SPDX-License-Identifier: MIT
"""A cluster of real nodes that vote, in a network of their own that can be cut in two. Only root can make one."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tests.integration.hosts import Host
from tests.integration.nodes import Node, eventually, give_peers, killed_afterwards

from blixard.agent.control_client import AgentError, AgentNotRunning, ask

LIBFAKETIME = "*/faketime/libfaketime.so.1"


class Cluster:
    """Nodes with numbers from 1 on; the first ones of them vote.

    Attributes:
        nodes: all nodes, by number.
        voters: the numbers of those that the settings name.
        host: the network that they are in, with loopback alone.
    """

    def __init__(self, room: Path, host: Host, voters: int, spare: int = 0) -> None:
        self.room, self.host = room, host
        self.nodes = {number: Node(number, room, within=host.within) for number in range(1, voters + spare + 1)}
        self.voters = list(range(1, voters + 1))
        nodes = list(self.nodes.values())
        give_peers(nodes, [node.make_identity() for node in nodes])
        self._clock = room / "clock"
        self._clock.write_text("+0")

    def launch(self, *numbers: int) -> None:
        """Start nodes and wait for nothing."""
        words = ["--admission", "known", "--raft", "true", "--raft-voters", ",".join(map(str, self.voters))]
        for number in numbers:
            self.nodes[number].launch(*words, env=self._faked_clock())

    def start(self, *numbers: int) -> None:
        """Start nodes, all of the voters without a number, and return when they answer."""
        wanted = numbers or tuple(self.voters)
        self.launch(*wanted)
        for number in wanted:
            eventually(lambda number=number: self.status(number))  # type: ignore[misc]

    def status(self, number: int) -> dict[str, Any] | None:
        """Return what a voter says of Raft; None when it does not answer."""
        try:
            answer: dict[str, Any] = ask(self.nodes[number].data_dir, "raft-status", timeout=5.0)
        except (AgentNotRunning, AgentError):
            return None
        return answer

    def agreed(self, *numbers: int) -> int | None:
        """Return the leader when all of these voters, or all, say the same and have applied what it committed."""
        found = [self.status(number) for number in numbers or self.voters]
        said = [each for each in found if each is not None and each["state"] == "running" and each["is_open"]]
        leaders = {each["leader"] for each in said}
        if len(said) < len(found) or len(leaders) != 1:
            return None
        leader: int | None = leaders.pop()
        return leader

    def leader(self, *numbers: int, not_: int | None = None) -> int:
        """Wait until these voters, or all, agree on a leader that is another one than `not_`, and return it."""
        try:
            return int(eventually(lambda: (found := self.agreed(*numbers)) != not_ and found) or 0)
        except AssertionError:
            said = {number: self.status(number) for number in numbers or self.voters}
            raise AssertionError(f"they agree on no leader: {said}") from None

    def kill(self, *numbers: int) -> None:
        """Kill nodes, all of them before the first is waited for."""
        for number in numbers:
            self.nodes[number].signal(signal.SIGKILL)
        for number in numbers:
            self.nodes[number].kill()

    def pause(self, number: int) -> None:
        self.nodes[number].signal(signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        self.nodes[number].signal(signal.SIGCONT)

    def cut(self, one_side: Collection[int]) -> None:
        """Let no packet pass between these nodes and all others."""
        others = self.nodes.keys() - set(one_side)
        for one, other in itertools.product(one_side, others):
            for source, target in ((one, other), (other, one)):
                ports = ("--sport", str(self.nodes[source].port), "--dport", str(self.nodes[target].port))
                self.host.run("iptables", "-w", "-A", "INPUT", "-p", "udp", *ports, "-j", "DROP")

    def heal(self) -> None:
        """Let every packet pass."""
        self.host.run("iptables", "-w", "-F", "INPUT")

    def set_clock(self, seconds: int) -> None:
        """Put the clock of all nodes off by so many seconds; what counts time alone is as it was."""
        self._clock.write_text(f"{seconds:+}")

    def _faked_clock(self) -> dict[str, str]:
        found = [*Path("/usr/lib").glob(LIBFAKETIME)]
        if not found:
            return {}
        return {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def raft_folder(self, number: int) -> Path:
        return self.nodes[number].data_dir / "raft"

    @contextlib.contextmanager
    def own_disks(self, size: str) -> Iterator[None]:
        """Give each voter a disk of this size for what it keeps, before it first runs."""
        with contextlib.ExitStack() as disks:
            for number in self.voters:
                self.raft_folder(number).mkdir(mode=0o700)
                disks.enter_context(small_disk(self.raft_folder(number), size))
            yield

    def do(self, number: int, op: str, **params: Any) -> dict[str, Any]:
        """Ask a voter to do something, and return its answer."""
        answer: dict[str, Any] = ask(self.nodes[number].data_dir, op, params, timeout=20.0)
        return answer

    def change_voters(self, action: str, node: int) -> None:
        """Add or remove a voter; the leader is asked until it says that this is done."""

        def done() -> bool:
            leader = self.agreed(*(number for number in self.voters if number != node))
            if leader is None:
                return False
            try:
                return str(self.do(leader, "raft-members", action=action, node_id=node)["outcome"]) == "done"
            except AgentError as error:
                return f"{'a' if action == 'add' else 'no'} voter already" in str(error)

        eventually(done)


@contextlib.contextmanager
def cluster(room: Path, voters: int, spare: int = 0) -> Iterator[Cluster]:
    """Make a cluster whose nodes do not run yet; at the end all of it is gone."""
    host = Host(next(_NUMBERS))
    try:
        host.ip("address", "delete", "::1/128", "dev", "lo")  # iroh finds a way there around a cut
        made = Cluster(room, host, voters, spare)
        with killed_afterwards(list(made.nodes.values())):
            yield made
    finally:
        host.remove()


_NUMBERS = itertools.count(9000)


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """Put a file system of this size at `path`."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
