# SPDX-License-Identifier: MIT
"""Registry files on any file system that fsspec knows (s3, gs, abfs, sftp, …): one file, a folder or a pattern."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blixard.documents.limits import MAX_REGISTRY_BYTES
from blixard.errors import BlixardError, InputError, one_line
from blixard.sources.base import Answer, Failed
from blixard.sources.http_get import shown
from blixard.sources.registry_entry import RegistryReader
from blixard.sources.registry_set import RegistrySet, is_registry_name
from blixard.sources.threads import StillBusy, Worker

if TYPE_CHECKING:
    from blixard.sources.attestations import AttestationCheck
    from blixard.sources.base import SourceKind

_MAGIC = frozenset("*?[")
_MEND = "install it beside blixard: pip install 'blixard[remote]' and the driver that is named"


class RemoteRegistries:
    """Reads those files again whose description (size, date, ETag) has changed.

    Credentials come from where the driver of the file system looks for them, best not from the URL.
    """

    kind: SourceKind = "registry"

    def __init__(self, url: str, *, check: AttestationCheck, wall: Callable[[], datetime]) -> None:
        self._url = url
        self._shown = shown(url)
        self.name = f"registry:{self._shown}"
        self._set = RegistrySet(RegistryReader(check, wall), self._read)
        self._worker: Worker[Answer] = Worker()
        self._file_system: Any = None

    async def fetch(self) -> Answer:
        """Look now, as `Source.fetch`."""
        try:
            return await self._worker.run(self._look)
        except StillBusy:
            return Failed(f"{self._shown}: the last look at it has not come back; can it be reached?")
        except BlixardError as error:
            return Failed(str(error))

    def _look(self) -> Answer:
        try:
            file_system, path = self._open()
            stamps = {_full(file_system, each): file_system.ukey(each) for each in _list(file_system, path)}
            return self._set.look(stamps, alone=_full(file_system, path))
        except InputError as error:
            raise error.located(file=self._shown) from None
        except Exception as error:
            # Each driver raises errors of its own kinds.
            raise InputError(self._said(error), file=self._shown, mend=self._mend(error)) from None

    def _open(self) -> tuple[Any, str]:
        fsspec = importlib.import_module("fsspec")
        self._file_system, path = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
        self._file_system.invalidate_cache()
        return self._file_system, path

    def _read(self, place: str) -> bytes:
        try:
            with self._file_system.open(place, "rb") as file:
                data: bytes = file.read(MAX_REGISTRY_BYTES + 1)
        except Exception as error:
            raise InputError(self._said(error), file=shown(place)) from None
        return data

    def _said(self, error: Exception) -> str:
        # Drivers like to repeat the URL, with the password that may be in it.
        text = str(error).replace(self._url, self._shown)
        return f"cannot be read: {one_line(text) or type(error).__name__}"

    def _mend(self, error: Exception) -> str:
        return _MEND if isinstance(error, ImportError) else ""


def _full(file_system: Any, path: str) -> str:
    full: str = file_system.unstrip_protocol(path)
    return full


def _list(file_system: Any, path: str) -> list[str]:
    if _MAGIC.intersection(path):
        return sorted(file_system.glob(path))
    if file_system.isdir(path):
        names = file_system.ls(path, detail=False)
        return sorted(name for name in names if is_registry_name(name.rpartition("/")[2]))
    if file_system.exists(path):
        return [path]
    raise InputError("does not exist", mend="name a registry, a folder of them, or a pattern")
