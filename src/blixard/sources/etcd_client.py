# SPDX-License-Identifier: MIT
"""What etcd is asked over its JSON gateway: one call at a time, at whichever of its endpoints answers.

Blocking. Bounded in size and time as `http_client` is, which also judges what may be sent without TLS.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from blixard.documents.files import read_limited
from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.model.addresses import HostPort
from blixard.model.limits import MAX_KEY_BYTES, MAX_URL
from blixard.model.words import quoted
from blixard.sources.http_client import Deadline, Post, post, post_for_lines
from blixard.sources.http_document import is_loopback
from blixard.sources.urls import name_of

if TYPE_CHECKING:
    from blixard.sources.base import EtcdAccess

_Understood = TypeVar("_Understood")

PAGE = 250
"""Keys that are read at once."""

MAX_ANSWER = 24 * 1024 * 1024
"""Bytes of an answer: so many keys, each with the largest registry, in base64."""

SILENCE = 900.0
"""Seconds in which a watch says nothing; etcd says that it is there every ten minutes."""

MAX_ENDPOINTS = 16
_SCHEMES = {"etcd": "http", "etcds": "https"}
_DEFAULT_PORT = 2379
_PREFIX = re.compile(r"[A-Za-z0-9._/-]{1,200}")
_MAX_PEM = 256 * 1024
_MAX_TOKEN = 4096
_OK = 200
_UNAVAILABLE = 500


def tls_of(access: EtcdAccess) -> ssl.SSLContext:
    """Return what TLS is done with.

    Raises:
        InputError: a file cannot be used.
    """
    authorities = None if access.ca_file is None else _text(access.ca_file, _MAX_PEM)
    try:
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise InputError("has no certificate in PEM form", file=str(access.ca_file)) from None
    if access.cert_file is not None:
        # Looked at first: others must not read it, and the ssl module would wait for a FIFO.
        read_limited(access.key_file or access.cert_file, _MAX_PEM, forbidden=0o077)
        try:
            context.load_cert_chain(access.cert_file, access.key_file, password=lambda: b"")
        except (OSError, ssl.SSLError, ValueError):
            mend = "name a certificate in PEM form and its key, without a passphrase"
            raise InputError("cannot be used with its key", file=str(access.cert_file), mend=mend) from None
    return context


def password_of(access: EtcdAccess) -> str:
    """Return the user's password.

    Raises:
        InputError: there is none, or others may read it.
    """
    if access.password_file is None:
        mend = "name the file with the password in etcd_password_file"
        raise InputError(f"the user {quoted(access.user or '')} has no password", mend=mend)
    return _text(access.password_file, MAX_KEY_BYTES, forbidden=0o077).strip("\r\n")


def _text(path: Path, most: int, *, forbidden: int = 0) -> str:
    try:
        return read_limited(path, most, forbidden=forbidden).decode()
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", file=str(path)) from None


@dataclass(frozen=True)
class EtcdPlace:
    """A prefix of keys in one etcd cluster, and the endpoints at which that is asked."""

    scheme: str
    endpoints: tuple[HostPort, ...]
    prefix: str

    @classmethod
    def parse(cls, url: str) -> EtcdPlace:
        """Read `etcd://HOST:PORT[,HOST:PORT…]/PREFIX`, or `etcds://` for TLS; the port is 2379 where none is said.

        The prefix is all that follows the first slash: two slashes for keys that begin with one.

        Raises:
            InputError: no such form.
        """
        scheme, _, rest = url.partition("://")
        hosts, slash, prefix = rest.partition("/")
        prefix = prefix.rstrip("/")
        if len(url) > MAX_URL or "@" in rest or scheme.lower() not in _SCHEMES:
            mend = "write etcd://HOST:PORT/PREFIX; user and password have options and a file of their own"
            raise InputError("is not the place of an etcd", file=name_of(url), mend=mend)
        if not slash or not _PREFIX.fullmatch(prefix):
            mend = "write etcd://HOST:PORT/PREFIX, with letters, digits, '.', '_', '-' and '/' in the prefix"
            raise InputError("has no usable prefix", file=name_of(url), mend=mend)
        endpoints = tuple(dict.fromkeys(_endpoint(each, url) for each in hosts.split(",")))
        if len(endpoints) > MAX_ENDPOINTS:
            raise InputError(f"has more than {MAX_ENDPOINTS} endpoints", file=name_of(url))
        return cls(scheme.lower(), endpoints, prefix)

    def __str__(self) -> str:
        return f"{self.scheme}://{','.join(map(str, self.endpoints))}/{self.prefix}"

    @property
    def is_plain(self) -> bool:
        """Whether some endpoint does not prove who it is, beyond this host."""
        return self.scheme == "etcd" and not all(is_loopback(each.host) for each in self.endpoints)

    def key(self, name: str) -> bytes:
        """Return the key of `name` under the prefix."""
        return f"{self.prefix}/{name}".encode()


def _endpoint(text: str, url: str) -> HostPort:
    has_port = re.search(r":[0-9]+$", text) is not None and not re.fullmatch(r"\[[^\]]*\]", text)
    try:
        return HostPort.parse(text if has_port else f"{text}:{_DEFAULT_PORT}")
    except InputError as error:
        raise InputError(error.reason, file=name_of(url), mend="write etcd://HOST:PORT/PREFIX") from None


@dataclass(frozen=True)
class Header:
    """Which cluster answered, and its revision at that moment."""

    cluster: int
    revision: int


@dataclass(frozen=True)
class KeyValue:
    """A key, the revision that changed it last, and its value; None where that is that it was removed."""

    key: bytes
    revision: int
    value: bytes | None


@dataclass(frozen=True)
class Range:
    """What is at the keys of a range.

    Attributes:
        header: of the answer.
        items: the keys that were asked for, in order.
        count: how many keys the range has.
        more: whether there are more of those that were asked for.
    """

    header: Header
    items: tuple[KeyValue, ...]
    count: int
    more: bool


@dataclass(frozen=True)
class WatchMessage:
    """What a watch says at once.

    Attributes:
        header: of the message.
        events: what changed, in order.
        end: why the watch ends here; None where it goes on.
    """

    header: Header
    events: tuple[KeyValue, ...]
    end: str | None


class Refused(InputError):
    """etcd understood, and says no; another endpoint would say the same."""


class Etcd:
    """Asks one etcd cluster. For one thread at a time."""

    def __init__(self, place: EtcdPlace, access: EtcdAccess) -> None:
        self.place = place
        self._access = access
        self._endpoints = list(place.endpoints)
        self._token: str | None = None

    def twin(self) -> Etcd:
        """Return one for another thread, which asks the same endpoint first."""
        twin = Etcd(self.place, self._access)
        twin._endpoints = list(self._endpoints)
        return twin

    def next_endpoint(self) -> None:
        """Begin with another endpoint the next time."""
        self._endpoints.append(self._endpoints.pop(0))

    def range(self, first: bytes, end: bytes | None, deadline: Deadline, **options: object) -> Range:
        """Return what is at the keys from `first` to before `end`, or at `first` alone.

        Args:
            first: the first key.
            end: the key after the last; None for one key.
            deadline: for the call.
            options: more members of etcd's RangeRequest.

        Raises:
            InputError: as `call`.
        """
        wanted: dict[str, object] = {"key": encoded(first), **options}
        if end is not None:
            wanted["range_end"] = encoded(end)
        answer = self.call("kv/range", wanted, deadline)
        return self._understand(lambda: parse_range(answer))

    def value(self, key: bytes, deadline: Deadline) -> KeyValue | None:
        """Return what is at one key; None for nothing."""
        found = self.range(key, None, deadline).items
        return found[0] if found else None

    def watch(
        self, first: bytes, end: bytes, start: int, deadline: Deadline, is_wanted: Callable[[], bool]
    ) -> Iterator[WatchMessage]:
        """Give what changes in a range from the revision `start` on, until nobody wants it or the watch ends.

        Raises:
            InputError: as `call`.
        """
        wanted = {
            "create_request": {
                "key": encoded(first),
                "range_end": encoded(end),
                "start_revision": str(start),
                "progress_notify": True,
            }
        }
        request = self._post("watch", wanted, deadline)
        with post_for_lines(request, MAX_ANSWER, deadline, is_wanted, SILENCE) as (status, lines):
            for line in lines:
                if status != _OK:
                    raise _refusal(status, line, self._shown())
                message: WatchMessage = self._understand(functools.partial(parse_watch, line))
                yield message
                if message.end is not None:
                    return

    def call(self, method: str, wanted: Mapping[str, object], deadline: Deadline) -> dict[str, Any]:
        """Return the answer of the endpoint that answered last, or of the first other one that does.

        Raises:
            Refused: etcd says no.
            InputError: no endpoint gives a good answer; the line says why, and shows nothing secret.
        """
        failure: InputError | None = None
        for _ in range(len(self._endpoints)):
            try:
                return self._call(method, wanted, deadline)
            except Refused:
                raise
            except InputError as error:
                failure = failure or error
                self.next_endpoint()
                if deadline.is_over():
                    break
        assert failure is not None  # noqa: S101 # there is at least one endpoint
        raise failure

    def _call(self, method: str, wanted: Mapping[str, object], deadline: Deadline) -> dict[str, Any]:
        try:
            return self._ask(self._post(method, wanted, deadline), deadline)
        except Refused:
            if self._token is None:
                raise
            # It has run out, or users have changed; if it was not that, the same answer comes again.
            self._token = None
            return self._ask(self._post(method, wanted, deadline), deadline)

    def _post(self, method: str, wanted: Mapping[str, object], deadline: Deadline) -> Post:
        if self._access.user is not None and self._token is None:
            self._token = self._authenticate(self._access.user, deadline)
        return self._request(method, wanted, authorization=self._token or None)

    def _request(self, method: str, wanted: Mapping[str, object], **more: Any) -> Post:
        scheme = _SCHEMES[self.place.scheme]
        tls = tls_of(self._access) if scheme == "https" else None
        url = f"{scheme}://{self._endpoints[0]}/v3/{method}"
        return Post(url, json.dumps(wanted).encode(), tls, **more)

    def _authenticate(self, user: str, deadline: Deadline) -> str:
        """Return a token; an empty one where etcd has authentication switched off."""
        wanted = {"name": user, "password": password_of(self._access)}
        try:
            answer = self._ask(self._request("auth/authenticate", wanted, is_secret=True), deadline)
        except Refused as error:
            if error.reason == _REASONS["authentication is not enabled"][0]:
                return ""
            raise
        token = answer.get("token")
        if not isinstance(token, str) or not (token.isascii() and token.isprintable() and 0 < len(token) <= _MAX_TOKEN):
            raise self._error("gave no token for its user")
        return token

    def _ask(self, request: Post, deadline: Deadline) -> dict[str, Any]:
        try:
            answer = post(request, MAX_ANSWER, deadline)
        except InputError as error:
            raise self._error(error.reason, error.mend) from None
        if answer.status != _OK:
            raise _refusal(answer.status, answer.body, self._shown())
        return self._understand(lambda: _object(answer.body))

    def _understand(self, parse: Callable[[], _Understood]) -> _Understood:
        try:
            return parse()
        except InputError as error:
            where = f" ({error.place})" if error.place else ""
            raise self._error(f"does not answer as an etcd does: {error.reason}{where}", error.mend) from None

    def _error(self, reason: str, mend: str = "") -> InputError:
        return InputError(reason, file=self._shown(), mend=mend)

    def _shown(self) -> str:
        """Return the place with the endpoint that is asked now."""
        return f"{self.place.scheme}://{self._endpoints[0]}/{self.place.prefix}"


_REASONS = {
    "permission denied": ("does not let this user do that", "grant its role the prefix"),
    "authentication failed, invalid user ID or password": (
        "refuses the user or the password",
        "see to etcd_user and etcd_password_file",
    ),
    "authentication is not enabled": ("has no users", ""),
    "user name is empty": ("wants a user and a password", "set etcd_user and etcd_password_file"),
    "invalid auth token": ("refuses the token that it gave", ""),
    "revision in auth store is old": ("has changed its users", ""),
    "mvcc: required revision has been compacted": ("has forgotten the revision that was asked for", ""),
    "mvcc: required revision is a future revision": ("is behind what it said before", ""),
    "mvcc: database space exceeded": ("has no space left", "compact and defragment it, or raise its quota"),
    "request is too large": ("takes no request of this size", "raise its --max-request-bytes"),
    "requested lease not found": ("does not know the lease", ""),
}
"""What etcd says, in words of our own: those of a server are not repeated."""


def _refusal(status: int, body: bytes, shown: str) -> InputError:
    """Return what an answer that is not good means: a no, or an endpoint that cannot answer."""
    try:
        said = _object(body.partition(b"\n")[0])
    except InputError:
        return InputError(f"the server answers {status}, and not as an etcd does", file=shown)
    message = str(said.get("message") or said.get("error") or "").removeprefix("etcdserver: ")
    reason, mend = _REASONS.get(message, (f"answers {status} (gRPC code {_number(said, 'code')})", ""))
    kind = InputError if status >= _UNAVAILABLE else Refused
    return kind(reason, file=shown, mend=mend)


def encoded(data: bytes) -> str:
    """Return bytes as the gateway has them."""
    return base64.b64encode(data).decode()


def parse_range(answer: Mapping[str, Any]) -> Range:
    """Read the answer to a range.

    Raises:
        InputError: it is none.
    """
    items = tuple(_key_value(each) for each in _list(answer, "kvs"))
    return Range(_header(answer), items, _number(answer, "count"), answer.get("more") is True)


def parse_watch(line: bytes) -> WatchMessage:
    """Read one message of a watch.

    Raises:
        InputError: it is none.
    """
    said = _object(line)
    if "error" in said:
        raise InputError("the watch ended with an error")
    result = _member(said, "result")
    header = _header(result)
    events = []
    for each in _list(result, "events"):
        if not isinstance(each, dict):
            raise InputError("an event is no object")
        changed = _key_value(_member(each, "kv"))
        is_removed = each.get("type") in ("DELETE", 1)
        events.append(KeyValue(changed.key, changed.revision, None) if is_removed else changed)
    end = None
    if result.get("canceled") is True:
        compacted = _number(result, "compact_revision")
        end = f"changes before revision {compacted} are compacted" if compacted else "etcd ended the watch"
    return WatchMessage(header, tuple(events), end)


def _object(data: bytes) -> dict[str, Any]:
    value = loads(data)
    if not isinstance(value, dict):
        raise InputError("is no object")
    return value


def _member(within: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = within.get(name)
    if not isinstance(value, dict):
        raise InputError(f"has no {name}")
    return value


def _list(within: Mapping[str, Any], name: str) -> list[Any]:
    value = within.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(f"{name} is no list")
    return value


def _header(answer: Mapping[str, Any]) -> Header:
    header = _member(answer, "header")
    return Header(_number(header, "cluster_id"), _number(header, "revision"))


def _key_value(item: object) -> KeyValue:
    if not isinstance(item, dict):
        raise InputError("a key is no object")
    value = item.get("value", "")
    return KeyValue(_decoded(item.get("key")), _number(item, "mod_revision"), _decoded(value))


def _decoded(text: object) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise InputError("a key or a value is not in base64")


def _number(within: Mapping[str, Any], name: str) -> int:
    """Return a number, which the gateway writes as text and leaves out when it is 0."""
    value = within.get(name, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if type(value) is not int or not 0 <= value < 2**64:
        raise InputError(f"{name} is {quoted(str(value))}, and no number")
    return value


def everything(
    client: Etcd, first: bytes, end: bytes, deadline: Deadline, *, most: int, room: int, **options: object
) -> Range:
    """Return a whole range as it is at one revision, page by page.

    Args:
        client: asks.
        first: the first key.
        end: the key after the last.
        deadline: for all of it.
        most: keys that there may be.
        room: bytes that keys and values may have together.
        options: as of `Etcd.range`.

    Raises:
        InputError: there are more, or a page is no continuation of the one before.
    """
    found: list[KeyValue] = []
    at, used = first, 0
    page = client.range(at, end, deadline, limit=PAGE, **options)
    head = page
    while True:
        for item in page.items:
            if not at <= item.key < end:
                raise InputError("answers with keys that were not asked for", file=str(client.place))
            at = item.key + b"\0"
            used += len(item.key) + len(item.value or b"")
        found += page.items
        if len(found) > most or used > room:
            raise InputError(f"has more than {most} keys, or {room} bytes", file=str(client.place))
        if not page.more or not page.items:
            return Range(head.header, tuple(found), len(found), more=False)
        page = client.range(at, end, deadline, limit=PAGE, revision=str(head.header.revision), **options)
        if page.header.cluster != head.header.cluster:
            raise InputError("has endpoints of more than one cluster", file=str(client.place))
