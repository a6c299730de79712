# SPDX-License-Identifier: MIT
"""A real web server on loopback, plain or with TLS, whose answers a test sets."""

from __future__ import annotations

import http.server
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


def reply(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
    """A plain answer."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@dataclass
class Web:
    """A running server."""

    url: str
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def on(self, path: str, answer: Reply) -> str:
        """Answer this on that path; returns its URL."""
        self.replies[path] = answer
        return self.url + path


@contextmanager
def serving(tls: ssl.SSLContext | None = None, host: str = "localhost") -> Iterator[Web]:
    """Run a server until the block ends."""
    web = Web("")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.requests.append((self.path, dict(self.headers)))
            self.close_connection = True
            try:
                web.replies.get(self.path, reply(404))(self)
            except (BrokenPipeError, ConnectionError, ssl.SSLError):
                return

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that refuses the certificate is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web.url = f"{'https' if tls is not None else 'http'}://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for these names."""
    return presenting(authority.issue_cert(*names))


def presenting(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@contextmanager
def saying(*parts: bytes) -> Iterator[str]:
    """Something that listens on loopback and, asked or not, says these bytes to each caller; gives `host:port`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                self.request.recv(65536)
                for part in parts:
                    self.request.sendall(part)
            except OSError:
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that this process trusts."""
    made = trustme.CA()
    bundle = tmp_path / "authority.pem"
    made.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return made
