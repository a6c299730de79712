# SPDX-License-Identifier: MIT
"""The one stream that a connection has, for its hello. Any other ends the connection.

iroh takes in up to 1.25 MB on each of 200 streams that nobody reads: 125 MB and more for one connection. The wheel
cannot make that less: its limits hold only for what is granted later.
"""

from __future__ import annotations

import asyncio
import contextlib

import iroh

from blixard.tasks import spawn

_TOO_MANY_STREAMS = b"more than one stream"

# They end with their connections; the event loop keeps no task by itself.
_watching: set[asyncio.Task[None]] = set()


class StreamGuard:
    """Watches a connection from its handshake to its end.

    Attributes:
        hello: the first stream that the other end opens; on the dialling side there must be none.
    """

    def __init__(self, connection: iroh.Connection, *, is_dialler: bool) -> None:
        self._connection = connection
        self.hello: asyncio.Future[iroh.BiStream] = asyncio.get_running_loop().create_future()
        if is_dialler:
            self.hello.cancel()
        for work in (self._both_ways(), self._one_way()):
            task = spawn(work, "watching the streams of a connection")
            _watching.add(task)
            task.add_done_callback(_watching.discard)

    async def _both_ways(self) -> None:
        try:
            if not self.hello.done():
                stream = await self._connection.accept_bi()
                if not self.hello.done():
                    self.hello.set_result(stream)
            await self._connection.accept_bi()
            self._end()
        except iroh.IrohError as error:
            if not self.hello.done():
                self.hello.set_exception(error)
                self.hello.exception()  # whoever waited for it may have given up

    async def _one_way(self) -> None:
        with contextlib.suppress(iroh.IrohError):
            await self._connection.accept_uni()
            self._end()

    def _end(self) -> None:
        self._connection.close(1, _TOO_MANY_STREAMS)
