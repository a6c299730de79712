# SPDX-License-Identifier: MIT
"""fsspec's file systems, for reading and for writing: how they are opened, and what their errors say."""

from __future__ import annotations

import importlib
from typing import Any

from blixard.errors import InputError
from blixard.sources.urls import has_user, scheme_of, scrubbed

_PLAIN = frozenset({"ftp", "webhdfs", "webdav", "dav"})
"""Protocols that encrypt nothing, or not surely."""

_SFTP = frozenset({"sftp", "ssh"})

EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("abfs", "abfss", "az"), "azure"),
}
"""Schemes with an extra of this package's own, `blixard[NAME]`."""

_PACKAGES = {"smb": "smbprotocol"}
"""What the other schemes need besides `blixard[remote]`."""


def is_plain(url: str) -> bool:
    """Tell whether a server at this URL proves neither who it is nor that its answer arrives as it was sent."""
    return scheme_of(url) in _PLAIN


def open_at(url: str) -> tuple[Any, str]:
    """Return a file system of its own for a URL, and the path in it.

    Raises:
        InputError: the URL cannot be used.
        Exception: whatever the driver raises; see `trouble`.
    """
    if "::" in url:
        raise InputError("chains several URLs", mend="name one")
    scheme = scheme_of(url)
    if is_plain(url) and has_user(url):
        raise InputError("has a password, which this protocol would send for all to read", mend="use sftp")
    fsspec = importlib.import_module("fsspec")
    if scheme in _SFTP:
        strict = importlib.import_module("blixard.sources.sftp").SftpFiles
        return strict(**strict._get_kwargs_from_urls(url), skip_instance_cache=True), strict._strip_protocol(url)
    file_system, path = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    return file_system, path


def trouble(error: Exception, url: str, place: str, *, write: bool = False) -> InputError:
    """Return what a driver raised in one line, without what the URL has that is secret.

    Args:
        error: what was raised; each driver has kinds of its own.
        url: the URL that it was opened with.
        place: what was worked on, as it may be shown.
        write: it was to be written there.
    """
    if isinstance(error, InputError):
        return error.located(file=place)
    if isinstance(error, ImportError):
        mend = f"pip install {_wanted(error, url)}"
        return InputError("needs a package that is not installed", file=place, mend=mend)
    if isinstance(error, FileNotFoundError):
        return InputError("is not there", file=place, mend="make it first" if write else "what it said last is kept")
    # Azure's go on with the whole answer.
    said = scrubbed(str(error).strip().partition("\n")[0], url) or type(error).__name__
    return InputError(f"cannot be {'written' if write else 'read'}: {said}", file=place)


def _wanted(error: ImportError, url: str) -> str:
    """Return what pip needs to be told."""
    scheme = scheme_of(url) or ""
    if scheme in EXTRAS:
        return f"'blixard[{EXTRAS[scheme]}]'"
    missing = error.name or getattr(error.__cause__, "name", None)
    driver = _PACKAGES.get(scheme)
    if missing == "fsspec":
        return f"'blixard[remote]' {driver or ''}".rstrip()
    return driver or missing or "what the driver needs"


def read(file_system: Any, path: str, most: int, size: object = None) -> bytes:
    """Return the bytes of a file of at most `most`, which is refused by its `size` where that is known.

    Raises:
        InputError: it is larger.
    """
    if not (isinstance(size, int) and size > most):
        with file_system.open(path, "rb") as file:
            data: bytes = file.read(most + 1)
        if len(data) <= most:
            return data
    raise InputError(f"is too large: more than {most} bytes")
