# SPDX-License-Identifier: MIT
"""Being reached over Iroh: callers, their hello, and who is let in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import iroh

from blixard.dialling.hello import MAX_HELLO_BYTES, Hello, Welcome, decode_hello, encode
from blixard.dialling.link import Link
from blixard.errors import InputError
from blixard.model.ids import EndpointId

log = logging.getLogger("blixard.acceptor")

# A caller has this long, in seconds, to finish its handshake and say hello.
CALLER_TIMEOUT = 10.0
# Callers whose hello is under way at once; others are refused until there is room.
MAX_CALLERS = 256
# How long, in seconds, the connection of a check is kept, and that of one who was turned away.
CHECK_LIFETIME = 60.0
REFUSED_LIFETIME = 2.0


class Acceptor:
    """Answers the callers of one endpoint."""

    def __init__(
        self,
        endpoint: iroh.Endpoint,
        welcome: Callable[[Hello, EndpointId], Welcome],
        arrived: Callable[[Link, Hello], None],
    ) -> None:
        """`welcome` decides about a caller; `arrived` takes the connection of one who joins the mesh."""
        self._endpoint = endpoint
        self._welcome = welcome
        self._arrived = arrived
        self._callers: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer callers until the endpoint is closed or this is cancelled."""
        try:
            while (incoming := await self._endpoint.accept_next()) is not None:
                if len(self._callers) >= MAX_CALLERS:
                    await incoming.refuse()
                    continue
                caller = asyncio.create_task(self._answer(incoming))
                self._callers.add(caller)
                caller.add_done_callback(self._callers.discard)
        finally:
            for caller in self._callers:
                caller.cancel()
            await asyncio.gather(*self._callers, return_exceptions=True)

    async def _answer(self, incoming: iroh.Incoming) -> None:
        try:
            connection, hello, welcome = await asyncio.wait_for(self._hear(incoming), CALLER_TIMEOUT)
        except (iroh.IrohError, asyncio.TimeoutError) as error:
            log.debug("caller went away before its hello", extra={"error": str(error).splitlines()[-1:]})
            return
        except InputError as error:
            log.warning("caller refused", extra={"reason": f"bad hello: {error}"})
            return
        link = Link(
            connection,
            EndpointId.from_bytes(connection.remote_id().to_bytes()),
            outgoing=False,
            node_id=hello.node_id,
            admitted=welcome.admitted,
            refusal=welcome.reason,
        )
        if welcome.admitted and hello.purpose == "mesh":
            link.start_beats()
            self._arrived(link, hello)
            return
        try:
            await asyncio.wait_for(link.closed(), CHECK_LIFETIME if welcome.admitted else REFUSED_LIFETIME)
        except asyncio.TimeoutError:
            link.close("refused" if not welcome.admitted else "check took too long")

    async def _hear(self, incoming: iroh.Incoming) -> tuple[iroh.Connection, Hello, Welcome]:
        accepting = await incoming.accept()
        connection = await accepting.connect()
        try:
            stream = await connection.accept_bi()
            hello = decode_hello(await stream.recv().read_to_end(MAX_HELLO_BYTES))
            welcome = self._welcome(hello, EndpointId.from_bytes(connection.remote_id().to_bytes()))
            await stream.send().write_all(encode(welcome))
            await stream.send().finish()
        except BaseException as error:
            connection.close(1, f"bad hello: {error}".encode()[:200] if isinstance(error, InputError) else b"no hello")
            raise
        return connection, hello, welcome
