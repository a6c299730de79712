#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long does a converged rollout take, measured in the shortest play that touches every host once?

Rolls a fleet of real nodes out on this machine, then runs by turns a play with one `ping` and site.yml, which has
nothing left to change and checks every edge. Prints wall time, processor time (which other work on the machine
disturbs less) and the ratios of their medians. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / ".venv" / "bin"
GOAL = 2.5

INVENTORY = """\
blixard:
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    blixard_runtime_manage: false
    blixard_venv: "{{{{ ansible_playbook_python | dirname | dirname }}}}"
    blixard_service_manager: process
    blixard_data_dir: "{{{{ inventory_dir }}}}/node{{{{ blixard_node_id }}}}"
    blixard_config_file: "{{{{ blixard_data_dir }}}}/node-config.json"
  hosts:
{hosts}
"""

PING = """\
- hosts: blixard
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
"""


@dataclass(frozen=True)
class Cost:
    """What a run took, in seconds."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.processor:.2f} s of processor)"


def free_ports(count: int) -> list[int]:
    """Return UDP ports of the loopback address that nobody has now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def write_inventory(room: Path, hosts: int) -> None:
    """Write an inventory of `hosts` nodes on this machine."""
    lines = [
        f'    node{number}: {{blixard_node_id: {number}, blixard_bind: "127.0.0.1:{port}"}}'
        for number, port in enumerate(free_ports(hosts), start=1)
    ]
    (room / "hosts.yml").write_text(INVENTORY.format(hosts="\n".join(lines)))
    (room / "ping.yml").write_text(PING)


def processor() -> float:
    """Return the processor time of all child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def play(room: Path, playbook: Path) -> tuple[Cost, str]:
    """Run a playbook; return what it took and what it printed. Ends the program if it fails."""
    started, used = time.monotonic(), processor()
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", room / "hosts.yml", playbook],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    cost = Cost(time.monotonic() - started, processor() - used)
    if done.returncode:
        sys.exit(f"{playbook} failed:\n{done.stdout}{done.stderr}")
    return cost, done.stdout


@contextlib.contextmanager
def fleet(hosts: int) -> Iterator[Path]:
    """Make the room of a fleet; whatever happens, no node of it is left."""
    with tempfile.TemporaryDirectory(prefix="blixard-rollout-") as name:
        room = Path(name)
        write_inventory(room, hosts)
        try:
            yield room
        finally:
            for data_dir in room.glob("node*/"):
                subprocess.run([BIN / "blixard", "stop", "--data-dir", data_dir], check=False, capture_output=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs")
    args = parser.parse_args()
    with fleet(args.hosts) as room:
        site = PROJECT / "playbooks" / "site.yml"
        first, _ = play(room, site)
        print(f"{args.hosts} hosts, first rollout: {first}", flush=True)
        pings, sites = [], []
        for run in range(1, args.runs + 1):
            pings.append(play(room, room / "ping.yml")[0])
            cost, output = play(room, site)
            sites.append(cost)
            if changed := re.findall(r"changed=[1-9]\d*", output):
                sys.exit(f"not converged: {', '.join(changed)}\n{output}")
            print(f"run {run}: ping {pings[-1]}, site.yml {cost}", flush=True)
    wall = statistics.median(each.wall for each in sites) / statistics.median(each.wall for each in pings)
    work = statistics.median(each.processor for each in sites) / statistics.median(each.processor for each in pings)
    print(f"ratio {wall:.2f} (goal {GOAL}), of processor time {work:.2f}")


if __name__ == "__main__":
    main()
