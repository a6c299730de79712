# SPDX-License-Identifier: MIT
"""A registry, a folder of them or a peers file on any file system that fsspec knows: s3, gs, abfs, sftp and others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.limits import MAX_PEERS_BYTES, MAX_REGISTRY_BYTES, MAX_SIGNATURE_BYTES
from blixard.sources.base import Answer, Failed
from blixard.sources.document_reader import DocumentReader, registries_from_afar
from blixard.sources.file_stamps import RACY
from blixard.sources.file_systems import is_plain, open_at, read, trouble
from blixard.sources.registry_reader import RegistrySet, is_registry_name
from blixard.sources.urls import name_of, shown
from blixard.sources.worker import StillBusy, Worker
from blixard.trust.peers_signature import SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from blixard.sources.base import SourceContext, SourceKind

TIMEOUT = 9.0
"""Seconds for one look; less than the manager gives a source, so that the reason is told."""

_MAGIC = frozenset("*?[")
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "generation", "version_id", "VersionId", "crc32c")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified")


class RemoteSource:
    """Reads those files again whose description (ETag, checksum, date) has changed; without one, every time.

    In a folder or a pattern a missing file takes its node away, and what is bad hides no other. A location that is
    itself missing is a failure; so is a folder that had registries and has none, since in an object store that is all
    one can see of a folder that is gone.

    Credentials are best left to where the driver of the file system looks for them, not put into the URL.
    """

    kind: SourceKind = "registry"

    def __init__(self, url: str, context: SourceContext, *, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._shown = shown(url)
        self._place = name_of(url)
        self.name = f"registry:{self._place}"
        self._timeout = timeout
        self._wall = context.wall
        self._set = RegistrySet(registries_from_afar(context, is_plain=is_plain(url)), self._read_registry)
        self._document = DocumentReader(self._place, context, name=self.name, is_plain=is_plain(url))
        self._paths: dict[str, str] = {}
        self._unread: set[str] = set()
        self._known: tuple[object, Answer] | None = None
        self._worker: Worker[Answer] = Worker()
        self._opened: tuple[Any, str] | None = None

    async def fetch(self) -> Answer:
        """Look now, as `Source.fetch`."""
        return await self._document.backed(await self._fetch())

    async def _fetch(self) -> Answer:
        try:
            return await asyncio.wait_for(self._worker.run(self._look), self._timeout)
        except asyncio.TimeoutError:
            return Failed(f"{self._shown}: took longer than {self._timeout:g} s; can it be reached?")
        except StillBusy:
            return Failed(f"{self._shown}: the last look at it has not come back; can it be reached?")
        except BlixardError as error:
            return Failed(str(error))

    def _look(self) -> Answer:
        try:
            file_system, path = self._open()
            if _MAGIC.intersection(path):
                return self._look_at_many(file_system, file_system.glob(path, detail=True).values())
            info = file_system.info(path)
            if info.get("type") == "directory":
                named = [each for each in file_system.ls(path, detail=True) if is_registry_name(_last(each["name"]))]
                return self._look_at_many(file_system, named)
            return self._look_at_one(file_system, path, info)
        except InputError as error:
            raise error.located(file=self._shown) from None
        except TrustError:
            raise
        except Exception as error:
            # Each driver raises errors of its own kinds. The next look starts with a new connection.
            self._opened = None
            raise trouble(error, self._url, self._shown) from None

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            self._opened = open_at(self._url)
        self._opened[0].invalidate_cache()
        return self._opened

    def _look_at_one(self, file_system: Any, path: str, info: Mapping[str, Any]) -> Answer:
        stamp = self._stamp(info)
        is_same = self._known is not None and stamp is not None and self._known[0] == stamp
        if self._known is not None and is_same and not self._document.is_superseded:
            return self._known[1]
        self._known = None
        data = read(file_system, path, MAX_PEERS_BYTES, info.get("size"))
        answer = self._document.read(data, lambda: self._read_signature(file_system, path))
        self._known = (stamp, answer)
        return answer

    def _read_signature(self, file_system: Any, path: str) -> bytes:
        try:
            return read(file_system, path + SIGNATURE_SUFFIX, MAX_SIGNATURE_BYTES)
        except FileNotFoundError:
            raise InputError(f"has no signature beside it: {_last(path)}{SIGNATURE_SUFFIX} is not there") from None

    def _look_at_many(self, file_system: Any, infos: Iterable[Mapping[str, Any]]) -> Answer:
        files = {file_system.unstrip_protocol(info["name"]): info for info in infos if info.get("type") == "file"}
        if len(self._set) and not files:
            raise InputError(
                "has no registries any more", mend="the last ones are kept; to take them away, remove this source"
            )
        self._paths = {place: info["name"] for place, info in files.items()}
        stamps = {place: None if place in self._unread else self._stamp(info) for place, info in files.items()}
        self._unread.clear()
        return self._set.look(stamps)

    def _read_registry(self, place: str) -> bytes:
        assert self._opened is not None  # noqa: S101 # by the look that this belongs to
        try:
            return read(self._opened[0], self._paths[place], MAX_REGISTRY_BYTES)
        except InputError as error:
            raise error.located(file=place) from None
        except Exception as error:
            # It may well go the next time, although the file stays the same.
            self._unread.add(place)
            raise trouble(error, self._url, place) from None

    def _stamp(self, info: Mapping[str, Any]) -> object:
        """Return what changes with the content; None where nothing tells, or not surely."""
        versions = [str(info[key]) for key in _VERSIONS if info.get(key)]
        times = [info[key] for key in _TIMES if info.get(key)]
        if versions:
            return (*versions, info.get("size"))
        # What changed just now may change again within one tick of its times.
        settled = self._wall().timestamp() - RACY
        if times and all(_seconds(each) < settled for each in times):
            return (*map(str, times), info.get("size"))
        return None


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _seconds(when: object) -> float:
    """Return a time as Unix seconds, whatever form a driver has it in; never settled where it is none of them."""
    if isinstance(when, (int, float)):
        return float(when)
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
        except ValueError:
            return float("inf")
    return when.timestamp() if isinstance(when, datetime) else float("inf")
