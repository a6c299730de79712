# SPDX-License-Identifier: MIT
"""Working in a directory as the account that owns it.

Root in a directory of somebody else's is at its owner's mercy: a link there, or a name that is swapped in the right
moment, leads it to any file of the system. So it becomes that account first, and may then do no more than the account.
Standard library only, and cheap: every host pays for it in each run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from collections.abc import Iterator

from blixard.errors import InputError

_MAX_LINKS = 40
_NOBODY = 65534

_Place = str | os.PathLike[str]


@contextlib.contextmanager
def as_owner_of(folder: _Place, *, strict: bool = True) -> Iterator[None]:
    """For root: be the account that owns `folder` for the time of the work. For everybody else this does nothing.

    The account is that of the directory, or of the nearest one above it that is there. A link on the way that is not
    root's counts as its owner's word: then it is that account. The real user id stays root's, so that the account can
    neither stop nor trace this process.

    Args:
        folder: the directory; it need not be there.
        strict: refuse a directory of root's in which others may write.

    Raises:
        InputError: the way there is no way, root cannot become the account, or `strict` refuses.
    """
    account = _account(folder, strict=strict) if os.geteuid() == 0 else None
    if account is None:
        yield
        return
    uid, gid = account
    groups, own_gid = os.getgroups(), os.getegid()
    try:
        _become(uid, gid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_gid)
        os.setgroups(groups)


def user_name(number: int) -> str:
    """Return the name of an account, or its number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


class Walk:
    """Where a path led; root has followed no link but its own.

    Attributes:
        descriptor: of the last directory that is there, opened with O_PATH; whoever walked closes it.
        missing: the names below it that are not there.
        stranger: who owns what ended the way for root: a link of somebody else's, or something of theirs that is no
            directory; None where there was none.
    """

    def __init__(self, missing: list[str]) -> None:
        self.descriptor = _top()
        self.missing = missing
        self.stranger: int | None = None


def walk(folder: _Place) -> Walk:
    """Go to `folder` from the root of the file system, name by name, so that nothing can be swapped on the way.

    Raises:
        OSError: a directory on the way is not for this user, or was swapped just now.
    """
    way = Walk(_names(os.path.join(os.getcwd(), folder)))  # noqa: PTH109, PTH118  (one of these for each file of a look)
    try:
        links = 0
        while way.missing:
            name = way.missing[-1]
            try:
                status = os.stat(name, dir_fd=way.descriptor, follow_symlinks=False)
            except FileNotFoundError:
                break
            if stat.S_ISDIR(status.st_mode):
                _enter(way, name)
                continue
            if status.st_uid != 0 == os.geteuid():
                way.stranger = status.st_uid
            if way.stranger is not None or not stat.S_ISLNK(status.st_mode):
                break
            links += 1
            _follow(way, name, links)
    except BaseException:
        os.close(way.descriptor)
        raise
    way.missing.reverse()
    return way


def _top() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _names(path: str) -> list[str]:
    """Return the names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _enter(way: Walk, name: str) -> None:
    inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=way.descriptor)
    os.close(way.descriptor)
    way.descriptor = inner
    way.missing.pop()


def _follow(way: Walk, name: str, links: int) -> None:
    target = os.readlink(name, dir_fd=way.descriptor)
    if links > _MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
    way.missing.pop()
    way.missing += _names(target)
    if target.startswith("/"):
        os.close(way.descriptor)
        way.descriptor = _top()


def _account(folder: _Place, *, strict: bool) -> tuple[int, int] | None:
    """Return user and group of the account that root has to be in `folder`; None where it may stay root."""
    try:
        way = walk(folder)
    except OSError as error:
        # Not to be taken for "stay root": whoever owns a directory on the way can make this happen.
        raise InputError(f"cannot be gone to: {error.strerror}", file=os.fspath(folder)) from None
    try:
        status = os.fstat(way.descriptor)
    finally:
        os.close(way.descriptor)
    if way.stranger is not None:
        return way.stranger, _group_of(way.stranger, _NOBODY)
    if status.st_uid:
        return status.st_uid, _group_of(status.st_uid, status.st_gid)
    if strict and not way.missing and _open_to_others(status):
        mend = f"chmod go-w {os.fspath(folder)}"
        raise InputError("is root's, and others may write there", file=os.fspath(folder), mend=mend)
    return None


def _open_to_others(status: os.stat_result) -> bool:
    shared = 0o022 if status.st_gid else 0o002
    return bool(status.st_mode & shared) and not status.st_mode & stat.S_ISVTX


def _group_of(uid: int, wanted: int) -> int:
    """Return `wanted` where the account is in that group: a directory may be left with one that it is not in."""
    own = _groups_of(uid, wanted)
    return wanted if wanted in own else own[0]


def _groups_of(uid: int, wanted: int) -> list[int]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return [wanted or _NOBODY]  # an account without a name is in no list of groups
    return os.getgrouplist(entry.pw_name, entry.pw_gid)


def _become(uid: int, gid: int) -> None:
    try:
        os.setgroups(_groups_of(uid, gid))
        os.setegid(gid)
        os.seteuid(uid)
    except OSError as error:
        mend = "run this as that account"
        raise InputError(f"root cannot become user {uid} here: {error.strerror}", mend=mend) from None
