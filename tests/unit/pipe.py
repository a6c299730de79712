# SPDX-License-Identifier: MIT
"""A stream in memory, for both of its ends."""

from __future__ import annotations

import asyncio

from blixard.dialling.protocols import DialError
from blixard.errors import InputError


class Pipe:
    """One end of a stream; `was_aborted` when either end has ended it at once."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other = self
        self.was_aborted = False

    async def send(self, frame: bytes) -> None:
        if self.was_aborted:
            raise DialError("closed", "the stream has ended")
        self.other.frames.put_nowait(frame)

    async def receive(self, *, most: int) -> bytes | None:
        frame = await self.frames.get()
        if frame is not None and len(frame) > most:
            raise InputError(f"a frame of {len(frame)} bytes, more than {most}")
        return frame

    async def finish(self) -> None:
        self.other.frames.put_nowait(None)

    async def abort(self) -> None:
        for end in (self, self.other):
            end.was_aborted = True
            end.frames.put_nowait(None)


def pipe() -> tuple[Pipe, Pipe]:
    """Both ends of a stream."""
    one, other = Pipe(), Pipe()
    one.other, other.other = other, one
    return one, other
