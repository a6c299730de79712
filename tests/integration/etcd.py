# SPDX-License-Identifier: MIT
"""A real etcd on loopback, plain or with TLS, that a test fills, kills and starts again."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.integration.nodes import eventually

from blixard.sources.base import EtcdAccess

PROGRAM = shutil.which("etcd")


def free_tcp_ports(count: int) -> list[int]:
    """TCP ports of loopback that nobody has at this moment, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def needs_etcd() -> None:
    """Skip where there is no etcd; a CI without it fails."""
    if PROGRAM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs Debian's package etcd-server, see tools/make-services", pytrace=False)
        pytest.skip("needs Debian's package etcd-server, see tools/make-services")


@dataclass
class EtcdServer:
    """One etcd, with a folder of its own."""

    folder: Path
    port: int
    peer_port: int
    tls: tuple[str, ...] = ()
    token: str = "fleet"
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "log"

    @property
    def place(self) -> str:
        """What stands before the prefix in a location."""
        return f"{'etcds' if self.tls else 'etcd'}://localhost:{self.port}"

    def start(self) -> None:
        """Start it; returns when it answers."""
        scheme, peer = ("https" if self.tls else "http"), f"http://127.0.0.1:{self.peer_port}"
        command = [
            str(PROGRAM), "--name", "one", "--data-dir", str(self.folder / "data"),
            "--listen-client-urls", f"{scheme}://127.0.0.1:{self.port}",
            "--advertise-client-urls", f"{scheme}://localhost:{self.port}",
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"one={peer}", "--initial-cluster-token", self.token,
            "--log-level", "error", *self.tls,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": "/nowhere"})
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        return bool(self.tls) or "header" in self._try("kv/range", {"key": encoded("health")})

    def _try(self, method: str, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.call(method, wanted)
        except urllib.error.HTTPError as error:
            return {"header": {}} if error.code == 400 else {}  # it has users
        except OSError:
            return {}

    def kill(self) -> None:
        """End it at once, as a loss of power does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def wipe(self) -> None:
        """Take away all that it has; the next start makes another cluster."""
        shutil.rmtree(self.folder / "data")
        self.token += "'"

    def call(self, method: str, wanted: dict[str, Any], token: str | None = None) -> dict[str, Any]:
        """Call it, without TLS."""
        headers = {"Authorization": token} if token else {}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v3/{method}", json.dumps(wanted).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            said: dict[str, Any] = json.loads(answer.read())
        return said

    def put(self, key: str, value: bytes, **more: Any) -> int:
        """Put a value; returns the revision."""
        answer = self.call("kv/put", {"key": encoded(key), "value": encoded(value)}, **more)
        return int(answer["header"]["revision"])

    def remove(self, key: str, end: str | None = None) -> None:
        """Remove a key, or all from it to before `end`."""
        self.call("kv/deleterange", {"key": encoded(key), **({"range_end": encoded(end)} if end else {})})

    def keys(self, first: str, end: str) -> dict[str, bytes]:
        """Return what is in a range."""
        answer = self.call("kv/range", {"key": encoded(first), "range_end": encoded(end)})
        decode = base64.b64decode
        return {decode(each["key"]).decode(): decode(each.get("value", "")) for each in answer.get("kvs", [])}

    def add_users(self, user: str, password: str, prefix: str) -> None:
        """Have authentication on, with this user, who may do everything under the prefix."""
        for name, secret in (("root", "all"), (user, password)):
            self.call("auth/user/add", {"name": name, "password": secret})
        for role in ("root", "fleet"):
            self.call("auth/role/add", {"name": role})
        permission = {"permType": "READWRITE", "key": encoded(prefix + "/"), "range_end": encoded(prefix + "0")}
        self.call("auth/role/grant", {"name": "fleet", "perm": permission})
        self.call("auth/user/grant", {"user": "root", "role": "root"})
        self.call("auth/user/grant", {"user": user, "role": "fleet"})
        self.call("auth/enable", {})

    def token_of(self, user: str, password: str) -> str:
        """Return a token of a user."""
        return str(self.call("auth/authenticate", {"name": user, "password": password})["token"])


def encoded(data: str | bytes) -> str:
    """Bytes as the gateway has them."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


@contextmanager
def etcd_server(folder: Path, tls: tuple[str, ...] = ()) -> Iterator[EtcdServer]:
    """Run one until the block ends."""
    needs_etcd()
    folder.mkdir()
    port, peer_port = free_tcp_ports(2)
    server = EtcdServer(folder, port, peer_port, tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd for all tests of a file."""
    with etcd_server(tmp_path_factory.mktemp("etcd") / "one") as running:
        yield running


@pytest.fixture
def etcd(server: EtcdServer) -> EtcdServer:
    """The same, with nothing of the fleet."""
    server.remove("fleet/", "fleet0")
    return server


@pytest.fixture
def place(etcd: EtcdServer) -> str:
    """Where the fleet's record is."""
    return f"{etcd.place}/fleet"


def certificates(folder: Path) -> tuple[tuple[str, ...], EtcdAccess]:
    """Make an authority, and return etcd's options for certificates of both sides, and a client's files."""
    authority = trustme.CA()
    names = {"ca": folder / "ca.pem"}
    authority.cert_pem.write_to_path(str(names["ca"]))
    for who in ("localhost", "client.example"):
        certificate = authority.issue_cert(who)
        for kind, blob in (("key", certificate.private_key_pem), ("cert", certificate.cert_chain_pems[0])):
            path = folder / f"{who}.{kind}.pem"
            blob.write_to_path(str(path))
            path.chmod(0o600)
    options = (
        "--cert-file", str(folder / "localhost.cert.pem"), "--key-file", str(folder / "localhost.key.pem"),
        "--client-cert-auth", "--trusted-ca-file", str(names["ca"]),
    )  # fmt: skip
    access = EtcdAccess(
        ca_file=names["ca"], cert_file=folder / "client.example.cert.pem", key_file=folder / "client.example.key.pem"
    )
    return options, access
