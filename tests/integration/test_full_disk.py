# SPDX-License-Identifier: MIT
"""A real node on a real full disk: it runs, says what it could not write, and writes it when there is room."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.integration.nodes import Node, blixard, eventually

from blixard.agent.control_client import ask
from blixard.documents.files import write_atomic
from blixard.documents.peers_file import build_peers, write_peers
from blixard.documents.registry_file import read_registry
from blixard.trust.keys import SecretKey
from blixard.trust.peers_signature import sign_peers

pytestmark = pytest.mark.root


class Disk:
    """A small file system, and the file that fills it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as filler:
            for size in (4096, 1):
                try:
                    while filler.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", path], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def settings(path: Path, data_dir: Path, **changes: Any) -> Path:
    config = {"node_id": 1, "bind": "127.0.0.1:0", "data_dir": str(data_dir), "admission": "known", **changes}
    path.write_text(json.dumps(config))
    return path


def not_written(data_dir: Path) -> list[str]:
    lines: list[str] = ask(data_dir, "status")["not_written"]
    return lines


def test_a_node_that_starts_on_a_full_disk_runs_and_all_is_there_after_room_was_made(
    disk: Disk, tmp_path: Path
) -> None:
    data_dir = disk.path / "n1"
    Node(1, tmp_path).make_identity()
    (tmp_path / "data" / "node1").rename(tmp_path / "given")
    data_dir.mkdir(mode=0o700)
    write_atomic(data_dir / "iroh-secret-key", (tmp_path / "given" / "iroh-secret-key").read_bytes())
    fleet, peers = SecretKey.generate(), tmp_path / "peers.json"
    write_peers(peers, build_peers([Node(2, tmp_path).make_identity()]))
    now = datetime.now(timezone.utc)
    write_atomic(
        tmp_path / "peers.json.sig",
        sign_peers(peers.read_bytes(), fleet, cluster="blixard", previous_seq=None, now=now),
    )
    config = settings(tmp_path / "config.json", data_dir, peers_file=str(peers), trusted_signers=[fleet.public().hex])
    disk.fill()

    started = blixard("node", "--config", config, "--detach")
    assert started.code == 0, started.err
    try:
        lines = not_written(data_dir)
        files = ("agent.pid", "node-registry.json", "seen-signatures.json", "remembered-peers")
        for name in (*files, "log: cannot be written: No space left on device"):
            assert any(name in line for line in lines), (name, lines)
        assert "cannot write, and tries again: " in blixard("status", "--data-dir", data_dir).out
        assert blixard("check", "--data-dir", data_dir, "--timeout", 1).code == 1

        disk.make_room()
        eventually(lambda: not not_written(data_dir))
        assert int((data_dir / "agent.pid").read_text()) == ask(data_dir, "info")["pid"]
        assert read_registry(data_dir / "node-registry.json").node_id == 1
        assert (data_dir / "seen-signatures.json").stat().st_size
        assert len(list((data_dir / "remembered-peers").iterdir())) == 1
        log = (data_dir / "agent.log").read_text()
        assert "not written, it is tried again" in log
        assert "node ready" in log
        assert "lost" not in log
        eventually(lambda: "all that could not be written is written" in (data_dir / "agent.log").read_text())
    finally:
        blixard("stop", "--data-dir", data_dir)


def test_an_address_that_changes_while_the_disk_is_full_is_in_the_registry_file_after_room_was_made(
    disk: Disk, tmp_path: Path
) -> None:
    data_dir = disk.path / "n1"
    config = settings(tmp_path / "config.json", data_dir)
    assert blixard("node", "--config", config, "--detach").code == 0
    try:
        registry = data_dir / "node-registry.json"
        before = registry.read_bytes()
        disk.fill()
        settings(config, data_dir, advertise={"extra": ["192.0.2.1:7001"]})
        assert ask(data_dir, "reload") == {"changed": ["advertise"]}
        assert registry.read_bytes() == before
        (line,) = (line for line in not_written(data_dir) if not line.startswith("log:"))
        assert line == f"{registry}: cannot be written: No space left on device"

        disk.make_room()
        eventually(lambda: not not_written(data_dir))
        assert "192.0.2.1:7001" in read_registry(registry).direct_addresses
    finally:
        blixard("stop", "--data-dir", data_dir)
    assert [each.name for each in disk.path.iterdir()] == ["n1"]
