# SPDX-License-Identifier: MIT
"""One HTTP request, blocking, with a limit on everything that a server could send too much of or take too long for.

Proxies of the environment are not used: what names a node's peers has to be reached when much else is down, and is as
a rule in the same network. Nothing is decompressed; a body that is compressed all the same is refused.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import http
import http.client
import io
import os
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import blixard
from blixard.errors import InputError
from blixard.model.addresses import HostPort, Network, may_lead, network_of
from blixard.model.limits import MAX_URL
from blixard.sources.file_stamps import RACY
from blixard.sources.urls import scheme_of, shown

MAX_REDIRECTS = 5
"""Redirects that are followed: a rename, a host, a mirror and a login page are four."""

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_MAX_VALIDATOR = 1024
_HEAD = 256 * 1024  # more than http.client takes of status line and headers before it gives up by itself
_CHUNK = 64 * 1024
_JSON = {"Content-Type": "application/json"}
_TICK = 1.0  # seconds between two looks at whether a stream is still wanted
_KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # a host that is gone is noticed in 50 s
_PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True)
class Limits:
    """Seconds: `connect` for each address of a host, `idle` without a byte, `total` for everything together."""

    connect: float = 3.0
    idle: float = 5.0
    total: float = 8.0


class Deadline:
    """When everything that a look needs must be done; begins when it is made."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._at = time.monotonic() + limits.total

    def is_over(self) -> bool:
        """Tell whether no time is left."""
        return time.monotonic() >= self._at

    def at_most(self, seconds: float) -> float:
        """Return `seconds`, or what is left when that is less.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(seconds, left)


@dataclass(frozen=True)
class Validators:
    """By what a server knows that the document at a URL is still the same."""

    url: str
    etag: str | None
    modified: str | None


@dataclass(frozen=True)
class Document:
    """What a server sent."""

    body: bytes
    validators: Validators | None


@dataclass(frozen=True)
class Target:
    """An http or https URL, taken apart."""

    url: str = field(repr=False)
    scheme: str
    where: HostPort
    path: str = field(repr=False)
    authorization: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Target:
        """Take a URL apart.

        Raises:
            InputError: it is no such URL.
        """
        scheme = scheme_of(url)
        if scheme not in _PORTS:
            raise InputError("is no http or https URL", file=shown(url))
        if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
            mend = "write other characters with %, and a name outside ASCII as xn--…"
            raise InputError(
                "is too long for a URL, or has characters that a URL cannot have", file=shown(url), mend=mend
            )
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = parts.hostname or "", parts.port or _PORTS[scheme]
            where = HostPort.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except (ValueError, InputError):
            raise InputError("is not a URL: its host or port cannot be read", file=shown(url)) from None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url, scheme, where, path, _authorization(parts))

    @property
    def host_header(self) -> str:
        """The host, with its port where that is not the usual one."""
        usual = self.where.port == _PORTS[self.scheme]
        return str(self.where).rpartition(":")[0] if usual else str(self.where)

    def follow(self, location: str | None) -> Target:
        """Return where a redirect leads to.

        User info stays with its own host.

        Raises:
            InputError: it leads nowhere, or where it must not.
        """
        try:
            url = urllib.parse.urldefrag(urllib.parse.urljoin(self.url, location or "")).url
        except ValueError:
            url = ""
        if not location or scheme_of(url) not in _PORTS:
            raise self.error("redirects to something that is no http or https URL")
        to = Target.parse(url)
        if self.scheme == "https" and to.scheme == "http":
            raise self.error(f"redirects from https to {shown(url)}, which is not followed")
        own = (to.scheme, to.where) == (self.scheme, self.where)
        if to.authorization is not None and not own:
            raise self.error("redirects to a URL with a user name or password in it, which is not followed")
        return Target(to.url, to.scheme, to.where, to.path, self.authorization if own else None)

    def error(self, reason: str, mend: str = "") -> InputError:
        """Return an error about this URL."""
        return InputError(reason, file=shown(self.url), mend=mend)


def get(url: str, most: int, deadline: Deadline, known: Validators | None = None) -> Document | None:
    """Return the document at a URL; None when it is the one that `known` stands for.

    Args:
        url: http or https, perhaps with user and password.
        most: bytes that it may have.
        deadline: for this, and what else belongs to it.
        known: what came with the document before.

    Raises:
        InputError: there is no good answer; the line says why, and shows nothing secret of the URL.
    """
    target = Target.parse(url)
    reach: Network | None = None
    for _ in range(MAX_REDIRECTS + 1):
        with _errors(target, deadline), _connect(target, deadline, reach) as connection:
            reach = network_of(connection.getpeername()[0])
            answer = exchange(connection, target, most, deadline, known)
        if not isinstance(answer, Target):
            return answer
        target = answer
    raise InputError(f"redirects more than {MAX_REDIRECTS} times", file=shown(url))


def exchange(
    connection: socket.socket, target: Target, most: int, deadline: Deadline, known: Validators | None = None
) -> Document | Target | None:
    """Ask over a connection; return the document, where else to ask, or None for the one that is `known`.

    Raises:
        InputError: as `get`.
    """
    with _errors(target, deadline):
        response = _ask(connection, target, most, deadline, known)
        if response.status in _REDIRECTS:
            return target.follow(response.getheader("Location"))
        return _answer(response, target, most, known)


@dataclass(frozen=True)
class Reply:
    """What a server answers, whatever its status is; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def ask_once(target: Target, most: int, deadline: Deadline, headers: Mapping[str, str], method: str = "GET") -> Reply:
    """Return what the server at `target` answers to one request without a body; no redirect is followed.

    Raises:
        InputError: there is no whole answer; the line says why, and shows nothing secret.
    """
    with _errors(target, deadline), _connect(target, deadline, None) as connection:
        return _reply(_send(_Wire(connection, deadline, 2 * most + _HEAD), target, headers, method), target, most)


