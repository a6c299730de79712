# SPDX-License-Identifier: MIT
"""Files: read within a limit, written in one step, and, where it matters, refused unless they are this user's own."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from blixard.documents.account import user_name
from blixard.errors import InputError

_PART = ".part"

_TEMPORARY = re.compile(r"(\..*\.)[a-z0-9_]+" + re.escape(_PART), re.DOTALL)

_Settle = Callable[[Path, Path], object]
"""Gives the finished temporary file (first) its name (second)."""

OTHERS_WRITE = 0o022
"""Mode bits that let somebody else write."""


def read_limited(path: str | os.PathLike[str], limit: int, *, forbidden: int = 0, own: bool = False) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Opened without blocking, so that a FIFO or a device is refused instead of waited for; its kind, mode and
    size are looked at before the first byte is read.

    Args:
        path: the file; symbolic links are followed.
        limit: most bytes to read.
        forbidden: mode bits that it must not have, such as 0o077 for a secret.
        own: take only a file of this user's that has no other name, and follow no link.

    Raises:
        InputError: it is missing, cannot be read, is no regular file, is larger than `limit`, has a
            forbidden mode, or is not this user's own.
    """
    name = os.fspath(path)
    try:
        if own:
            descriptor = open_own(path, forbidden=forbidden)
        else:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            _check_status(status, limit, forbidden, name)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                # No more room than the file needs; what it has grown by meanwhile is read after that.
                data = file.read(status.st_size + 1)
                if len(data) > status.st_size:
                    data += file.read(limit + 1 - len(data))
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise InputError("does not exist", file=name) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {_reason(error)}", file=name) from None
    if len(data) > limit:
        raise InputError(f"is too large: it grew beyond {limit} bytes while it was read", file=name)
    return data


def write_atomic(
    path: str | os.PathLike[str], data: bytes, mode: int = 0o600, *, follow: bool = True, group: int | None = None
) -> None:
    """Replace the file at `path` with `data`, or leave it as it was; never anything between.

    The data goes to a new file in the same folder, is synced, and renamed over the old one; then the folder
    is synced. What earlier, killed writes left beside it is removed first. A symbolic link is followed: the
    file that it names is replaced and the link stays; without `follow` it is the link that is replaced. It never has
    the `mode` without the `group`, by number, where one is given.

    Raises:
        InputError: the folder is missing or cannot be written.
    """
    _write(path, data, mode, Path.replace, follow=follow, group=group)


def write_all(files: Mapping[Path, bytes], mode: int = 0o600) -> None:
    """Replace each of many files as `write_atomic` does; a folder is looked through and synced once, not for each.

    Raises:
        InputError: a folder is missing or cannot be written; files before that one are written.
    """
    targets = {Path(os.path.realpath(path)): path for path in files}
    folders: dict[Path, set[str]] = {}
    for target in targets:
        folders.setdefault(target.parent, set()).add(_stem(target))
    path = next(iter(files), Path())  # of a folder that is missing, the first file is named
    try:
        for folder, stems in folders.items():
            _sweep(folder, stems)
        for target, path in targets.items():
            _put(target, files[path], mode, None, Path.replace)
        for folder in folders:
            sync_folder(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written: {_reason(error)}", file=str(path)) from None


def create_atomic(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """Make the file at `path`, whole or not at all; never write over one.

    Raises:
        InputError: there is something at `path` already, or its folder is missing or cannot be written.
    """
    try:
        # Unlike a rename, a link refuses a name that is taken, be it by a link that leads nowhere.
        _write(path, data, mode, os.link, follow=False)
    except FileExistsError:
        raise InputError(
            "is there already and is not written over", file=os.fspath(path), mend="move it away first"
        ) from None


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what writes of `path` left beside it that were killed: one of them may be another name of the file."""
    with contextlib.suppress(OSError):
        _sweep(Path(path).parent, {_stem(Path(path))})


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    path: str | os.PathLike[str], data: bytes, mode: int, settle: _Settle, *, follow: bool, group: int | None = None
) -> None:
    try:
        target = Path(os.path.realpath(path) if follow else path)
        _sweep(target.parent, {_stem(target)})
        _put(target, data, mode, group, settle)
        sync_folder(target.parent)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written: {_reason(error)}", file=os.fspath(path)) from None


def _put(target: Path, data: bytes, mode: int, group: int | None, settle: _Settle) -> None:
    descriptor, temporary = _temporary(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if group is not None:
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            settle(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> tuple[int, Path]:
    """Make a temporary file beside `target`, locked for as long as it is open, so that no sweep takes it."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_stem(target), suffix=_PART, dir=target.parent)
        with contextlib.suppress(OSError):  # a file system without locks has no sweeps either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # a sweep was there between making and locking


def _sweep(folder: Path, stems: Collection[str]) -> None:
    """Remove the temporary files in `folder` that begin with one of `stems` and that no writer holds any more."""
    with os.scandir(folder) as found:
        parts = [match for item in found if (match := _TEMPORARY.fullmatch(item.name))]
    for path in [folder / match[0] for match in parts if match[1] in stems]:
        with contextlib.suppress(OSError):
            _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


def _stem(target: Path) -> str:
    # Cut, so that the temporary name stays within 255 bytes also for the longest target name.
    return "." + os.fsdecode(os.fsencode(target.name)[:200]) + "."


def _check_status(status: os.stat_result, limit: int, forbidden: int, name: str) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"is {file_type(status.st_mode)}, not a file", file=name)
    if mode & forbidden:
        raise InputError(
            f"has mode {mode:04o}, which lets others use it",
            file=name,
            mend=f"chmod {mode & ~forbidden:04o} {name}",
        )
    if status.st_size > limit:
        raise InputError(f"is too large: {status.st_size} bytes, at most {limit} are read", file=name)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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
