# SPDX-License-Identifier: MIT
"""A node's data directory, and what is in it, given to the account that the node runs as.

The directory may belong to anybody when this begins, such as an account that does not mean well. So nothing is done
by path: everything is opened without following a link, looked at, and given by its descriptor. What is not known by
name is left alone, and what is known by name but is not what a node keeps under it is refused.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from blixard.documents.account import user_name, walk
from blixard.documents.data_dir_files import KEPT, Kept
from blixard.documents.files import file_type
from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.model.limits import MAX_KEY_BYTES, MAX_PEERS_BYTES
from blixard.trust.keys import KEY_FORM

MODE = 0o700
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Account:
    """Who is to own it: user and group by number; None leaves one as it is."""

    def __init__(self, owner: str | None, group: str | None) -> None:
        """Take names or numbers.

        Raises:
            InputError: there is no such user or group here.
        """
        self._words = f"{owner or ''}{f':{group}' if group else ''}"
        self.uid = None if owner is None else _number(owner, lambda name: pwd.getpwnam(name).pw_uid, "user")
        self.gid = None if group is None else _number(group, lambda name: grp.getgrnam(name).gr_gid, "group")

    def __str__(self) -> str:
        return self._words

    def owns(self, status: os.stat_result) -> bool:
        """Tell whether it is theirs already."""
        return self.uid in (None, status.st_uid) and self.gid in (None, status.st_gid)

    def give(self, descriptor: int) -> None:
        """Make it theirs."""
        os.fchown(descriptor, -1 if self.uid is None else self.uid, -1 if self.gid is None else self.gid)


def _number(name: str, look_up: Callable[[str], int], kind: str) -> int:
    try:
        return look_up(name)
    except KeyError:
        if name.isdecimal():
            return int(name)
        raise InputError(f"there is no {kind} {name} on this host") from None


def give_data_dir(path: Path, account: Account, *, check: bool) -> list[str]:
    """Have a data directory at `path` that is the account's own, with all that a node keeps there, and mode 0700.

    The key is given last: a run that broke off finds by it what is left to do.

    Args:
        path: the directory; made when it is missing. A link that root or this user made is followed.
        account: who is to own it.
        check: only say whether anything would change.

    Returns:
        The names of what was given, or would be; `.` is the directory itself, made, given or narrowed.

    Raises:
        InputError: something there is not what a node keeps under this name, or cannot be given.
    """
    try:
        with _opened(path, make=not check) as (directory, made):
            if directory is None:
                return ["."]
            if account.uid and _holds_python(directory):
                mend = "keep it elsewhere: set blixard_venv"
                raise InputError("holds the Python that root runs, and is not given away", file=str(path), mend=mend)
            hand = _Hand(directory, path, account, check=check)
            *rest, key = KEPT
            given = [kept.name for kept in rest if hand.give(kept)]
            given += ["."] if hand.give_directory(made=made) or made else []
            return given + ([key.name] if hand.give(key) else [])
    except OSError as error:
        raise InputError(f"cannot be given to its account: {error.strerror}", file=str(path)) from None


def give_key(path: Path, account: Account, *, check: bool) -> bool:
    """Have the key file at `path` belong to the account; return whether that was changed, or would be.

    Raises:
        InputError: it is no key, or has another name besides.
    """
    try:
        with _opened(path.parent, make=False) as (directory, _):
            hand = _Hand(directory or 0, path.parent, account, check=check)
            return directory is not None and hand.give(KEPT[-1]._replace(name=path.name))
    except OSError as error:
        raise InputError(f"cannot be given to its account: {error.strerror}", file=str(path)) from None


@contextlib.contextmanager
def _opened(path: Path, *, make: bool) -> Iterator[tuple[int | None, bool]]:
    """Give a descriptor of a directory, None where it is not there and not to be made; and whether it was made now."""
    way = walk(path)
    try:
        if way.stranger is not None:
            mend = "remove what stands there in its place"
            raise InputError(f"the way there is {user_name(way.stranger)}'s to change", file=str(path), mend=mend)
        made = bool(way.missing) and make
        for number, name in enumerate(way.missing if make else (), start=1):
            os.mkdir(name, MODE if number == len(way.missing) else 0o755, dir_fd=way.descriptor)
            inner = os.open(name, _DIRECTORY, dir_fd=way.descriptor)
            os.close(way.descriptor)
            way.descriptor = inner
        if way.missing and not make:
            yield None, False
            return
        directory = os.open(".", _DIRECTORY, dir_fd=way.descriptor)
    finally:
        os.close(way.descriptor)
    try:
        yield directory, made
    finally:
        os.close(directory)


def _holds_python(directory: int) -> bool:
    """Tell whether the Python that runs now is below a directory, whatever either is called just now."""
    prefix = Path(os.path.realpath(sys.prefix))
    return any(os.path.samestat(os.fstat(directory), folder.stat()) for folder in (prefix, *prefix.parents))


class _Hand:
    """Gives what is in one directory to one account."""

    def __init__(self, directory: int, path: Path, account: Account, *, check: bool, owner: int | None = None) -> None:
        """`owner`: whose the files were until now, for a folder that is given already."""
        self._directory = directory
        self._path = path
        self._account = account
        self._check = check
        self._owner = os.fstat(directory).st_uid if owner is None else owner

    def give_directory(self, *, made: bool) -> bool:
        """Give the directory itself, with mode 0700; return whether that changed anything."""
        status = os.fstat(self._directory)
        narrow = stat.S_IMODE(status.st_mode) != MODE
        if not self._account.owns(status):
            self._may_be_given(made=made)
            if not self._check:
                self._account.give(self._directory)
        elif not narrow:
            return False
        if not self._check:
            os.fchmod(self._directory, MODE)
        return True

    def _may_be_given(self, *, made: bool) -> None:
        """Refuse a directory that the owner of the one above it may have put there."""
        above = os.stat("..", dir_fd=self._directory).st_uid
        if above not in (0, os.geteuid()) and not (made and not _names(self._directory)):
            mend = f"if it is the right one, give it by hand: chown {self._account} {shlex.quote(str(self._path))}"
            raise InputError(f"is where {user_name(above)} can put what it likes", file=str(self._path), mend=mend)

    def give(self, kept: Kept) -> bool:
        """Give what a node keeps under one name; return whether that changed anything."""
        try:
            status = os.stat(kept.name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if self._account.owns(status) or self._is_the_operators_link(kept, status):
            return self._give_in(kept) if kept.kind == "folder" and stat.S_ISDIR(status.st_mode) else False
        self._check_file_type(kept, status)
        if kept.kind == "socket":
            return self._remove(kept.name)
        if kept.kind == "file":
            return self._give_file(kept)
        return self._give_folder(kept)

    def _is_the_operators_link(self, kept: Kept, status: os.stat_result) -> bool:
        return not kept.by_node and stat.S_ISLNK(status.st_mode) and status.st_uid == 0

    def _check_file_type(self, kept: Kept, status: os.stat_result) -> None:
        wanted = {"file": "a file", "socket": "a socket", "folder": "a folder"}[kept.kind]
        found = file_type(status.st_mode)
        if found != wanted:
            raise self._refused(kept.name, f"is {found}, not {wanted}")
        if kept.kind == "file" and status.st_nlink != 1:
            raise self._refused(kept.name, f"has {status.st_nlink} names")

    def _refused(self, name: str, reason: str) -> InputError:
        place = str(self._path / name)
        return InputError(f"{reason}; it is not given away", file=place, mend=f"see what it is, and move it: {place}")

    def _remove(self, name: str) -> bool:
        """Remove a socket that a node of another account left behind."""
        if not self._check:
            os.unlink(name, dir_fd=self._directory)
        return True

    def _give_file(self, kept: Kept) -> bool:
        descriptor = self._open_file(kept)
        try:
            status = os.fstat(descriptor)
            # Nobody but root and its owner has put files of the owner's there; any other may have been moved there
            # from elsewhere, for its content.
            if status.st_uid != self._owner and not _holds(descriptor, kept.content):
                raise self._refused(kept.name, "is not what a node keeps under this name")
            if not self._check:
                self._account.give(descriptor)
        finally:
            os.close(descriptor)
        return True

    def _open_file(self, kept: Kept) -> int:
        """Open what is a file of one name, and nothing else, not even for a moment."""
        found = os.open(kept.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            self._check_file_type(kept, os.fstat(found))
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        finally:
            os.close(found)

    def _give_folder(self, kept: Kept) -> bool:
        inner = os.open(kept.name, _DIRECTORY, dir_fd=self._directory)
        try:
            strange = [name for name in _names(inner) if not re.fullmatch(kept.inside, name)]
            if strange and os.fstat(inner).st_uid != self._owner:
                raise self._refused(kept.name, f"holds {strange[0]}, which a node does not keep there")
            if not self._check:
                self._account.give(inner)
        finally:
            os.close(inner)
        self._give_in(kept)
        return True

    def _give_in(self, kept: Kept) -> bool:
        """Give the files that a node keeps in a folder; whatever else is there is not ours."""
        inner = os.open(kept.name, _DIRECTORY, dir_fd=self._directory)
        try:
            hand = _Hand(inner, self._path / kept.name, self._account, check=self._check, owner=self._owner)
            names = [name for name in _names(inner) if re.fullmatch(kept.inside, name)]
            changed = [hand.give(Kept(name, content=kept.content)) for name in names]
            return any(changed)
        finally:
            os.close(inner)


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as found:
        return sorted(each.name for each in found)


def _holds(descriptor: int, content: str) -> bool:
    """Tell whether a file holds what it should, so that it may be somebody else's to read."""
    limit = MAX_KEY_BYTES if content == "key" else MAX_PEERS_BYTES
    size = os.fstat(descriptor).st_size
    if content == "any" or size > limit:
        return False
    data = os.pread(descriptor, size, 0)
    if content == "key":
        return KEY_FORM.fullmatch(data) is not None
    try:
        loads(data)
    except InputError:
        return False
    return True
