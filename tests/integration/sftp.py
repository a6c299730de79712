# SPDX-License-Identifier: MIT
"""A real sshd on loopback, run by whoever runs the tests, with keys of its own and a folder to serve."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True)
class Sshd:
    """A running server.

    Attributes:
        url: of the folder that it serves, `sftp://USER@localhost:PORT/PATH`.
        folder: that folder, past the server.
        home: the home of the client, with `.ssh/known_hosts` and a key that the server takes.
    """

    url: str
    folder: Path
    home: Path

    @property
    def known_hosts(self) -> Path:
        """The client's known_hosts, with the server's key."""
        return self.home / ".ssh/known_hosts"


def new_key(path: Path) -> str:
    """Make a key pair; returns the public half as a line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, stdin=subprocess.DEVNULL)
    return path.with_name(f"{path.name}.pub").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Sshd]:
    """A server that serves an empty folder, and a home with what its client needs; the parameter is for its SFTP."""
    if SSHD is None:
        pytest.skip("there is no sshd: apt-get install openssh-server")
    home, folder, own = (tmp_path / name for name in ("home", "served", "sshd"))
    for each in (home / ".ssh", folder, own):
        each.mkdir(parents=True)
    port = _free_port()
    host_key = new_key(own / "host_key")
    (own / "authorized_keys").write_text(new_key(home / ".ssh/id_ed25519"))
    (home / ".ssh/known_hosts").write_text(f"[localhost]:{port} {host_key}")
    (own / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nPidFile none\n"
        f"HostKey {own}/host_key\nAuthorizedKeysFile {own}/authorized_keys\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"Subsystem sftp internal-sftp {getattr(request, 'param', '')}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where a server of root's locks its other half up
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    command = [SSHD, "-D", "-e", "-f", str(own / "config")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "Server listening" in line:
                    break
            else:
                pytest.fail(f"sshd ended with {process.wait()}")
            yield Sshd(f"sftp://{getpass.getuser()}@localhost:{port}{folder}", folder, home)
        finally:
            process.terminate()
