# SPDX-License-Identifier: MIT
"""The node's data directory: made for this user alone, or refused when somebody else has a hand in it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from blixard.documents.account import user_name
from blixard.documents.data_dir_files import KEPT, KEY_FILE_NAME, Kept
from blixard.documents.files import OTHERS_WRITE, check_own, remove_leftovers
from blixard.errors import InputError

_KINDS = {"file": "a file", "socket": "a socket", "folder": "a folder"}


def make_data_dir(path: Path) -> None:
    """Make the data directory, for this user alone, or hold what is there against what it must be.

    Raises:
        InputError: it cannot be made, it or something in it is not this user's own, or others may write there.
    """
    try:
        for way in {path.absolute(), Path(os.path.realpath(path))}:
            _check_way(way)
        for folder in (*reversed(path.parents), path):
            _make(folder, 0o700 if folder == path else 0o755)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        mend = "choose another one with --data-dir, or give this user the right to write there"
        raise InputError(f"cannot be made: {error.strerror}", file=str(path), mend=mend) from None
    try:
        _check_folder(os.fstat(descriptor), path)
        remove_leftovers(path / KEY_FILE_NAME)
        for kept in KEPT:
            _check_kept(kept, path, descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode)
    except FileExistsError:
        pass  # also through a link that the operator made
    except OSError:
        if not folder.is_dir():  # such as one on a file system that is mounted read-only
            raise


def _check_way(path: Path) -> None:
    """Refuse a directory below one where everybody may write, unless root or this user made what leads to it there."""
    trusted = (0, os.geteuid())
    for folder in (*reversed(path.parents), path):
        try:
            above, status = folder.parent.stat(), folder.lstat()
        except FileNotFoundError:
            return
        if above.st_mode & stat.S_IWOTH and status.st_uid not in trusted:
            owner = user_name(status.st_uid)
            raise InputError(
                f"was made by {owner} where everybody may",
                file=str(folder),
                mend="choose a data directory that no other user can put another one in the place of",
            )


def _check_folder(status: os.stat_result, path: Path) -> None:
    # Root's will do: what may be written there is for root to say.
    if status.st_uid != 0:
        check_own(status, str(path), kind="a folder")
    elif status.st_mode & OTHERS_WRITE:
        inner = "name a folder in it with --data-dir, which the node makes for itself alone"
        raise InputError(
            f"has mode {stat.S_IMODE(status.st_mode):04o}, which lets others write there",
            file=str(path),
            mend=inner if os.geteuid() else f"chmod go-w {shlex.quote(str(path))}",
        )


def _check_kept(kept: Kept, path: Path, descriptor: int) -> None:
    """Hold what the node alone writes against what it must be; what it is given is checked when it is read."""
    if not kept.by_node:
        return
    try:
        status = os.stat(kept.name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot be looked at: {error.strerror}", file=str(path / kept.name)) from None
    forbidden = 0o077 if kept.content == "key" else OTHERS_WRITE
    check_own(status, str(path / kept.name), forbidden=forbidden, kind=_KINDS[kept.kind])
