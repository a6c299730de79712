# SPDX-License-Identifier: MIT
"""Let the UDP packets that a host sends wait for MEAN ± JITTER milliseconds: netem by a netfilter queue.

Not every kernel has netem. Packets are sent to queue 1 by iptables, and let go by their verdict; see
linux/netfilter/nfnetlink_queue.h for the messages.
"""

from __future__ import annotations

import heapq
import random
import select
import socket
import struct
import sys
import time

NETLINK_NETFILTER = 12
PACKET, VERDICT, CONFIG = (3 << 8 | number for number in (0, 1, 2))
BIND, COPY_META, ACCEPT = 1, 1, 1
QUEUE = 1


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, *attributes: bytes) -> bytes:
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, QUEUE) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 1, 0, 0) + body


def packet_id(data: bytes) -> int | None:
    """Return the id of the packet that a message is about."""
    place = 20
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        if kind == 1:
            return int(struct.unpack_from("!I", data, place + 4)[0])
        place += length + -length % 4
    return None


def messages(data: bytes) -> list[bytes]:
    found = []
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if kind == PACKET:
            found.append(data[:length])
        data = data[length + -length % 4 :]
    return found


def main() -> None:
    mean, jitter = (float(argument) / 1000 for argument in sys.argv[1:])
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    link.bind((0, 0))
    link.send(message(CONFIG, attribute(1, struct.pack("!BBH", BIND, 0, socket.AF_INET))))
    link.send(message(CONFIG, attribute(2, struct.pack("!IB", 0, COPY_META))))
    waiting: list[tuple[float, int]] = []
    print("ready", flush=True)
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([link], [], [], pause)[0]:
            for each in messages(link.recv(65536)):
                number = packet_id(each)
                if number is not None:
                    due = time.monotonic() + random.uniform(mean - jitter, mean + jitter)
                    heapq.heappush(waiting, (due, number))
        while waiting and waiting[0][0] <= time.monotonic():
            link.send(message(VERDICT, attribute(2, struct.pack("!II", ACCEPT, heapq.heappop(waiting)[1]))))


main()
