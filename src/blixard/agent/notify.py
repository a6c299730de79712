# SPDX-License-Identifier: MIT
"""Telling the service manager how the node is: sd_notify(3), ready, watchdog, stopping."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing, suppress


def notify(message: str) -> None:
    """Send `message` (such as `READY=1`) to the service manager, if there is one.

    Source: sd_notify(3). A manager that went away is no reason for the node to fail.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as link:
        link.connect(address)
        link.sendall(message.encode())


def reloading() -> str:
    """Return the message that a reload begins; `READY=1` ends it. Source: systemd.service(5), notify-reload."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watchdog_interval() -> float | None:
    """Return how often (seconds) to send `WATCHDOG=1`: half of what the manager asks, or None."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or owner != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000 or None
