# SPDX-License-Identifier: MIT
"""Files that are this user's own: opened without following a link, and refused when they are anybody else's."""

from __future__ import annotations

import errno
import os
import shlex
import stat

from blixard.documents.account import user_name
from blixard.errors import InputError

OTHERS_WRITE = 0o022
"""Mode bits that let somebody else write."""


def open_own(path: str | os.PathLike[str], flags: int = os.O_RDONLY, *, forbidden: int = OTHERS_WRITE) -> int:
    """Open a regular file of this user's that has this one name, and return its descriptor.

    Nothing is waited for, so a FIFO is refused like a link, a device or a folder.

    Args:
        path: the file.
        flags: as of os.open; O_CREAT makes it 0600.
        forbidden: mode bits that it must not have.

    Raises:
        InputError: it is not of this kind, with what to do about it.
        OSError: it cannot be opened.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _explain(name, error)
        raise
    try:
        check_own(os.fstat(descriptor), name, forbidden=forbidden)
    except InputError:
        os.close(descriptor)
        raise
    return descriptor


def check_own(status: os.stat_result, name: str, *, forbidden: int = OTHERS_WRITE, kind: str = "a file") -> None:
    """Hold what stands at `name` against what this user's own file, socket or folder must be.

    Args:
        status: of what stands there, links not followed.
        name: what to call it in errors.
        forbidden: mode bits that it must not have.
        kind: `a file`, `a socket` or `a folder`.

    Raises:
        InputError: it is of another kind or of somebody else's, has another name besides, or a forbidden mode.
    """
    shown, found = shlex.quote(name), file_type(status.st_mode)
    if found != kind:
        raise InputError(f"is {found}, not {kind}", file=name, mend=f"move it away: mv {shown} {shown}.old")
    user = os.geteuid()
    if status.st_uid != user:
        reason = f"belongs to {user_name(status.st_uid)}, and not to {user_name(user)}, as whom this runs"
        raise InputError(reason, file=name, mend=f"chown {user_name(user)} {shown}")
    if kind == "a file" and status.st_nlink > 1:
        mend = f"give it a content of its own: cp -p {shown} {shown}.copy && mv {shown}.copy {shown}"
        raise InputError(f"has {status.st_nlink} names, and may be changed under each", file=name, mend=mend)
    mode = stat.S_IMODE(status.st_mode)
    if mode & forbidden:
        mend = f"chmod {mode & ~forbidden:04o} {shown}"
        raise InputError(f"has mode {mode:04o}, which lets others use it", file=name, mend=mend)


def file_type(mode: int) -> str:
    """Return what a file of this mode is, in words."""
    tests = (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((words for test, words in tests if test(mode)), "a device")


def _explain(name: str, error: OSError) -> None:
    """Raise InputError where the kernel's word for it would not help: it does not open links, sockets and the like."""
    if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
        check_own(os.lstat(name), name)
