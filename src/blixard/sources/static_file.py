# SPDX-License-Identifier: MIT
"""A peers file: all peers in one list, signed where signers are trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.files import read_limited
from blixard.errors import BlixardError
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.sources.base import Answer, Failed, Nothing
from blixard.sources.file_stamps import Stamp, stamp
from blixard.sources.peers_reader import PeersReader
from blixard.sources.worker import BlockingSource
from blixard.trust.peers_signature import SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.snapshots import SnapshotStore
    from blixard.trust.attestation import AttestationCheck
    from blixard.trust.highest_seq import HighestSeq


class StaticFile(BlockingSource):
    """Reads a peers file again when it has changed, and parses it again when its bytes have.

    A file that was never there says nothing: it may be written later. One that was there, before a restart too, and is
    gone is a failure, since a share that is not mounted looks the same; to take all peers away, write `[]`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        check: AttestationCheck,
        wall: Callable[[], datetime],
        signers: Collection[EndpointId] = (),
        cluster: str | None = None,
        seen: HighestSeq | None = None,
        memory: SnapshotStore | None = None,
    ) -> None:
        """`signers`: when there are any, the file needs a `.sig` by one of them, with a number not below `seen`."""
        self._path = Path(path).expanduser()
        super().__init__(f"static:{self._path}", "static")
        self._reader = PeersReader(
            str(self._path),
            name=self.name,
            check=check,
            wall=wall,
            signers=signers,
            cluster=cluster,
            seen=seen,
            memory=memory,
        )
        self._wall = wall
        self._stamps: tuple[Stamp | None, ...] | None = None
        self._answer: Answer = Nothing()

    async def fetch(self) -> Answer:
        """Look now, as `Source.fetch`."""
        return await self._reader.backed(await super().fetch())

    def is_outdated(self) -> bool:
        """Tell from stamps whether to look again, as `BlockingSource.is_outdated`."""
        return self._stamps is None or self._reader.is_superseded or self._take_stamps() != self._stamps

    def look(self) -> Answer:
        """Look, as `BlockingSource.look`."""
        stamps = self._take_stamps()
        if stamps != self._stamps or self._reader.is_superseded:
            self._answer = self._read()
            # A file that changed just now may change again within one tick of its times: look again next time.
            now = self._wall().timestamp()
            self._stamps = stamps if all(each is None or each.is_settled(now) for each in stamps) else None
        return self._answer

    def _take_stamps(self) -> tuple[Stamp | None, ...]:
        paths = [self._path, self._signature_path()] if self._reader.wants_signature else [self._path]
        return tuple(stamp(path) for path in paths)

    def _signature_path(self) -> Path:
        return self._path.with_name(self._path.name + SIGNATURE_SUFFIX)

    def _read(self) -> Answer:
        if not os.path.lexists(self._path):
            if self._reader.good is None and self._reader.recall() is None:
                return Nothing()
            return Failed(f"{self._path}: has vanished, its peers are kept; to take them away write [] there")
        try:
            data = read_limited(self._path, MAX_PEERS_BYTES)
            signed = self._reader.wants_signature
            signature = read_limited(self._signature_path(), MAX_SIGNATURE_BYTES) if signed else b""
            return self._reader.read(data, signature)
        except BlixardError as error:
            return Failed(str(error))
