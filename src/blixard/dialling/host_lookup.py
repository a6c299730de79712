# SPDX-License-Identifier: MIT
"""Host names of peers: looked up for each dial anew, since what a name stands for changes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from blixard.clock import TimeLimit, limited
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.sources.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from blixard.clock import Clock
    from blixard.model.addresses import HostPort

LOOKUP_TIMEOUT = 2.0
"""Seconds for one lookup; it must leave room for the dial within the lease of a probe."""

Lookup = Callable[[str], "Coroutine[object, object, Sequence[str]]"]
"""Returns the IP addresses of a host, as texts; raises OSError when there are none."""


async def system_lookup(host: str) -> Sequence[str]:
    """Ask the system's resolver, in a thread that holds nothing up when it hangs."""

    def work() -> list[str]:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)]

    return await Worker[list[str]]().run(work)


async def look_up(where: HostPort | None, lookup: Lookup, clock: Clock) -> tuple[str, ...]:
    """Return the addresses that a name and port stand for now; none for an IP address, or when it cannot be told."""
    if where is None or where.ip is not None:
        return ()
    try:
        found = await limited(clock, LOOKUP_TIMEOUT, lookup(where.host))
    except (OSError, UnicodeError, TimeLimit):
        return ()
    return tuple(dict.fromkeys(address for text in found for address in _address(text, where.port)))


def _address(text: str, port: int) -> list[str]:
    try:
        return [str(SocketAddress(ipaddress.ip_address(text), port))]
    except (ValueError, InputError):
        return []
