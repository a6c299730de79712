# SPDX-License-Identifier: MIT
"""Where files are kept: a folder, an object store, or another file system of fsspec's; each as safe as it can be.

- A folder: one publisher at a time by a lock, each file replaced in one step; what decides is synced to the disk.
- S3, Azure: each file replaced in one step, and only if it is still the one that was looked at (`If-Match`); removed
  likewise.
- SFTP: one publisher at a time by a lock file, each file replaced in one step (`posix-rename`) after a second look that
  it is still the one that was looked at; what decides is synced to the disk where the server can (`fsync`).
- Google Cloud Storage: an object is replaced in one step, after such a second look, since gcsfs passes no condition on
  but "it is not there". Another publisher that comes between that look and the step is written over.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import sha256_hex
from blixard.documents.lock_holder import holder, words_of
from blixard.errors import InputError
from blixard.sources.file_systems import open_at, read
from blixard.sources.urls import name_of, scheme_of

FILE_MODE, FOLDER_MODE = 0o644, 0o755
LOCK = ".publishing.lock"

PATIENCE = 60
"""Seconds that are waited for another publisher's lock file."""

DEAD = 900
"""Seconds after which a lock file is of a publisher that died: longer than any publication takes."""

_S3 = frozenset({"s3", "s3a"})
_AZURE = frozenset({"abfs", "abfss", "az"})
_OBJECTS = frozenset({"gs", "gcs", "memory"})
_RENAMING = frozenset({"sftp", "ssh"})
_AT_ONCE = 32
"""Objects that are written at the same time."""


class Moved(Exception):
    """Somebody else wrote there since it was looked at."""


class Kept(NamedTuple):
    """A file as it was looked at: its bytes, and what tells it from its other versions."""

    data: bytes
    version: str


class Listed(NamedTuple):
    """A file as a folder lists it; `version` changes with the file, and is None where the listing does not tell."""

    size: int
    version: str | None = None


class Shelf(Protocol):
    """Files by their names (`a.json`, `registry/a.json`) at one place. Blocking; raises what its driver raises."""

    def alone(self, now: datetime) -> AbstractContextManager[bool]:
        """Keep other publishers out for as long as it lasts; gives False where the place cannot.

        Raises:
            InputError: another publisher is there, and does not come to an end.
        """
        ...

    def read(self, name: str, most: int) -> Kept | None:
        """Return a file of at most so many bytes; None where there is none."""
        ...

    def list(self, folder: str) -> dict[str, Listed]:
        """Return the files of a folder by their names with the folder's; none where it does not exist."""
        ...

    def put(self, name: str, data: bytes, before: Kept | None) -> None:
        """Replace `before` in one step.

        Raises:
            Moved: it is not what is there any more; nothing was written.
        """
        ...

    def put_all(self, files: Mapping[str, bytes], before: Mapping[str, Listed]) -> None:
        """Write several files, each in one step, as `put`."""
        ...

    def remove(self, name: str, before: Listed) -> None:
        """Remove a file; one that is gone is no error.

        Raises:
            Moved: it is not what was listed any more; it stays.
        """
        ...


def check_location(location: str) -> None:
    """Refuse a location whose scheme has no shelf.

    Raises:
        InputError: it has none.
    """
    scheme = scheme_of(location)
    if scheme not in (None, "file", *_S3, *_AZURE, *_OBJECTS, *_RENAMING):
        mend = "name a folder, s3://, sftp://, gs:// or abfs://"
        raise InputError("is no place that can be published to", file=name_of(location), mend=mend)


def shelf_at(location: str) -> Shelf:
    """Return the shelf at a path or a URL, opened.

    Raises:
        InputError: the URL cannot be used.
        Exception: whatever the driver raises.
    """
    scheme = scheme_of(location)
    if scheme is None or scheme == "file":
        return FolderShelf(location.partition("://")[2] if scheme else location)
    file_system, path = open_at(location)
    if scheme in _S3:
        return S3Shelf(file_system, path)
    if scheme in _AZURE:
        return AzureShelf(file_system, path)
    return SftpShelf(file_system, path) if scheme in _RENAMING else RemoteShelf(file_system, path)


