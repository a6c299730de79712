# SPDX-License-Identifier: MIT
"""Asking the servers of a cloud, metadata and listing API alike: directly, once, and believing little of an answer.

No proxy stands between, no redirect is followed, tokens stand in headers alone, and each look has its time.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from blixard.documents.json_bytes import loads
from blixard.errors import InputError
from blixard.model.limits import MAX_PEERS, MAX_PEERS_BYTES, MIB
from blixard.sources.http_client import Deadline, Limits, Reply, Target, ask_once

METADATA_LIMITS = Limits(connect=1.0, idle=2.0, total=4.0)
API_LIMITS = Limits(connect=2.0, idle=4.0, total=5.0)

MAX_METADATA_BYTES = MIB
"""GCP takes 512 KiB of attributes for a machine, more than any other cloud."""

MAX_PAGES = 200
"""Pages of one list; an API that has a next page for ever is given up."""

_OK, _NOT_FOUND = 200, 404
_TOKEN = re.compile(r"[!-~]{1,16384}")
_CODE = re.compile(rb'<Code>([A-Za-z.]{1,64})</Code>|"(?:code|status)"\s*:\s*"([A-Za-z_.]{1,64})"')
_PREFIX = "blixard-"


@dataclass(frozen=True)
class Service:
    """A server of a cloud during one look.

    Attributes:
        base: its URL, without a slash at the end.
        what: its name, for errors.
        deadline: when all that is asked of it must be done.
        mend: what to do where it does not answer.
        refused: what to do where it answers that this is not allowed.
        headers: sent each time.
        authorization: the header of this name; None for none. Over http it goes to loopback alone.
        most: bytes that one answer may have.
    """

    base: str
    what: str
    deadline: Deadline
    mend: str = ""
    refused: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    most: int = MAX_PEERS_BYTES

    @classmethod
    def of_metadata(
        cls, url: str, cloud: str, *, what: str = "service", mend: str = "", refused: str, headers: Mapping[str, str]
    ) -> Service:
        """Return the metadata service of a machine of `cloud`; `mend` follows the question whether it is one."""
        name, question = f"the metadata {what} of {cloud}", f"is this a machine of {cloud}?{mend}"
        deadline = Deadline(METADATA_LIMITS)
        return cls(url.rstrip("/"), name, deadline, question, refused, headers, most=MAX_METADATA_BYTES)

    @classmethod
    def of_api(cls, url: str, what: str, *, refused: str, token: str | None = None) -> Service:
        """Return the API with this name that lists what there is; `token` is sent to it."""
        authorization = None if token is None else f"Bearer {token}"
        return cls(url, what, Deadline(API_LIMITS), refused=refused, authorization=authorization)

    def ask(self, path: str, *, headers: Mapping[str, str] | None = None, method: str = "GET") -> Reply:
        """Return the answer with status 200.

        Raises:
            InputError: there is none.
        """
        reply = self.ask_whether(path, headers=headers, method=method)
        if reply is None:
            raise self.error(f"answers {_NOT_FOUND}", self.refused)
        return reply

    def ask_whether(self, path: str, *, headers: Mapping[str, str] | None = None, method: str = "GET") -> Reply | None:
        """Return the answer with status 200; None for 404, that there is no such thing.

        Raises:
            InputError: there is neither.
        """
        target = replace(Target.parse(self.base + path), authorization=self.authorization)
        try:
            reply = ask_once(target, self.most, self.deadline, {**self.headers, **(headers or {})}, method)
        except InputError as error:
            raise self.error(error.reason, self.mend or error.mend) from None
        if reply.status == _NOT_FOUND:
            return None
        if reply.status != _OK:
            code = _CODE.search(reply.body[:MIB])
            said = f" ({(code[1] or code[2]).decode()})" if code else ""
            raise self.error(f"answers {reply.status}{said}", self.refused if reply.status in (400, 401, 403) else "")
        return reply

    def token(self, reply: Reply) -> str:
        """Return the answer as a text that can stand in a header or a path.

        Raises:
            InputError: it cannot.
        """
        return checked_token(reply.body.decode("ascii", "replace").strip(), self.what)

    def error(self, reason: str, mend: str = "") -> InputError:
        """Return an error about this server."""
        return InputError(f"{self.what} ({self.base}) {reason}", mend=mend)


def checked_token(value: object, what: str) -> str:
    """Return a token that came from `what`.

    Raises:
        InputError: it is none: it cannot stand in a header. It is not shown.
    """
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise InputError(f"{what} answers with something that is not a token")
    return value


def object_of(body: bytes, what: str) -> dict[str, object]:
    """Return the JSON object that `body` is; `what` names who sent it.

    Raises:
        InputError: it is something else, such as the HTML of a login page.
    """
    document = loads(body, file=what)
    if not isinstance(document, dict):
        raise InputError("is not a JSON object", file=what)
    return document


def dig(value: object, *path: str) -> object:
    """Return what stands at a path of names in a JSON document; None where nothing does."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def texts(values: Iterable[object]) -> tuple[str, ...]:
    """Return those of the values that are texts, without the empty ones."""
    return tuple(value for value in values if isinstance(value, str) and value)


def each(value: object, *path: str) -> list[object]:
    """Return the items of the list at a path; none where there is no list."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def own_tags(pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return those of an instance's tags that are of this project."""
    return {
        name: value
        for name, value in pairs
        if isinstance(name, str) and name.startswith(_PREFIX) and isinstance(value, str)
    }


def query(path: str, arguments: Mapping[str, str]) -> str:
    """Return a path with a query, each character outside of letters, digits and `-_.~` encoded."""
    return f"{path}?{urllib.parse.urlencode(arguments, quote_via=urllib.parse.quote, safe='')}"


Item = TypeVar("Item")


def all_pages(ask: Callable[[str | None], tuple[list[Item], str | None]]) -> Iterator[Item]:
    """Give what is on all pages of a list.

    Args:
        ask: returns what is on a page and what asks for the next one, None on the last; is called with what asks for
            the page, None for the first.

    Raises:
        InputError: there are too many, or as `ask`.
    """
    token: str | None = None
    count = 0
    for _ in range(MAX_PAGES):
        found, token = ask(token)
        count += len(found)
        if count > MAX_PEERS:
            break
        yield from found
        if token is None:
            return
    raise InputError(f"the list has more than {MAX_PEERS} items or {MAX_PAGES} pages", mend="choose a narrower one")
