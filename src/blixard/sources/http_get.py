# SPDX-License-Identifier: MIT
"""One GET request within limits of time, size and redirects, blocking."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blixard import __version__
from blixard.errors import BlixardError, InputError, one_line

TIMEOUT = 8.0
"""Seconds for everything, from the first packet to the last byte; less than a source's limit, so that the reason is
told. What a slow server sends in between does not prolong it."""

MOST_REDIRECTS = 5
"""Enough for a short link and a load balancer; a loop ends soon."""

NOT_MODIFIED, GONE = 304, 410
_NAMED_ELSEWHERE = frozenset({301, 302, 303, 307, 308})
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


class HttpError(BlixardError):
    """The server could not be asked, or its answer cannot be taken; one line says why."""


@dataclass(frozen=True)
class Response:
    """What came back.

    Attributes:
        status: 200, or another one that is no redirect; the body is read with 200 only.
        reason: the server's word for it.
        body: at most as many bytes as were allowed.
        validators: the headers that ask for this version conditionally.
    """

    status: int
    reason: str
    body: bytes
    validators: Mapping[str, str]


def check_url(url: str) -> str:
    """Return `url` when it is one that `get` takes.

    Raises:
        InputError: it is no http or https URL, or has a user name or password in it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError("is not a URL", file=one_line(url[:80])) from None
    if parts.scheme not in ("http", "https") or not host or port == 0 or not url.isascii() or not url.isprintable():
        raise InputError("is not an http or https URL", file=one_line(url[:80]))
    if " " in url:
        raise InputError("has a space in it", file=one_line(url[:80]), mend="write %20")
    if "@" in parts.netloc:
        raise InputError("has a user name or password in it", file=shown(url), mend="leave it out")
    return url


def shown(url: str) -> str:
    """Return a URL for people: what may be secret in it (user, password, query) is left out."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return one_line(url.rpartition("@")[2].partition("?")[0])
    host = parts.netloc.rpartition("@")[2]
    return one_line(f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else ""))


def get(url: str, *, most: int, headers: Mapping[str, str] | None = None) -> Response:
    """GET `url`.

    Certificates are verified against the system's authorities, or those in SSL_CERT_FILE. Proxies are taken from the
    environment. No redirect leads from https to http, or to anything that `check_url` refuses.

    Args:
        url: as `check_url` returns it.
        most: bytes of the body that are allowed.
        headers: further request headers.

    Raises:
        HttpError: no answer in time, no trust, too many redirects, too large a body.
    """
    with _Deadline(TIMEOUT) as deadline:
        try:
            for _ in range(MOST_REDIRECTS + 1):
                response = _ask(url, dict(headers or {}), deadline)
                with contextlib.closing(response):
                    if response.status not in _NAMED_ELSEWHERE:
                        return _take(response, most)
                    url = _followed(url, response.headers.get("Location"))
        except _CLIENT_ERRORS as error:
            if deadline.is_over:
                raise HttpError(f"no full answer in {TIMEOUT:.0f} s") from None
            raise HttpError(_said(error)) from None
    raise HttpError(f"redirects more than {MOST_REDIRECTS} times")


_CLIENT_ERRORS = (OSError, http.client.HTTPException, ValueError)


def _ask(url: str, headers: dict[str, str], deadline: _Deadline) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": f"blixard/{__version__}", **headers})  # noqa: S310 # checked
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Http(deadline), _Https(deadline)):
        opener.add_handler(handler)
    return opener.open(request, timeout=deadline.left())


def _followed(url: str, location: str | None) -> str:
    if not location:
        raise HttpError("redirects without saying where to")
    target = urllib.parse.urljoin(url, location)
    try:
        check_url(target)
    except InputError as error:
        raise HttpError(f"redirects to what cannot be followed: {error}") from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise HttpError(f"redirects from https to {shown(target)}, which nobody vouches for")
    return target


def _take(response: Any, most: int) -> Response:
    validators = {
        asked: value for told, asked in _VALIDATORS.items() if (value := response.headers.get(told)) is not None
    }
    if response.status != 200:
        return Response(response.status, one_line(str(response.reason)), b"", validators)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise HttpError(f"comes encoded as {one_line(encoding)}, which was not asked for")
    body = response.read(most + 1)
    if len(body) > most:
        raise HttpError(f"is too large: more than {most} bytes")
    expected = response.headers.get("Content-Length")
    if expected is not None and expected.isdigit() and int(expected) != len(body):
        raise HttpError(f"ends early, after {len(body)} of {expected} bytes")
    return Response(200, "OK", body, validators)


def _said(error: Exception) -> str:
    """Return one line for people about what went wrong on the way."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {one_line(cause.verify_message)}"
    if isinstance(cause, socket.gaierror):
        return f"its name cannot be resolved: {cause.strerror}"
    return f"cannot be asked: {one_line(str(cause)) or type(cause).__name__}"


class _Deadline:
    """Ends a request when its time is over, whatever it is waiting for."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for each in self._sockets:
            each.close()

    def left(self) -> float:
        """Seconds that are left, never quite none."""
        return max(0.001, self._ends - time.monotonic())

    def connect(self, address: tuple[str, int], *more: object) -> socket.socket:
        """Connect to the first address of a host that can be, within the time that is left for all of them."""
        trouble: OSError | None = None
        for family, kind, protocol, _, where in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            connected = socket.socket(family, kind, protocol)
            try:
                connected.settimeout(self.left())
                connected.connect(where)
            except OSError as error:
                connected.close()
                trouble = error
            else:
                # A copy of the descriptor, since TLS takes over the socket itself.
                self._sockets.append(connected.dup())
                return connected
        raise trouble or OSError("its name has no address")

    def _shut(self) -> None:
        self.is_over = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    """Makes http connections that the deadline can end."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, **more: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(host, **more)
        connection._create_connection = self._deadline.connect  # type: ignore[attr-defined]
        return connection


class _Https(urllib.request.HTTPSHandler):
    """Makes https connections that the deadline can end, the handshake included."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)

    def _connection(self, host: str, **more: Any) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(host, context=ssl.create_default_context(), **more)
        connection._create_connection = self._deadline.connect  # type: ignore[attr-defined]
        return connection
