# SPDX-License-Identifier: MIT
"""The secret key on a host as iroh_identity keeps it: made, kept, replaced or removed, and never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blixard.documents.account import as_owner_of
from blixard.documents.files import sync_folder
from blixard.errors import InputError, trouble_with_files
from blixard.fleet import preloaded_modules  # noqa: F401
from blixard.fleet.ownership import Account, give_data_dir, give_key
from blixard.trust.keys import create_secret_key, read_secret_key


@dataclass(frozen=True)
class Kept:
    """What became of a key. Ids are base64; null where there is no key, or none yet in check mode."""

    changed: bool
    before: str | None
    after: str | None
    exists: bool
    """Whether the file is there now."""
    removed: bool = False
    given: Sequence[str] = ()
    """What else was given to the account, see `blixard.fleet.ownership`."""

    @property
    def after_in_words(self) -> str | None:
        """The id after, in words where check mode cannot know it."""
        return "a new one" if self.changed and self.after is None and not self.removed else self.after

    def result(self, path: str) -> dict[str, Any]:
        """Return what iroh_identity returns for the key at `path`."""
        given: dict[str, Any] = {"given": list(self.given)} if self.given else {}
        return {
            "changed": self.changed,
            "path": path,
            "iroh_node_id": self.after,
            "given": list(self.given),
            "diff": {
                "before": {"iroh_node_id": self.before},
                "after": {"iroh_node_id": self.after_in_words, **given},
                "before_header": path,
                "after_header": path,
            },
        }


@dataclass(frozen=True)
class Wanted:
    """How a key is to be kept, in the words of iroh_identity."""

    state: str = "present"
    regenerate: str = "never"
    owner: str | None = None
    group: str | None = None
    data_dir: bool = False


def keep_for(path: Path, wanted: Wanted, *, check: bool) -> Kept:
    """Have the key at `path` as it is wanted, and whose it is wanted to be.

    Raises:
        InputError: as `keep`, `remove`, `give_data_dir` and `give_key`, and where files change under the work.
    """
    try:
        return _keep_for(path, wanted, check=check)
    except OSError as error:
        raise trouble_with_files(error, str(path)) from None


def _keep_for(path: Path, wanted: Wanted, *, check: bool) -> Kept:
    if wanted.state == "absent":
        return remove(path, check=check)
    try:
        account = Account(wanted.owner, wanted.group)
    except InputError:
        if not check:
            raise
        # An account that this run would have made by now.
        return Kept(changed=True, before=None, after=None, exists=os.path.lexists(path))
    given = give_data_dir(path.parent, account, check=check) if wanted.data_dir else []
    given += [path.name] if path.name not in given and give_key(path, account, check=check) else []
    if check and path.name in given:
        return Kept(changed=True, before=None, after=None, exists=True, given=tuple(given))
    kept = keep(path, regenerate=wanted.regenerate, check=check)
    # In a directory of root's the key was root's until now.
    given += [path.name] if path.name not in given and give_key(path, account, check=check) else []
    return replace(kept, changed=kept.changed or bool(given), given=tuple(given))


def keep(path: Path, *, regenerate: str, check: bool) -> Kept:
    """Have a secret key at `path`. Root does it as the account that owns the folder.

    Args:
        path: its file.
        regenerate: `never`, `fail` or `always`, as iroh_identity describes them.
        check: only say what would be done.

    Raises:
        InputError: what is there is no key of that account, or `fail` and others could read it.
    """
    with as_owner_of(path.parent):
        return _keep(path, regenerate=regenerate, check=check)


def _keep(path: Path, *, regenerate: str, check: bool) -> Kept:
    if not os.path.lexists(path):
        return _make(path, before=None, check=check)
    if regenerate == "always":
        return _make(path, before=_id_of(path), check=check)
    narrowed = regenerate == "never" and _narrow(path, check=check)
    if narrowed and check:
        return Kept(changed=True, before=None, after=None, exists=True)
    known = read_secret_key(path).public().base64
    return Kept(changed=narrowed, before=known, after=known, exists=True)


def remove(path: Path, *, check: bool) -> Kept:
    """Have no secret key at `path`. Root does it as the account that owns the folder."""
    with as_owner_of(path.parent):
        return _remove(path, check=check)


def _remove(path: Path, *, check: bool) -> Kept:
    if not os.path.lexists(path):
        return Kept(changed=False, before=None, after=None, exists=False)
    before = _id_of(path)
    if not check:
        _unlink(path)
    return Kept(changed=True, before=before, after=None, exists=check, removed=True)


def _id_of(path: Path) -> str | None:
    """Return the id of the key at `path`, null for a file that holds no usable key and is to go anyway."""
    try:
        return read_secret_key(path).public().base64
    except InputError:
        return None


def _make(path: Path, *, before: str | None, check: bool) -> Kept:
    if check:
        return Kept(changed=True, before=before, after=None, exists=os.path.lexists(path))
    # The old key stays until the new one is whole on disk.
    fresh = Path(f"{path}.new")
    if os.path.lexists(fresh):
        _unlink(fresh)
    key = create_secret_key(fresh)
    try:
        fresh.replace(path)
    except OSError as error:
        raise InputError(f"cannot be replaced: {error.strerror}", file=str(path), mend="move it away") from None
    sync_folder(path.parent)
    return Kept(changed=True, before=before, after=key.public().base64, exists=True)


def _narrow(path: Path, *, check: bool) -> bool:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o077:
        return False
    if not check:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"cannot be opened: {error.strerror}", file=str(path)) from None
        try:
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            raise InputError(f"its mode cannot be changed: {error.strerror}", file=str(path)) from None
        finally:
            os.close(descriptor)
    return True


def _unlink(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise InputError(f"cannot be removed: {error.strerror}", file=str(path)) from None
    sync_folder(path.parent)
