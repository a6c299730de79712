# SPDX-License-Identifier: MIT
"""What a large fleet costs the controller: `site.yml` over hosts that answer from a recording.

    .venv/bin/python -m bench.controller [--hosts 1000] [--converged | --parts]

No host is touched: a connection plugin of the bench (connection_plugins/recorded.py) answers as the package does on a
host whose node runs as wanted. So this measures Ansible and what we do on the controller, and nothing else. `new` is a
run that records the fleet for the first time, `again` one that changes nothing. The reference of the same run is a play
with one `raw` command over the same connection, the least that Ansible does to every host. With `--converged` the
first run is left out, which takes twice as long as all others: the record is written here, as that run leaves it.
`--parts` measures what we alone do with the answers of all hosts, without Ansible, for fleets that are too large for a
run here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.connection_plugins.recorded import _check
from bench.record import BIN, PROJECT, entry

from blixard.documents.files import write_atomic
from blixard.documents.json_bytes import pretty_bytes
from blixard.documents.peers_file import build_peers, write_peers
from blixard.documents.record import write_record
from blixard.documents.schemas import validate_text
from blixard.fleet import inventory_check, report
from blixard.fleet.host_view import HostView
from blixard.fleet.registry import update_record

Json = dict[str, Any]

INVENTORY = """\
blixard:
  vars:
    ansible_connection: recorded
    bench_room: "{{{{ inventory_dir }}}}"
    blixard_runtime_manage: false
    blixard_service_manager: systemd
  hosts:
{hosts}
"""

RAW = """\
- hosts: blixard
  gather_facts: false
  tasks:
    - ansible.builtin.raw: "true"
"""


@dataclass(frozen=True)
class Cost:
    """What a run took: seconds of wall time and of processor, and the most memory of one process, in MiB."""

    wall: float
    processor: float
    memory: float
    lines: int

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, {self.processor:.1f} s of processor, {self.memory:.0f} MiB, {self.lines} lines"


def write_room(room: Path, hosts: int, *, recorded: bool) -> None:
    """Write an inventory of `hosts` hosts, and the entry of each; if they are `recorded`, record and peers file too."""
    entries = {f"node{number}": entry(number) for number in range(1, hosts + 1)}
    (room / "entries").mkdir()
    for name, each in entries.items():
        (room / "entries" / f"{name}.json").write_text(json.dumps(each.to_json()))
    (room / "nodes").write_text(str(hosts))
    if recorded:
        write_record(room / ".blixard" / "registry", {}, entries)
        write_peers(room / ".blixard" / "discovery-peers.json", build_peers(entries.values()))
    lines = [f"    {name}: {{blixard_node_id: {each.node_id}}}" for name, each in entries.items()]
    (room / "hosts.yml").write_text(INVENTORY.format(hosts="\n".join(lines)))
    (room / "raw.yml").write_text(RAW)


def play(room: Path, playbook: Path) -> tuple[Cost, str]:
    """Run a playbook; return what it took and what it printed. Ends the program if it fails."""
    plugins = {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    plugins |= {"ANSIBLE_CONNECTION_PLUGINS": str(PROJECT / "bench" / "connection_plugins")}
    command = [str(BIN / "ansible-playbook"), "-i", str(room / "hosts.yml"), str(playbook)]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        os.chdir(PROJECT)
        to = [(os.POSIX_SPAWN_DUP2, said.fileno(), 1), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)]
        _, status, used = os.wait4(os.posix_spawn(command[0], command, {**os.environ, **plugins}, file_actions=to), 0)
        said.seek(0)
        output = said.read()
    if status:
        sys.exit(f"{playbook} failed:\n{output[-4000:]}")
    spent = used.ru_utime + used.ru_stime
    return Cost(time.monotonic() - began, spent, used.ru_maxrss / 1024, len(output.splitlines())), output


def parts(room: Path, hosts: int) -> None:
    """Print what each part of a run takes that works on the answers of all hosts, and the most memory in the end."""
    entries: dict[str, Json] = {f"node{number}": entry(number).to_json() for number in range(1, hosts + 1)}
    (room / "nodes").write_text(str(hosts))
    answers = {name: _check(room, each, {"sample": "auto"}) for name, each in entries.items()}
    views = {
        name: HostView(name, each["cluster_node_id"], variables={"__blixard_connectivity": answers[name]})
        for name, each in entries.items()
    }
    nodes = {name: {"managed": True, "node_id": each["cluster_node_id"]} for name, each in entries.items()}
    variables = {name: {"blixard_node_id": each["node_id"]} for name, each in nodes.items()}
    peers = room / ".blixard" / "discovery-peers.json"

    def inventory() -> None:
        found = inventory_check.troubles(
            variables, playing=[*views], inventory=[*views], members={}, cluster="blixard", defaults={}
        )
        assert not found

    def record(gathered: Mapping[str, Json]) -> None:
        told: dict[str, Any] = {"cluster": "blixard", "max_removals": 0, "states": None, "announced": {}}
        told |= {"now": datetime.now(timezone.utc), "peers_file": peers, "upstream_compat": False, "check": False}
        update = update_record(room / ".blixard" / "registry", gathered, hosts=[*views], nodes=nodes, **told)
        assert not update.refused
        write_atomic(peers, pretty_bytes(update.peers), 0o644)

    def said() -> str:
        whole = report.fleet_report(views.values(), views.values(), cluster="blixard")
        return json.dumps(whole, indent=2)

    text = said()
    works: dict[str, Callable[[], object]] = {
        "the inventory, looked through": inventory,
        "the record, new": lambda: record(entries),
        "the record, with all entries again": lambda: record(entries),
        "the report, put together": said,
        "the report, held against its schema": lambda: validate_text("connectivity-report", text.encode()),
        "the report, as table and verdict": lambda: (report.table(json.loads(text)), report.troubles(json.loads(text))),
    }
    for name, work in works.items():
        before = time.process_time()
        work()
        took = time.process_time() - before
        print(f"{hosts} hosts, {name}: {took:.2f} s, {1000 * took / hosts:.2f} ms a host", flush=True)
    print(f"{hosts} hosts: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--parts", action="store_true", help="measure our own work alone, without Ansible")
    parser.add_argument("--converged", action="store_true", help="measure only the run that changes nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blixard-controller-") as name:
        room = Path(name)
        if args.parts:
            parts(room, args.hosts)
            return
        write_room(room, args.hosts, recorded=args.converged)
        raw, _ = play(room, room / "raw.yml")
        print(f"{args.hosts} hosts, one raw: {raw}", flush=True)
        for run in ("again",) if args.converged else ("new", "again"):
            cost, output = play(room, PROJECT / "playbooks" / "site.yml")
            if run == "again" and (changed := re.findall(r"changed=[1-9]\d*", output)):
                sys.exit(f"not converged: {changed[:3]}\n{output[-4000:]}")
            each = f"{1000 * cost.processor / args.hosts:.0f} ms of processor a host"
            ratio = f"{cost.wall / raw.wall:.2f}, of processor time {cost.processor / raw.processor:.2f}"
            print(f"{args.hosts} hosts, site.yml, {run}: {cost}; {each}; ratio {ratio}", flush=True)


if __name__ == "__main__":
    main()