def _reply(response: http.client.HTTPResponse, target: Target, most: int) -> Reply:
    _check_length(response, target, most)
    # Of several headers of one name the first counts.
    said = {name.lower(): value for name, value in reversed(response.getheaders())}
    return Reply(response.status, said, _read(response, target, most))


def _authorization(parts: urllib.parse.SplitResult) -> str | None:
    if "@" not in parts.netloc:
        return None
    user, password = (urllib.parse.unquote(each or "") for each in (parts.username, parts.password))
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True)
class Post:
    """A POST of a JSON document; where it redirects to is not followed.

    Attributes:
        url: http or https, without user info.
        body: the document.
        tls: what the server is held against, and what proves who we are; None for the authorities of the system.
        authorization: the header of this name; None for none.
        is_secret: nobody on the way may read it.
    """

    url: str
    body: bytes = field(repr=False)
    tls: ssl.SSLContext | None = None
    authorization: str | None = field(default=None, repr=False)
    is_secret: bool = False

    def target(self) -> Target:
        """Return where it goes to.

        Raises:
            InputError: `url` is no such URL.
        """
        # An empty header is not sent, and counts as something secret.
        secret = self.authorization or ("" if self.is_secret else None)
        return replace(Target.parse(self.url), authorization=secret)


def post(request: Post, most: int, deadline: Deadline) -> Reply:
    """Return what a server answers, of at most `most` bytes.

    Raises:
        InputError: there is no whole answer; the line says why, and shows nothing secret.
    """
    target = request.target()
    with _errors(target, deadline), _connect(target, deadline, None, request.tls) as connection:
        wire = _Wire(connection, deadline, 2 * most + _HEAD)
        return _reply(_send(wire, target, _JSON, body=request.body), target, most)


