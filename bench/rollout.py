#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long does a rollout take, measured in the shortest play that touches every host once?

Rolls a fleet of real nodes out on this machine, then runs by turns a play with one `ping`, site.yml, which has nothing
left to change and checks every edge, and a plain role of the usual kind, which has nothing left to change either.
Prints wall time, processor time (which other work on the machine disturbs less) and the ratios of their medians.
Standard library only.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / ".venv" / "bin"
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

# What somebody writes who needs a key and a list of peers on each host: no node, no check of anything.
PLAIN = """\
- hosts: blixard
  gather_facts: false
  vars:
    dir: "{{ blixard_data_dir }}-plain"
  tasks:
    - ansible.builtin.file:
        path: "{{ dir }}"
        state: directory
        mode: "0700"
    - ansible.builtin.shell:
        cmd: umask 077 && head -c 32 /dev/urandom | base64 > {{ dir }}/key
        creates: "{{ dir }}/key"
    - ansible.builtin.command: sha256sum {{ dir }}/key
      register: id
      changed_when: false
    - ansible.builtin.set_fact:
        id: "{{ id.stdout.split() | first }}"
    - ansible.builtin.template:
        src: peers.json.j2
        dest: "{{ dir }}/peers.json"
        mode: "0644"
    - ansible.builtin.command: test -s {{ dir }}/peers.json
      changed_when: false
"""

PLAIN_TEMPLATE = """\
[
{% for host in groups['blixard'] %}
  {"name": "{{ host }}", "id": "{{ hostvars[host].id }}", "address": "{{ hostvars[host].blixard_bind }}"},
{% endfor %}
  {}
]
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
    (room / "plain.yml").write_text(PLAIN)
    (room / "peers.json.j2").write_text(PLAIN_TEMPLATE)


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


def converged(room: Path, playbook: Path) -> Cost:
    """Run a playbook that has nothing left to change. Ends the program if it changes something all the same."""
    cost, output = play(room, playbook)
    if changed := re.findall(r"changed=[1-9]\d*", output):
        sys.exit(f"{playbook} is not converged: {', '.join(changed)}\n{output}")
    return cost


def ratio(costs: Sequence[Cost], reference: Sequence[Cost]) -> str:
    """Return the ratio of the medians: of wall time, and of processor time."""

    def of(measure: Callable[[Cost], float]) -> float:
        return statistics.median(map(measure, costs)) / statistics.median(map(measure, reference))

    return f"{of(lambda cost: cost.wall):.2f}, of processor time {of(lambda cost: cost.processor):.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5, help="of each of the three plays, by turns")
    args = parser.parse_args()
    site = PROJECT / "playbooks" / "site.yml"
    with fleet(args.hosts) as room:
        first, output = play(room, site)
        lines = len(output.splitlines())
        print(f"{args.hosts} hosts, first rollout: {first}, {lines} lines of output", flush=True)
        play(room, room / "plain.yml")
        plays = {"ping": room / "ping.yml", "site.yml": site, "plain role": room / "plain.yml"}
        costs: dict[str, list[Cost]] = {name: [] for name in plays}
        for run in range(1, args.runs + 1):
            for name, playbook in plays.items():
                costs[name].append(converged(room, playbook))
            print(f"run {run}: " + ", ".join(f"{name} {each[-1]}" for name, each in costs.items()), flush=True)
    print(f"first rollout to one ping: {ratio([first], costs['ping'])}")
    print(f"site.yml to one ping: {ratio(costs['site.yml'], costs['ping'])}")
    print(f"site.yml to a plain role: {ratio(costs['site.yml'], costs['plain role'])}")


if __name__ == "__main__":
    main()
