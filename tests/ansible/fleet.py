# SPDX-License-Identifier: MIT
"""A fleet on this machine for tests: an inventory in a folder of its own, real playbook runs, real nodes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.ports import free_ports

from blixard.trust.keys import SecretKey, create_secret_key

PROJECT = Path(__file__).resolve().parents[2]
BIN = PROJECT / ".venv" / "bin"

GROUP: dict[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "blixard_cluster": "test",
    "blixard_runtime_manage": False,
    "blixard_venv": "{{ ansible_playbook_python | dirname | dirname }}",
    "blixard_service_manager": "process",
    "blixard_data_dir": "{{ inventory_dir }}/{{ inventory_hostname }}",
    "blixard_config_file": "{{ blixard_data_dir }}/node-config.json",
    "blixard_report_file": "{{ inventory_dir }}/report.json",
}

# What an inventory says of a host that nobody can reach.
UNREACHABLE: dict[str, Any] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}

_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What a playbook run came to."""

    code: int
    output: str

    @property
    def words(self) -> str:
        """The output with all white space the same, since long messages are folded on the way to a terminal."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> dict[str, int]:
        """Changed tasks by host."""
        return {name: int(changed) for name, _, changed, _, _ in _RECAP.findall(self.output)}

    @property
    def failed(self) -> set[str]:
        """Hosts with failed tasks, or that were not reached."""
        return {
            name for name, _, _, unreachable, failed in _RECAP.findall(self.output) if int(unreachable) + int(failed)
        }


@dataclass
class Fleet:
    """Hosts `node1` … in the folder `root`, which holds their data directories, the record and the report."""

    root: Path
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    group: dict[str, Any] = field(default_factory=lambda: dict(GROUP))

    @classmethod
    def of(cls, root: Path, size: int) -> Fleet:
        """Make a fleet of `size` hosts; nothing is rolled out yet."""
        ports = free_ports(size)
        hosts = {
            f"node{number}": {"blixard_node_id": number, "blixard_bind": f"127.0.0.1:{port}"}
            for number, port in enumerate(ports, start=1)
        }
        return cls(root, hosts)

    def sign_with(self, key_file: Path) -> SecretKey:
        """Have a new fleet key in `key_file` sign the peers file, and the nodes trust no other."""
        key = create_secret_key(key_file)
        self.group |= {"blixard_fleet_key_file": str(key_file), "blixard_trusted_signers": [key.public().hex]}
        return key

    @property
    def registry(self) -> Path:
        return self.root / ".blixard" / "registry"

    @property
    def peers_file(self) -> Path:
        return self.root / ".blixard" / "discovery-peers.json"

    def report(self) -> dict[str, Any]:
        """The report of the last check."""
        report = json.loads((self.root / "report.json").read_bytes())
        assert isinstance(report, dict)
        return report

    def write_inventory(self) -> Path:
        """Write the inventory down and return its file."""
        inventory = self.root / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"blixard": {"vars": self.group, "hosts": self.hosts}}))
        return inventory

    def play(
        self,
        playbook: str | Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        sources: Sequence[str | Path] = (),
    ) -> Run:
        """Run one of the project's playbooks by name, or another one by path; on other `sources` than `hosts.yml`."""
        inventory = self.write_inventory()
        given = [word for source in sources or (inventory,) for word in ("-i", source)]
        path = playbook if isinstance(playbook, Path) else PROJECT / "playbooks" / f"{playbook}.yml"
        done = subprocess.run(
            [BIN / "ansible-playbook", *given, path, *arguments],
            cwd=PROJECT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
                "ANSIBLE_NOCOLOR": "1",
                "COLUMNS": "1000",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._wait_for_the_lock()
        return Run(done.returncode, done.stdout)

    def _wait_for_the_lock(self) -> None:
        """Wait until what held the record's lock for a run that is over has seen so, and has removed it."""
        with contextlib.suppress(FileNotFoundError), self.registry.with_name("registry.lock").open("rb") as lock:
            if not Path(f"/proc/{json.loads(lock.read())['process']}").exists():
                fcntl.flock(lock, fcntl.LOCK_EX)

    def pid(self, host: str) -> int:
        """Process id of a host's node."""
        return int((self.root / host / "agent.pid").read_text())

    def kill(self, host: str) -> None:
        """End a host's node as a power cut would, and wait until it is gone."""
        gone = os.pidfd_open(self.pid(host))
        try:
            signal.pidfd_send_signal(gone, signal.SIGKILL)
            # A process is gone when its descriptor becomes readable.
            select.select([gone], [], [])
        finally:
            os.close(gone)

    def stop_node(self, host: str) -> None:
        """End a host's node as its service does, so that its peers know at once."""
        subprocess.run([BIN / "blixard", "stop", "--data-dir", self.root / host], check=True, capture_output=True)

    def stop(self) -> None:
        """End every node of the fleet, those of hosts that a test has taken out of the inventory too."""
        for pid_file in self.root.glob("*/agent.pid"):
            self.stop_node(pid_file.parent.name)

    def files(self) -> dict[str, bytes | None]:
        """Everything below the root but the inventory: content by path, null for what is no file."""
        found = {path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*")}
        return {
            name: path.read_bytes() if path.is_file() else None for name, path in found.items() if name != "hosts.yml"
        }

    def settled(self) -> dict[str, bytes | None]:
        """The same without what nodes write by themselves and what every check writes."""
        return {name: data for name, data in self.files().items() if not name.endswith(("agent.log", "report.json"))}
