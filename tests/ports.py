# SPDX-License-Identifier: MIT
"""UDP ports of the loopback address that nobody has at this moment."""

from __future__ import annotations

import contextlib
import socket


def free_port() -> int:
    """Return one such port."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return so many of them, all different: each is held until the last is found."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
