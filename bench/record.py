#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the controller pays for a large record: `blixard peers build` and `playbooks/peers.yml`, nothing changed.

    .venv/bin/python bench/record.py [--nodes 10000]

Processor time of each, and its ratio to what cannot be spared: the check of every entry's signature on one core,
measured in the same run by turns. The playbook is measured without Ansible's own start, which is a play of one `debug`
with the same inventory: with the whole fleet in it (`all`), and with one host of it (`one`), as on a machine that only
keeps the record. `first` is where nothing was accepted before, `again` where this machine accepted the same record.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path

from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.record import read_record, write_record
from blixard.model.entry import NodeRegistryEntry
from blixard.model.fields import DEFAULT_CLUSTER
from blixard.trust.attestation import attest, verify_attestation
from blixard.trust.keys import SecretKey

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / ".venv" / "bin"
PEERS = PROJECT / "playbooks" / "peers.yml"
ALONE = "signature checks alone"
WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)

TRIVIAL = """\
- hosts: "{{ groups['blixard'][0] }}"
  gather_facts: false
  connection: local
  tasks:
    - ansible.builtin.debug:
        msg: nothing
"""


def entry(number: int) -> NodeRegistryEntry:
    """Return the attested entry of a node of its own."""
    key = SecretKey.generate()
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:7001"
    plain = NodeRegistryEntry(number, key.public().base64, [address], None, address)
    return attest(plain, key, cluster=DEFAULT_CLUSTER, now=WHEN)


def write_fleet(room: Path, nodes: int) -> None:
    """Write record, peers file, an inventory of all hosts and one of the first host, and a play that does nothing."""
    record = {f"node{number}": entry(number) for number in range(1, nodes + 1)}
    home = room / ".blixard"
    (home / "registry").mkdir(parents=True)
    write_record(home / "registry", {}, record)
    (home / "discovery-peers.json").write_bytes(format_peers(build_peers(record.values())))
    for file, count in (("all.yml", nodes), ("one.yml", 1)):
        hosts = "".join(f"    node{number}: {{blixard_node_id: {number}}}\n" for number in range(1, count + 1))
        (room / file).write_text(f"blixard:\n  hosts:\n{hosts}")
    (room / "trivial.yml").write_text(TRIVIAL)


def processor(who: int) -> float:
    """Return the processor time that has been used, in seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def run(cache: Path, *command: str | Path) -> float:
    """Run a command; return its processor time. Ends the program if it fails, or if it changed anything."""
    before = processor(resource.RUSAGE_CHILDREN)
    ansible = {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment = {**os.environ, **ansible, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [str(part) for part in command], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode or "changed=1" in done.stdout:
        sys.exit(f"{command} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return processor(resource.RUSAGE_CHILDREN) - before


def check_signatures(folder: Path) -> float:
    """Return the processor time that the signatures of all entries take, read and parsed before that."""
    record = read_record(folder)
    before = time.process_time()
    for each in record.values():
        verify_attestation(each)
    return time.process_time() - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blixard-record-") as name:
        room = Path(name)
        write_fleet(room, args.nodes)
        record, peers = room / ".blixard" / "registry", room / ".blixard" / "discovery-peers.json"

        build = (BIN / "blixard", "peers", "build", "--record", record, "--out", peers)
        taken: dict[str, list[float]] = defaultdict(list)
        for turn in range(args.runs):
            cache = room / f"cache{turn}"

            def play(inventory: str, playbook: Path, cache: Path = cache) -> float:
                return run(cache, BIN / "ansible-playbook", "-i", room / inventory, playbook)

            taken[ALONE].append(check_signatures(record))
            taken["peers build"].append(run(cache, *build))
            for hosts in ("one", "all"):
                taken[f"nothing, {hosts}"].append(play(f"{hosts}.yml", room / "trivial.yml"))
                for time_ in ("first", "again"):
                    taken[f"peers.yml, {hosts}, {time_}"].append(play(f"{hosts}.yml", PEERS))
    cost = {work: statistics.median(each) for work, each in taken.items()}
    for work, used in cost.items():
        start = cost[f"nothing, {work.split(', ')[1]}"] if work.startswith("peers.yml") else 0.0
        own = f", {used - start:.2f} s without Ansible's start" if start else ""
        print(f"{work}: {used:.2f} s{own}, ratio {(used - start) / cost[ALONE]:.2f}")


if __name__ == "__main__":
    main()
