# SPDX-License-Identifier: MIT
"""An iroh relay: WebSocket at /relay, subprotocol `iroh-relay-v2`, for tests alone, since none can be installed.

    python -m tests.integration.relay HOST:PORT [--deny ID]... [--bytes-per-second N]

It says `ready` on its output when it listens. It proves who a client is as the real one does: by a signature over a
challenge. An endpoint id that connects a second time takes its own earlier place.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http
import os

import blake3
import iroh
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

CHALLENGE, AUTH, CONFIRMED, DENIED = range(4)
TO_RELAY, BATCH_TO_RELAY, FROM_RELAY, BATCH_FROM_RELAY, GONE, PING, PONG = range(4, 11)
RATE_LIMITED = bytes([13, 2])
_SIGNED = "iroh-relay handshake v1 challenge signature"
_KEY, _SIGNATURE = 32, 64
# What waits for a client that does not read; the rest is lost, as on any network.
_QUEUE = 512


class Relay:
    """Forwards datagrams between the clients that are connected."""

    def __init__(self, *, denied: frozenset[str] = frozenset(), rate: float | None = None) -> None:
        """`denied`: endpoint ids in hex; `rate`: bytes a second that each client may send."""
        self._denied = denied
        self._rate = rate
        self._queues: dict[bytes, asyncio.Queue[bytes]] = {}

    async def serve_client(self, socket: ServerConnection) -> None:
        key = await self._authenticated(socket)
        if key is None:
            return
        queue = self._queues[key] = asyncio.Queue(_QUEUE)
        sending = asyncio.create_task(self._send(socket, queue))
        try:
            await self._forward(socket, key, queue)
        except ConnectionClosed:
            pass
        finally:
            sending.cancel()
            if self._queues.get(key) is queue:
                del self._queues[key]
                for other in self._queues.values():
                    _put(other, bytes([GONE]) + key)

    async def _authenticated(self, socket: ServerConnection) -> bytes | None:
        challenge = os.urandom(16)
        await socket.send(bytes([CHALLENGE]) + challenge)
        answer = await socket.recv()
        assert isinstance(answer, bytes)
        # Postcard: the key, then the length of the signature, then the signature.
        assert answer[0] == AUTH
        assert len(answer) == 1 + _KEY + 1 + _SIGNATURE
        key, signature = answer[1 : 1 + _KEY], answer[-_SIGNATURE:]
        endpoint_id = iroh.EndpointId.from_bytes(key)
        message = blake3.blake3(challenge, derive_key_context=_SIGNED).digest()
        endpoint_id.verify(message, iroh.Signature.from_bytes(signature))
        if key.hex() in self._denied:
            reason = b"not on the list"
            await socket.send(bytes([DENIED, len(reason)]) + reason)
            return None
        await socket.send(bytes([CONFIRMED]))
        return key

    async def _forward(self, socket: ServerConnection, key: bytes, queue: asyncio.Queue[bytes]) -> None:
        told = False
        async for frame in socket:
            assert isinstance(frame, bytes)
            if frame[0] == PING:
                _put(queue, bytes([PONG]) + frame[1:])
            elif frame[0] in (TO_RELAY, BATCH_TO_RELAY):
                if self._rate is not None:
                    if not told:
                        _put(queue, RATE_LIMITED)
                        told = True
                    await asyncio.sleep(len(frame) / self._rate)
                target = self._queues.get(frame[1 : 1 + _KEY])
                if target is not None:
                    _put(target, bytes([frame[0] + 2]) + key + frame[1 + _KEY :])

    async def _send(self, socket: ServerConnection, queue: asyncio.Queue[bytes]) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(await queue.get())


def _put(queue: asyncio.Queue[bytes], frame: bytes) -> None:
    with contextlib.suppress(asyncio.QueueFull):
        queue.put_nowait(frame)


def _answer(_: ServerConnection, request: Request) -> Response | None:
    """Answer what is no WebSocket: iroh measures the way to a relay by `GET /ping`."""
    if request.path == "/relay":
        return None
    found = request.path in ("/ping", "/generate_204")
    status = http.HTTPStatus.OK if found else http.HTTPStatus.NOT_FOUND
    return Response(status.value, status.phrase, Headers({"Content-Length": "0", "Access-Control-Allow-Origin": "*"}))


async def run(host: str, port: int, relay: Relay) -> None:
    async with serve(
        relay.serve_client,
        host,
        port,
        subprotocols=[Subprotocol("iroh-relay-v2")],
        process_request=_answer,
        compression=None,
    ):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("--deny", action="append", default=[])
    parser.add_argument("--bytes-per-second", type=float)
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(host, int(port), Relay(denied=frozenset(given.deny), rate=given.bytes_per_second)))


if __name__ == "__main__":
    main()