class FolderShelf:
    """A folder of this machine, also one that is mounted."""

    def __init__(self, path: str) -> None:
        """`path` must be there: what is not mounted looks as if it were missing."""
        self._folder = Path(path).expanduser()

    @contextlib.contextmanager
    def alone(self, now: datetime) -> Iterator[bool]:
        """Lock the folder, as `Shelf.alone`; waits for as long as another publisher takes."""
        flags = os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._folder / LOCK, flags, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield True
        finally:
            os.close(descriptor)

    def read(self, name: str, most: int) -> Kept | None:
        """As `Shelf.read`."""
        if not self._folder.exists():
            raise FileNotFoundError(self._folder)
        if not self._folder.is_dir():
            raise InputError("is no folder", mend="make it first, or mount its file system")
        path = self._folder / name
        if not path.exists():
            return None
        data = read_limited(path, most)
        return Kept(data, sha256_hex(data))

    def list(self, folder: str) -> dict[str, Listed]:
        """As `Shelf.list`."""
        try:
            with os.scandir(self._folder / folder) as found:
                return {f"{folder}/{each.name}": Listed(each.stat().st_size) for each in found if each.is_file()}
        except FileNotFoundError:
            return {}

    def put(self, name: str, data: bytes, before: Kept | None) -> None:
        """As `Shelf.put`; the lock has kept all others out."""
        write_atomic(self._path(name), data, FILE_MODE, follow=False)

    def put_all(self, files: Mapping[str, bytes], before: Mapping[str, Listed]) -> None:
        """As `Shelf.put_all`.

        Thousands of them are not synced one by one: an empty file after a loss of power has another size than it
        should, and is written again.
        """
        for name, data in files.items():
            path = self._path(name)
            temporary = path.with_name(f".{path.name}.part")
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC), "wb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                file.write(data)
            temporary.replace(path)

    def remove(self, name: str, before: Listed) -> None:
        """As `Shelf.remove`; the lock has kept all others out."""
        (self._folder / name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        """Return where a file is to be written; its folder is there, for all to read."""
        path = self._folder / name
        if not path.parent.is_dir():
            path.parent.mkdir()
            path.parent.chmod(FOLDER_MODE)
        return path


@dataclass(frozen=True)
class RemoteShelf:
    """A file system of fsspec's in which nothing is conditional: it is looked at once more before it is written.

    Attributes:
        file_system: the driver.
        path: of the folder, in it.
    """

    file_system: Any
    path: str

    def alone(self, now: datetime) -> AbstractContextManager[bool]:
        """As `Shelf.alone`: nobody is kept out."""
        return nullcontext(False)

    def read(self, name: str, most: int) -> Kept | None:
        """As `Shelf.read`."""
        self.file_system.invalidate_cache()
        try:
            data = read(self.file_system, self._at(name), most)
        except FileNotFoundError:
            return None
        return Kept(data, sha256_hex(data))

    def list(self, folder: str) -> dict[str, Listed]:
        """As `Shelf.list`."""
        self.file_system.invalidate_cache()
        try:
            found = self.file_system.ls(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        named = [(each["name"].rpartition("/")[2], each) for each in found if each["type"] == "file"]
        return {f"{folder}/{name}": _listed(each) for name, each in named}

    def put(self, name: str, data: bytes, before: Kept | None) -> None:
        """As `Shelf.put`."""
        try:
            there = self.read(name, len(before.data) if before else 0)
        except InputError:
            raise Moved from None
        if there != before:
            raise Moved
        self._write(name, data, decides=True)

    def put_all(self, files: Mapping[str, bytes], before: Mapping[str, Listed]) -> None:
        """As `Shelf.put_all`, without a second look at each."""
        for name, data in files.items():
            self._write(name, data)

    def remove(self, name: str, before: Listed) -> None:
        """As `Shelf.remove`, after a second look."""
        self.file_system.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            if _listed(self.file_system.info(self._at(name))) != before:
                raise Moved
            self._remove(name, before)

    def _remove(self, name: str, before: Listed) -> None:
        self.file_system.rm_file(self._at(name))

    def _write(self, name: str, data: bytes, *, decides: bool = False) -> None:
        """Replace a file in one step; `decides`: nodes and publishers go by it."""
        self.file_system.pipe_file(self._at(name), data)

    def _at(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"


def _listed(info: Mapping[str, Any]) -> Listed:
    """Return what a driver says of a file. The version of an object is its ETag, and nothing else."""
    changes_with_it = info.get("ETag") or info.get("etag") or info.get("mtime")
    return Listed(info["size"] or 0, None if changes_with_it is None else str(changes_with_it))


class SftpShelf(RemoteShelf):
    """A folder past an SFTP server."""

    @contextlib.contextmanager
    def alone(self, now: datetime) -> Iterator[bool]:
        """As `Shelf.alone`, by a file that only one publisher can make."""
        path, own = self._at(LOCK), json.dumps(holder(os.getpid(), now)).encode()
        for _ in range(PATIENCE):
            try:
                self.file_system.write(path, own, is_new=True)
                break
            except FileExistsError:
                self._bury(path, now)
                threading.Event().wait(1.0)
        else:
            raise InputError(
                f"is being published to: {words_of(self._kept(path) or b'')}",
                mend=f"run this again, or remove {path} if that publisher died",
            )
        try:
            yield True
        finally:
            if self._kept(path) == own:
                self.file_system.rm_file(path)

    def _kept(self, path: str) -> bytes | None:
        """Return what a lock file says; None where there is none."""
        try:
            return read(self.file_system, path, _MAX_LOCK)
        except FileNotFoundError:
            return None

    def _bury(self, path: str, now: datetime) -> None:
        """Remove the lock file of a publisher that died."""
        with contextlib.suppress(FileNotFoundError):
            age = (now - self.file_system.info(path)["mtime"]).total_seconds()
            dead = self._kept(path)
            if age < DEAD or dead is None:
                return
            # Of two that come here at once, one moves it away, and the other perhaps the first one's new lock.
            grave = f"{path}.{os.getpid()}"
            self.file_system.ftp.rename(path, grave)
            if self._kept(grave) == dead:
                self.file_system.rm_file(grave)
            else:
                self.file_system.ftp.rename(grave, path)

    def _write(self, name: str, data: bytes, *, decides: bool = False) -> None:
        """As `RemoteShelf._write`, under another name first."""
        target = self._at(name)
        folder, _, last = target.rpartition("/")
        # A name of its own for each process, and the same again for whoever repeats a write that was cut off.
        temporary = f"{folder}/.{last}.{sha256_hex(data)[:8]}-{os.getpid()}.part"
        try:
            self.file_system.write(temporary, data, sync=decides)
        except FileNotFoundError:
            if "/" not in name:
                raise
            self.file_system.mkdir(folder, create_parents=False)
            self.file_system.write(temporary, data, sync=decides)
        self.file_system.replace(target, temporary)


_MAX_LOCK = 4096


class ConditionalShelf(RemoteShelf, ABC):
    """An object store in which each write says what it replaces."""

    def put(self, name: str, data: bytes, before: Kept | None) -> None:
        """As `Shelf.put`."""
        with _moved():
            self.file_system.pipe_file(self._at(name), data, **self._condition(before))

    def put_all(self, files: Mapping[str, bytes], before: Mapping[str, Listed]) -> None:
        """As `Shelf.put_all`."""
        with _moved():
            self._sync(self._put_all, files, before)

    async def _put_all(self, files: Mapping[str, bytes], before: Mapping[str, Listed]) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def put(name: str, data: bytes) -> None:
            async with slots:
                await self.file_system._pipe_file(self._at(name), data, **self._condition(before.get(name)))

        await asyncio.gather(*(put(name, data) for name, data in files.items()))

    @abstractmethod
    def _condition(self, before: Kept | Listed | None) -> dict[str, Any]:
        """Return what the driver is to be told, so that it replaces nothing but `before` (None: nothing)."""

    def _sync(self, call: Callable[..., Any], *words: Any, **more: Any) -> Any:
        """Run one of the driver's own calls in its event loop."""
        return importlib.import_module("fsspec.asyn").sync(self.file_system.loop, call, *words, **more)


class S3Shelf(ConditionalShelf):
    """A bucket, or a part of one."""

    def read(self, name: str, most: int) -> Kept | None:
        """As `Shelf.read`.

        Raises:
            Moved: it was written while it was read.
        """
        self.file_system.invalidate_cache()
        try:
            with _moved(), self.file_system.open(self._at(name), "rb") as file:
                if file.size > most:
                    raise InputError(f"is too large: more than {most} bytes")
                return Kept(file.read(), file.details["ETag"])
        except FileNotFoundError:
            return None

    def _remove(self, name: str, before: Listed) -> None:
        bucket, key, _ = self.file_system.split_path(self._at(name))
        with _moved():
            condition = self._condition(before)
            self._sync(self.file_system._call_s3, "delete_object", Bucket=bucket, Key=key, **condition)

    def _condition(self, before: Kept | Listed | None) -> dict[str, Any]:
        return {"IfMatch": before.version} if before and before.version else {"IfNoneMatch": "*"}


class AzureShelf(ConditionalShelf):
    """A container of blobs, or a part of one."""

    def read(self, name: str, most: int) -> Kept | None:
        """As `Shelf.read`.

        Raises:
            Moved: it was written while it was read.
        """
        with _moved():
            kept: Kept | None = self._sync(self._read, name, most)
        return kept

    async def _read(self, name: str, most: int) -> Kept | None:
        try:
            async with self._blob(name) as blob:
                # The first 32 MiB at most; what follows is asked for with the ETag of these.
                found = await blob.download_blob()
                if found.properties.size > most:
                    raise InputError(f"is too large: more than {most} bytes")
                return Kept(await found.readall(), found.properties.etag)
        except Exception as error:
            codes = _codes(error)
            if "BlobNotFound" in codes:
                return None
            if "ContainerNotFound" in codes:
                raise FileNotFoundError(self.path) from None
            raise

    def _remove(self, name: str, before: Listed) -> None:
        async def remove() -> None:
            async with self._blob(name) as blob:
                await blob.delete_blob(**self._condition(before))

        with _moved():
            self._sync(remove)

    def _blob(self, name: str) -> Any:
        container, blob, _ = self.file_system.split_path(self._at(name))
        return self.file_system.service_client.get_blob_client(container=container, blob=blob)

    def _condition(self, before: Kept | Listed | None) -> dict[str, Any]:
        return {"headers": {"If-Match": before.version} if before and before.version else {"If-None-Match": "*"}}


_UNMET = frozenset(
    {"PreconditionFailed", "ConditionalRequestConflict", "ConditionNotMet", "BlobAlreadyExists", "412", "409"}
)
_GONE = frozenset({"NoSuchKey", "BlobNotFound"})
"""What is said of an object with a condition that is gone."""


@contextlib.contextmanager
def _moved() -> Iterator[None]:
    """Tell a condition that did not hold from all other errors, in whatever the drivers wrapped it."""
    try:
        yield
    except Exception as error:
        # The last is how adlfs says that a blob is there which was not to be.
        if _codes(error) & (_UNMET | _GONE) or isinstance(error, FileExistsError):
            raise Moved from None
        raise


def _codes(error: BaseException | None) -> set[str]:
    """Return the codes of a store's answers that an error comes from: those of S3, and of Azure."""
    codes = set()
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            codes.add(str(answer.get("Error", {}).get("Code")))
        code = getattr(error, "error_code", None)
        codes.add(str(getattr(code, "value", code)))
        error = error.__cause__
    return codes