@contextlib.contextmanager
def post_for_lines(
    request: Post, most: int, deadline: Deadline, is_wanted: Callable[[], bool], silence: float
) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Give the status, and the lines of an answer that goes on without an end.

    Args:
        request: what is asked.
        most: bytes that one line may have.
        deadline: until the answer begins.
        is_wanted: asked every second in which nothing comes; when it says no, the lines end.
        silence: seconds without a byte after which the server counts as gone.

    Raises:
        InputError: as `post`, also from the lines.
    """
    target = request.target()
    with _errors(target, deadline), _connect(target, deadline, None, request.tls) as connection:
        _keep_alive(connection)
        wire = _Stream(connection, deadline, is_wanted, silence)
        response = _send(wire, target, _JSON, body=request.body)
        wire.has_begun = True
        yield response.status, _lines(response, target, most)


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _lines(response: http.client.HTTPResponse, target: Target, most: int) -> Iterator[bytes]:
    rest = bytearray()
    with contextlib.suppress(_Unwanted):
        while chunk := response.read1(_CHUNK):
            for part in chunk.splitlines(keepends=True):
                rest += part
                if len(rest) > most:
                    raise target.error(f"is too large: a line of more than {most} bytes")
                if part.endswith(b"\n"):
                    yield bytes(rest)
                    rest.clear()
        if rest:
            yield bytes(rest)


@contextlib.contextmanager
def _connect(
    target: Target, deadline: Deadline, sent_by: Network | None, tls: ssl.SSLContext | None = None
) -> Iterator[socket.socket]:
    """Connect to the first address that answers, and for https have the server prove its name.

    `sent_by`: the network of the server that sent us here; None for where we began. `tls`: as in `Post`.
    """
    plain = _dial(target, deadline, sent_by)
    try:
        if target.scheme == "http":
            yield plain
            return
        # Made anew each time, since the authorities of the system change while a node runs.
        context = tls or ssl.create_default_context()
        plain.settimeout(deadline.at_most(deadline.limits.idle))
        with context.wrap_socket(plain, server_hostname=target.where.host) as secured:
            yield secured
    finally:
        plain.close()


def _dial(target: Target, deadline: Deadline, sent_by: Network | None) -> socket.socket:
    failure: Exception = OSError("has no address")
    where = target.where
    for family, kind, protocol, _, address in socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM):
        # Judged here, where it is connected to: what a name leads to may be another address a moment later.
        refused = _refusal(target, network_of(str(address[0])), sent_by)
        if refused is not None:
            failure = refused
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.at_most(deadline.limits.connect))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _refusal(target: Target, network: Network, sent_by: Network | None) -> InputError | None:
    """Return why an address in `network` is not connected to for this URL."""
    if sent_by is not None and not may_lead(sent_by, network):
        kind = network.name.lower().replace("_", "-")
        return target.error(
            f"was redirected to, and is a {kind} address: a server elsewhere does not lead there",
            "name this URL itself if it is meant",
        )
    if target.scheme == "http" and target.authorization is not None and network is not Network.LOOPBACK:
        return target.error("has a user name or password, which http would send for all to read", "use https")
    return None


class _TooMuch(Exception):
    """More bytes have come than any good answer has."""


class _Wire(io.RawIOBase):
    """A socket as http.client wants it, with a deadline and a number of bytes that each read goes by."""

    def __init__(self, sock: socket.socket, deadline: Deadline, most: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._left = most

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.at_most(self._deadline.limits.idle))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self._sock.settimeout(self._deadline.at_most(self._deadline.limits.idle))
        count = self._sock.recv_into(cast("bytearray", buffer))
        self._left -= count
        if self._left < 0:
            raise _TooMuch
        return count

    def close(self) -> None:
        """Do nothing: http.client closes it while it still reads; `_connect` does it in the end."""


class _Unwanted(Exception):
    """Nobody wants what a stream brings any more."""


class _Stream(_Wire):
    """A wire that once an answer `has_begun` waits for as long as somebody wants what comes."""

    def __init__(self, sock: socket.socket, deadline: Deadline, is_wanted: Callable[[], bool], silence: float) -> None:
        super().__init__(sock, deadline, _HEAD)
        self._is_wanted = is_wanted
        self._silence = silence
        self.has_begun = False

    def readinto(self, buffer: object) -> int:
        if not self.has_begun:
            return super().readinto(buffer)
        self._sock.settimeout(_TICK)
        waited = 0.0
        while waited < self._silence:
            try:
                return self._sock.recv_into(cast("bytearray", buffer))
            except TimeoutError:
                waited += _TICK
                if not self._is_wanted():
                    raise _Unwanted from None
        raise TimeoutError


def _ask(
    sock: socket.socket, target: Target, most: int, deadline: Deadline, known: Validators | None
) -> http.client.HTTPResponse:
    headers = {}
    if known is not None and known.url == target.url:
        if known.etag is not None:
            headers["If-None-Match"] = known.etag
        if known.modified is not None:
            headers["If-Modified-Since"] = known.modified
    # Twice the size: a body in small chunks has much around it, and a chunk may claim any length.
    return _send(_Wire(sock, deadline, 2 * most + _HEAD), target, headers)


def _send(
    wire: _Wire, target: Target, more: Mapping[str, str], method: str = "GET", body: bytes | None = None
) -> http.client.HTTPResponse:
    headers = {
        "Host": target.host_header,
        "User-Agent": f"blixard/{blixard.__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **more,
    }
    if target.authorization:
        headers["Authorization"] = target.authorization
    connection = http.client.HTTPConnection(target.where.host, target.where.port)
    connection.sock = cast("socket.socket", wire)
    connection.request(method if body is None else "POST", target.path, body, headers)
    return connection.getresponse()


def _answer(response: http.client.HTTPResponse, target: Target, most: int, known: Validators | None) -> Document | None:
    if response.status == http.HTTPStatus.NOT_MODIFIED and known is not None and known.url == target.url:
        return None
    if response.status != http.HTTPStatus.OK:
        gone = response.status in _GONE
        mend = "its last good peers are kept; to take peers away, serve [] there" if gone else ""
        raise target.error(f"the server answers {_status(response.status)}", mend)
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise target.error("comes compressed, though that was not asked for", "serve it as it is")
    _check_length(response, target, most)
    return Document(_read(response, target, most), _validators(response, target.url))


def _check_length(response: http.client.HTTPResponse, target: Target, most: int) -> None:
    if response.length is not None and response.length > most:
        raise target.error(f"is too large: {response.length} bytes, more than {most}")


def _status(code: int) -> str:
    # The server's own words are not repeated.
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _read(response: http.client.HTTPResponse, target: Target, most: int) -> bytes:
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > most:
            raise target.error(f"is too large: more than {most} bytes")
    if response.length:
        raise target.error(f"is cut off: {response.length} bytes are missing")
    return bytes(body)


def _validators(response: http.client.HTTPResponse, url: str) -> Validators | None:
    etag = _usable(response.getheader("ETag"))
    modified = _usable(response.getheader("Last-Modified"))
    if modified is not None and not _is_settled(modified, response.getheader("Date")):
        modified = None
    return Validators(url, etag, modified) if etag or modified else None


def _usable(value: str | None) -> str | None:
    good = value is not None and value.isascii() and value.isprintable() and 0 < len(value) <= _MAX_VALIDATOR
    return value if good else None


def _is_settled(modified: str, date: str | None) -> bool:
    """Tell whether a document that changes again will show a later date; its dates count only seconds."""
    try:
        first, then = (email.utils.parsedate_to_datetime(each).timestamp() for each in (modified, date or ""))
    except (ValueError, TypeError, OverflowError):
        return False
    return then - first > RACY


@contextlib.contextmanager
def _errors(target: Target, deadline: Deadline) -> Iterator[None]:
    """Turn whatever can go wrong on the way to a server into one line."""
    try:
        yield
    except TimeoutError:
        limits = deadline.limits
        raise target.error(
            f"took longer than {limits.total:g} s" if deadline.is_over() else "the server did not answer in time",
            _mend_unreachable(),
        ) from None
    except ssl.SSLCertVerificationError as error:
        mend = "mend the certificate, or name the file of your authority in SSL_CERT_FILE"
        raise target.error(f"the server's certificate is refused: {error.verify_message}", mend) from None
    except ssl.SSLError as error:
        raise target.error(f"TLS failed: {error.reason or error}", "is it an https server?") from None
    except socket.gaierror as error:
        raise target.error(f"its host cannot be looked up: {error.strerror}") from None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise target.error(f"cannot be read from {target.where}: {reason}", _mend_unreachable()) from None
    except _TooMuch:
        raise target.error("is too large: the server sends more than any such document has") from None
    except (http.client.HTTPException, ValueError) as error:
        raise target.error(f"the server does not speak HTTP as it should: {type(error).__name__}") from None


def _mend_unreachable() -> str:
    return "proxies of the environment are not used" if any(map(os.environ.get, _PROXIES)) else ""
