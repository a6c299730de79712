# SPDX-License-Identifier: MIT
"""A registry or a peers file at an http or https URL."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING

from blixard.errors import BlixardError
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.sources.base import Answer, Failed, Found
from blixard.sources.document_reader import DocumentReader
from blixard.sources.http_client import Deadline, Limits, Target, Validators, get
from blixard.sources.urls import beside, name_of, shown
from blixard.sources.worker import StillBusy, Worker
from blixard.trust.peers_signature import SIGNATURE_SUFFIX

if TYPE_CHECKING:
    from blixard.sources.base import SourceContext, SourceKind

_GRACE = 1.0
"""Seconds beyond the limit after which the thread is left to itself: looking up a name cannot be interrupted."""

_log = logging.getLogger("blixard.sources")


class HttpSource:
    """Gets a document, and gets it again only when the server says that it has changed.

    Whatever is not a good answer is a failure, 404 and 410 too: a server that has lost its files looks the same. To
    take all peers away, serve `[]`; to take one away, its registry with its state.

    Where signers are trusted, a peers file needs its signature beside it, at the same URL with `.sig`, and a registry
    its attestation. Otherwise what comes over plain http from another host counts only where it is attested.
    """

    kind: SourceKind = "registry"

    def __init__(self, url: str, context: SourceContext, *, limits: Limits | None = None) -> None:
        """`limits`: of time; together well below what the manager gives a source.

        Raises:
            InputError: `url` is no http or https URL.
        """
        target = Target.parse(url)
        self._is_plain = target.scheme == "http"
        self._url = url
        self._place = name_of(url)
        self.name = f"registry:{self._place}"
        self._limits = limits or Limits()
        beyond = self._is_plain and not is_loopback(target.where.host)
        self._reader = DocumentReader(self._place, context, name=self.name, is_plain=beyond)
        self._worker: Worker[Found] = Worker()
        self._good: Found | None = None
        self._validators: Validators | None = None

    async def fetch(self) -> Answer:
        """Ask the server, as `Source.fetch`."""
        return await self._reader.backed(await self._ask())

    async def _ask(self) -> Answer:
        if self._is_plain:
            self._is_plain = False
            _log.warning(
                "not encrypted", extra={"source": self.name, "mend": "anyone on the way can change it; use https"}
            )
        try:
            return await asyncio.wait_for(self._worker.run(self._look), self._limits.total + _GRACE)
        except (StillBusy, asyncio.TimeoutError):
            return Failed(f"{shown(self._url)}: the last request has not come back; does the name server answer?")
        except BlixardError as error:
            return Failed(str(error))

    def _look(self) -> Found:
        deadline = Deadline(self._limits)
        known = None if self._reader.is_superseded else self._validators
        document = get(self._url, MAX_PEERS_BYTES, deadline, known)
        if document is None:
            assert self._good is not None  # noqa: S101 # it came with the validators
            return self._good
        self._good = self._reader.read(document.body, lambda: self._get_signature(deadline))
        # Kept only now: what could not be used is asked for in full again.
        self._validators = document.validators
        return self._good

    def _get_signature(self, deadline: Deadline) -> bytes:
        document = get(beside(self._url, SIGNATURE_SUFFIX), MAX_SIGNATURE_BYTES, deadline)
        assert document is not None  # noqa: S101 # nothing was said to be known
        return document.body


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
