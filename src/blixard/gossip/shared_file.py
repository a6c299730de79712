# SPDX-License-Identifier: MIT
"""The signed peers file as exchanges share it: received from one peer at a time, and sent to few."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

from blixard.gossip.allowance import PeerBuckets
from blixard.sources.worker import StillBusy, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from blixard.clock import Clock
    from blixard.gossip.messages import FileMark
    from blixard.gossip.signed_file import SignedFile
    from blixard.model.ids import EndpointId

SENT_AGAIN = 30.0
"""Seconds between two times that one peer is sent the file; it takes 16 MiB at most."""
SENT_AT_ONCE = 2

_Result = TypeVar("_Result")


class SharedFile:
    """What reads and writes runs in a thread, and one after the other."""

    def __init__(self, file: SignedFile, clock: Clock) -> None:
        self._file = file
        self._worker: Worker[None] = Worker()
        self._one_at_a_time = asyncio.Lock()
        self._sent = PeerBuckets(clock, rate=1 / SENT_AGAIN, burst=1)
        self._sending = 0
        self._receiving: FileMark | None = None

    @property
    def mark(self) -> FileMark | None:
        """Signer and number of the file that is there."""
        return self._file.mark

    async def look(self) -> bool:
        """Find out which file is there; tell whether that is another than before."""
        return bool(await self._alone(self._file.look))

    def reserve(self, theirs: FileMark | None) -> bool:
        """Tell whether to receive a file so marked now; then `release` is to be called."""
        if self._receiving is not None or not self._file.wants(theirs):
            return False
        self._receiving = theirs
        return True

    def release(self) -> None:
        """What was to be received has come, or will not."""
        self._receiving = None

    async def take(self, data: bytes, signature: bytes) -> None:
        """Put a newer file there, as `SignedFile.take`."""
        announced = self._receiving
        if announced is not None:
            await self._alone(lambda: self._file.take(data, signature, announced))

    @contextlib.asynccontextmanager
    async def sending(self, peer: EndpointId) -> AsyncIterator[tuple[bytes, bytes] | None]:
        """Give file and signature for a peer; None when it is not to have them now."""
        if self._sending >= SENT_AT_ONCE or not self._sent.take(peer):
            yield None
            return
        self._sending += 1
        try:
            yield await self._alone(self._file.read)
        finally:
            self._sending -= 1

    async def _alone(self, work: Callable[[], _Result]) -> _Result | None:
        """Return what `work` returns; None while a thread that was given up has not come back."""
        async with self._one_at_a_time:
            result: list[_Result] = []
            with contextlib.suppress(StillBusy):
                await self._worker.run(lambda: result.append(work()))
            return result[0] if result else None
