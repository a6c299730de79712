# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for hosts that nobody has ten thousand of: it answers as the package does on a host whose node runs as wanted.

For bench/controller.py alone, which measures the controller. Entry and key of each host were made and signed before;
the rest follows from what the controller asks.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
import typing as t
from pathlib import Path

from ansible.plugins.connection import ConnectionBase

from blixard.agent.check_sample import parse_sample, sample_size

DOCUMENTATION = """
name: recorded
short_description: Answers of a converged host, for the bench
description: [See bench/controller.py.]
author: Blixard Fleet contributors (!UNKNOWN)
options:
  room:
    description: Folder of the bench, with an entry for each host in C(entries).
    type: path
    required: true
    vars:
      - name: bench_room
  host:
    description: Name of the host.
    type: str
    vars:
      - name: inventory_hostname
"""

Json = dict[str, t.Any]


class Connection(ConnectionBase):
    """A host of the bench."""

    transport = "recorded"
    has_pipelining = True

    def _connect(self) -> Connection:
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Answer a command of the package, and the one that makes a folder for a file; every other one does nothing."""
        if folder := re.search(r"echo (ansible-tmp-[\w.-]+)=", cmd):
            return 0, f"{folder[1]}=/nowhere/{folder[1]}\n".encode(), b""
        words = shlex.split(shlex.split(cmd)[-1])
        if "blixard.fleet.host" not in words:
            return 0, b"", b""
        operation, options = words[words.index("blixard.fleet.host") + 1 :][:2]
        room, host = Path(self.get_option("room")), str(self.get_option("host"))
        answer = {"look": _look, "put": _put, "check": _check, "refresh": _refresh}[operation]
        said = answer(room, json.loads((room / "entries" / f"{host}.json").read_text()), json.loads(options))
        return 0, json.dumps(said).encode() + b"\n", b""

    def put_file(self, in_path: str, out_path: str) -> None:
        """Take a file, and forget it."""

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Give none."""

    def close(self) -> None:
        """Part."""


def _look(room: Path, entry: Json, asked: Json) -> Json:
    config = hashlib.sha256(asked["config"].encode()).hexdigest()
    peers = room / ".blixard" / "discovery-peers.json"
    digests = {"config": config, "peers": _digest(peers), **asked["expected"]}
    own = {"owner": "blixard", "group": "blixard", "mtime": 1.0}
    files: Json = {name: {"kind": "absent"} for name in asked["paths"]}
    files |= {name: {"kind": "file", "mode": "0644", "sha256": sha256, **own} for name, sha256 in digests.items()}
    files["config"]["mode"] = "0640"
    files["enabled"] = {"kind": "link", "mode": "0777", "sha256": None, **own}
    files["data_dir"] = {"kind": "directory", "mode": "0700", "sha256": None, **own}
    node = {"node_id": entry["cluster_node_id"], "iroh_node_id": entry["iroh_node_id"], "cluster": "blixard"}
    agent = {"state": "running", **node, "version": "1", "config_sha256": config, "started": time.time()}
    key = {"path": "", "state": "present", "owner": "blixard", "group": "blixard"}
    host = {"systemd": True, "uid": 0}
    seen = {"entry": entry, "entry_source": "agent", "config_sha256": config, "key": key}
    return {**seen, "agent": agent, "files": files, "host": host, "version": "1"}


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _put(_: Path, __: Json, ___: Json) -> Json:
    return {"changed": True}


def _refresh(_: Path, __: Json, ___: Json) -> Json:
    return {"running": True, "peers": [], "problems": []}


def _check(room: Path, entry: Json, asked: Json) -> Json:
    """Reach everybody who is to be checked, as on a good day."""
    own = entry["cluster_node_id"]
    nodes = int((room / "nodes").read_text())
    edge = {"reached": True, "id_matched": True, "admitted": True, "path": "direct", "rtt_ms": 0.5, "attempts": 1}
    edge |= {"from": own, "waited_s": 0.01, "state": "connected", "error": None}
    others = range(own, own + sample_size(parse_sample(asked["sample"]), nodes))
    edges = [{**edge, "to": other % nodes + 1} for other in others]
    node = {"node_id": own, "iroh_node_id": entry["iroh_node_id"], "agent": "running", "sample": None}
    return {"report": {"cluster": "blixard", "nodes": [node], "edges": edges, "summary": {}}}
