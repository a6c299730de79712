# SPDX-License-Identifier: MIT
"""A small DNS server of the tests, over UDP and TCP on loopback, that answers what no proper server would."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rrset

Reply = Callable[[dns.message.Message, bool], bytes | None]
"""From a question, and whether it came over TCP, to the bytes of an answer; None for silence."""


def answering(records: dict[tuple[str, str], list[str]], ttl: int = 60) -> Callable[[dns.message.Message, bool], bytes]:
    """Answer with these records, by name (whole) and type, cut off over UDP where they do not fit."""

    def reply(query: dns.message.Message, is_tcp: bool) -> bytes:
        answer = answer_to(query, records, ttl)
        if not is_tcp and len(answer.to_wire(max_size=65535)) > 1232:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        return answer.to_wire(max_size=65535)

    return reply


def answer_to(
    query: dns.message.Message, records: dict[tuple[str, str], list[str]], ttl: int = 60
) -> dns.message.Message:
    """The answer to a question; none of a name or type that is not there."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    question = query.question[0]
    kind = question.rdtype.name
    found = records.get((question.name.to_text(), kind))
    if found:
        answer.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, *found))
    return answer


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _on_one_port(
    datagrams: type[socketserver.BaseRequestHandler], streams: type[socketserver.BaseRequestHandler]
) -> tuple[_Udp, _Tcp]:
    """Bind the port that the system gives for UDP; where it is taken for TCP, another one."""
    while True:
        udp = _Udp(("127.0.0.1", 0), datagrams)
        try:
            return udp, _Tcp(("127.0.0.1", udp.server_address[1]), streams)
        except OSError:
            udp.server_close()


@contextmanager
def dns_server(reply: Reply) -> Iterator[str]:
    """Run a server until the block ends; gives its address as `HOST:PORT`."""

    class Datagrams(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sender = self.request
            said = reply(dns.message.from_wire(data), False)
            if said is not None:
                sender.sendto(said, self.client_address)

    class Streams(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                (length,) = struct.unpack("!H", self.request.recv(2, socket.MSG_WAITALL))
                said = reply(dns.message.from_wire(self.request.recv(length, socket.MSG_WAITALL)), True)
                if said is not None:
                    self.request.sendall(struct.pack("!H", len(said)) + said)
                else:
                    self.request.recv(1)
            except (OSError, struct.error):
                return

    udp, tcp = _on_one_port(Datagrams, Streams)
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,), daemon=True) for each in (udp, tcp)]
    for thread in threads:
        thread.start()
    try:
        yield f"127.0.0.1:{udp.server_address[1]}"
    finally:
        for server in (udp, tcp):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
