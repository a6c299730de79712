# SPDX-License-Identifier: MIT
"""Files over SFTP, from a server whose key is known: fsspec's own driver takes any key of a server it never met."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem
from paramiko.sftp import CMD_EXTENDED, CMD_VERSION

from blixard.errors import InputError

_TIMEOUT = 8.0
"""Seconds for each step of the connection, and for each answer after that; less than a source has for one look."""

_SYSTEM = Path("/etc/ssh/ssh_known_hosts")

_quiet = logging.getLogger("paramiko.transport")
_quiet.setLevel(logging.CRITICAL)  # each failure is told in one line, once, by whoever asked


class SftpFiles(SFTPFileSystem):  # type: ignore[misc] # it has no type information
    """As fsspec's, but for the server's key, and for time limits.

    The key must be in `known_hosts` (the driver's option of that name, `FSSPEC_SFTP_KNOWN_HOSTS`), else in the user's
    `~/.ssh/known_hosts` or the system's `/etc/ssh/ssh_known_hosts`. Nothing is ever added to these.
    """

    def __init__(self, host: str, *, known_hosts: str | None = None, **options: Any) -> None:
        """`options`: as of paramiko's `SSHClient.connect`, such as `username`, `port` and `key_filename`."""
        self._known_hosts = known_hosts
        super().__init__(host, **options)

    def _connect(self) -> None:
        client = paramiko.SSHClient()
        for path in _existing(self._known_hosts):
            client.load_system_host_keys(str(path))
        client.set_missing_host_key_policy(_Unknown())
        limits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), _TIMEOUT)
        try:
            client.connect(self.host, **{**limits, **self.ssh_kwargs})
            self.ftp = _Client.from_transport(client.get_transport())
        except paramiko.BadHostKeyException as error:
            client.close()
            reason = f"has another host key than known_hosts says: {_fingerprint(error.key)}"
            mend = "if the server has a new key, replace its line in known_hosts"
            raise InputError(reason, mend=mend) from None
        except BaseException:
            client.close()
            raise
        self.client = client
        self.ftp.get_channel().settimeout(_TIMEOUT)

    def write(self, path: str, data: bytes, *, sync: bool = False, is_new: bool = False) -> None:
        """Write a file as a whole.

        Args:
            path: where.
            data: all of it.
            sync: return when it is on the server's disk, where the server can say so (`fsync@openssh.com`).
            is_new: only where there is no file of this name yet.

        Raises:
            FileExistsError: `is_new`, and there is one.
            OSError: the server cannot write it.
        """
        try:
            file = self.ftp.open(path, "wx" if is_new else "w")
        except OSError as error:
            # The protocol has no code for this.
            if is_new and error.errno is None and self.exists(path):
                raise FileExistsError(path) from None
            raise
        with file:
            file.write(data)
            file.flush()
            if sync and _FSYNC in self.ftp.extensions:
                self.ftp._request(CMD_EXTENDED, _FSYNC, file.handle)

    def replace(self, path: str, by: str) -> None:
        """Have the file `by` at `path` in one step, whatever was there.

        Raises:
            InputError: the server cannot do that.
            OSError: it did not.
        """
        if _RENAME in self.ftp.extensions:
            self.ftp.posix_rename(by, path)
            return
        try:
            self.ftp.rename(by, path)  # which some servers do in one step, too
        except OSError as error:
            if error.errno is not None:
                raise
            mend = "use one that has posix-rename, such as OpenSSH's"
            raise InputError("the server cannot replace a file in one step", mend=mend) from None


_FSYNC, _RENAME = "fsync@openssh.com", "posix-rename@openssh.com"
_MAX_EXTENSIONS = 100


class _Client(paramiko.SFTPClient):  # type: ignore[misc] # likewise
    """Knows which extensions the server has, which paramiko passes over."""

    extensions: frozenset[str] = frozenset()

    def _read_packet(self) -> tuple[int, bytes]:
        kind, data = super()._read_packet()
        if kind == CMD_VERSION:
            self.extensions = announced(data)
        return kind, data


def announced(data: bytes) -> frozenset[str]:
    """Return the names of the extensions in a server's first message, which follow a number of four bytes."""
    message = paramiko.Message(data[4:])
    names: set[str] = set()
    while message.get_remainder() and len(names) < _MAX_EXTENSIONS:
        names.add(message.get_string().decode(errors="replace"))
        message.get_string()
    return frozenset(names)


class _Unknown(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # likewise
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Refuse it."""
        raise InputError(
            f"has a host key that is not in known_hosts: {_fingerprint(key)}",
            mend=f"compare it with the server's own, then add what `ssh-keyscan {_scanned(hostname)}` prints",
        )


def _scanned(hostname: str) -> str:
    host, _, port = hostname.removeprefix("[").partition("]:")
    return f"-p {port} {host}" if port else hostname


def _fingerprint(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _existing(known_hosts: str | None) -> list[Path]:
    """Return the files with host keys that are there.

    Raises:
        InputError: one is named, and is not there.
    """
    if known_hosts is None:
        paths = [_path("~/.ssh/known_hosts"), _SYSTEM]
        return [path for path in paths if os.access(path, os.R_OK)]
    path = _path(known_hosts)
    if not os.access(path, os.R_OK):
        raise InputError("cannot be read", file=str(path), mend="name a known_hosts file with the server's key")
    return [path]


def _path(text: str) -> Path:
    # Not Path.expanduser, which raises for an account that has no home.
    return Path(os.path.expanduser(text))  # noqa: PTH111
