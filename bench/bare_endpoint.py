# SPDX-License-Identifier: MIT
"""A bare endpoint of iroh in a process that has nothing else: the least that an idle node could cost.

    python bench/bare_endpoint.py                   the hub: prints its address, and accepts all who come
    python bench/bare_endpoint.py COUNT ADDRESS     COUNT endpoints that connect to a hub and stay

Both run until standard input ends. bench/discovery.py starts them.
"""

from __future__ import annotations

import asyncio
import os
import sys

import iroh

ALPN = b"bench/bare"


async def bind() -> iroh.Endpoint:
    """Bind an endpoint on loopback."""
    options = iroh.EndpointOptions(
        preset=iroh.preset_minimal(),
        relay_mode=iroh.RelayMode.disabled(),
        bind_addr="127.0.0.1:0",
        secret_key=os.urandom(32),
        alpns=[ALPN],
    )
    return await iroh.Endpoint.bind(options)


async def accept_all(endpoint: iroh.Endpoint, links: list[iroh.Connection]) -> None:
    """Accept whoever comes, and keep the connection."""
    while (incoming := await endpoint.accept_next()) is not None:
        links.append(await (await incoming.accept()).connect())


async def main(count: int = 1, address: str = "") -> None:
    """Be the hub, or the endpoints that connect to the one at `address`, until standard input ends."""
    iroh.iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())  # type: ignore[arg-type]
    endpoints = [await bind() for _ in range(count)]
    links: list[iroh.Connection] = []
    accepting = asyncio.create_task(accept_all(endpoints[0], links))
    if address:
        name, _, at = address.partition("@")
        hub = iroh.EndpointAddr(iroh.EndpointId.from_string(name), None, [at])
        links += [await endpoint.connect(hub, ALPN) for endpoint in endpoints]
        print("connected", flush=True)
    else:
        print(f"{endpoints[0].id()}@{endpoints[0].bound_sockets()[0]}", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    accepting.cancel()
    await asyncio.gather(*(endpoint.close() for endpoint in endpoints))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 1 else main())
