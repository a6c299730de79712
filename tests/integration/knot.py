# SPDX-License-Identifier: MIT
"""A real DNS server (Knot) on loopback, unprivileged, with a zone that a test changes while it runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.integration.nodes import eventually
from tests.ports import free_port

KNOT = "/usr/sbin/knotd"
ZONE = "fleet.test."
KEY_NAME, KEY_SECRET = "publisher.", "Zm9yIHRoZSB0ZXN0cyBhbG9uZSwgb24gbG9vcGJhY2s="
START = 30.0


def needs_knot() -> None:
    """Skip where there is no Knot; a CI without it fails."""
    if not Path(KNOT).exists():
        if os.environ.get("CI") == "true":
            pytest.fail("needs Debian's package knot, see tools/make-services", pytrace=False)
        pytest.skip("needs Debian's package knot, see tools/make-services")


@dataclass
class Knot:
    """A running server, authoritative for `ZONE`."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    serial: int = 1
    process: subprocess.Popen[bytes] | None = None

    @property
    def location(self) -> str:
        """The zone at this server, as a location."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"dns://{host}:{self.port}/{ZONE}"

    @property
    def key_file(self) -> Path:
        """The key with which updates are signed, in the form of BIND and nsupdate."""
        return self.folder / "update.key"

    def start(self, records: Iterable[str] = ()) -> None:
        """Serve the zone with these records, each as a line of a zone file."""
        storage = self.folder / "storage"
        storage.mkdir(exist_ok=True)
        self._write(records)
        self.key_file.write_text(f'key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{KEY_SECRET}"; }};\n')
        self.key_file.chmod(0o600)
        # A port that nobody has over UDP may be taken over TCP, and the server wants both.
        while not self._run(storage):
            self.port = free_port()

    def _run(self, storage: Path) -> bool:
        """Start it, and return when it serves; False when its port is taken."""
        config, log = self.folder / "knot.conf", self.folder / "knot.log"
        config.write_text(
            f"""
server:
    rundir: "{self.folder}"
    listen: {self.host}@{self.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{storage}"
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {KEY_SECRET}
acl:
  - id: update
    key: {KEY_NAME}
    action: [update, transfer]
zone:
  - domain: {ZONE}
    storage: "{self.folder}"
    file: fleet.zone
    acl: update
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
"""
        )
        with log.open("wb") as out:
            self.process = subprocess.Popen([KNOT, "-c", str(config)], stdout=out, stderr=subprocess.STDOUT)
        ended = self.process.poll
        eventually(lambda: "server started" in log.read_text() or ended() is not None)
        said = log.read_text()
        assert "server started" in said or "address already in use" in said, said
        return "server started" in said

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def set(self, records: Iterable[str]) -> None:
        """Serve these records in the place of the former ones; returns when they are served."""
        self._write(records)
        reload = ["/usr/sbin/knotc", "-s", str(self.folder / "knot.sock"), "-b", "zone-reload", ZONE]
        subprocess.run(reload, check=True, capture_output=True, timeout=START)

    def _write(self, records: Iterable[str]) -> None:
        self.serial += 1000  # beyond those of the updates since
        soa = f"@ 60 SOA ns admin {self.serial} 3600 600 86400 5\n@ 60 NS ns\nns 60 A 127.0.0.1\n"
        (self.folder / "fleet.zone").write_text(f"$ORIGIN {ZONE}\n$TTL 60\n{soa}" + "".join(f"{r}\n" for r in records))


@contextmanager
def running_knot(folder: Path, host: str = "127.0.0.1") -> Iterator[Knot]:
    """Give a server that is ended at the end of the block; the caller starts it."""
    needs_knot()
    knot = Knot(folder, host)
    try:
        yield knot
    finally:
        knot.stop()
