# SPDX-License-Identifier: MIT
"""The sources that a configuration can name, and how they are made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.errors import InputError
from blixard.model.addresses import HostPort
from blixard.model.tickets import looks_like_ticket, parse_ticket
from blixard.sources.base import Answer, Failed
from blixard.sources.host_port import HostPortLocation
from blixard.sources.registry_files import RegistryFiles
from blixard.sources.static_file import StaticFile
from blixard.sources.ticket import TicketLocation

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.attestations import AttestationCheck
    from blixard.sources.base import Source, SourceKind
    from blixard.sources.host_port import IsKnown
    from blixard.sources.seen import SeenNumbers
    from blixard.sources.ticket import Introduce

_FILE_URL = "file://"
_HTTP = ("http://", "https://")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class DiscoverySource:
    """The kinds of sources that a configuration can name."""

    @dataclass(frozen=True)
    class NodeRegistry:
        """Registry files: a path, a directory, a glob, a ticket, a URL or `host:port`, each a source of its own."""

        locations: Sequence[str | Path]

    @dataclass(frozen=True)
    class StaticFile:
        """A peers file. A file that is not there (yet) is no error: it says nothing."""

        path: str | Path


Named = DiscoverySource.NodeRegistry | DiscoverySource.StaticFile


@dataclass(frozen=True)
class Tools:
    """What sources need from outside: verification, the date and time, and what only a running node can do."""

    check: AttestationCheck
    wall: Callable[[], datetime]
    is_known: IsKnown
    introduce: Introduce | None = None
    own: EndpointId | None = None
    cluster: str | None = None
    signers: Collection[EndpointId] = ()
    seen: SeenNumbers | None = None


class Unusable:
    """Stands for a location that cannot be used, so that it is reported and hides no other."""

    kind: SourceKind = "registry"

    def __init__(self, location: str, error: InputError) -> None:
        self.name = f"registry:{location[:80]}"
        self._answer = Failed(str(error))

    async def fetch(self) -> Answer:
        """Say what is wrong, as `Source.fetch`."""
        return self._answer


def make_sources(named: Iterable[Named | Source], tools: Tools) -> list[Source]:
    """Make the sources, in order; one that is named twice is made once."""
    made: dict[str, Source] = {}
    for each in named:
        for source in _make(each, tools):
            made.setdefault(source.name, source)
    return list(made.values())


def _make(named: Named | Source, tools: Tools) -> list[Source]:
    if isinstance(named, DiscoverySource.NodeRegistry):
        return [registry_at(location, tools) for location in named.locations]
    if isinstance(named, DiscoverySource.StaticFile):
        return [
            StaticFile(
                named.path,
                check=tools.check,
                wall=tools.wall,
                signers=tools.signers,
                cluster=tools.cluster,
                seen=tools.seen,
            )
        ]
    return [named]


def registry_at(location: str | Path, tools: Tools) -> Source:
    """Return the source for one location of registries.

    What exists as a path is one, whatever else it looks like.
    """
    try:
        return _understand(location, tools)
    except InputError as error:
        return Unusable(str(location), error)


def _understand(location: str | Path, tools: Tools) -> Source:
    text = str(location)
    if not text or "\0" in text:
        raise InputError("is not a location", file=text, mend="name a path, a URL, a ticket or host:port")
    if isinstance(location, Path) or os.path.lexists(text):
        return _files(text, tools)
    if _URL.match(text):
        return _at_url(text, tools)
    if looks_like_ticket(text):
        return TicketLocation(parse_ticket(text), introduce=tools.introduce, check=tools.check, own=tools.own)
    where = _host_port(text)
    return _files(text, tools) if where is None else HostPortLocation(where, tools.is_known)


def _at_url(url: str, tools: Tools) -> Source:
    if url.startswith(_FILE_URL):
        return _files(url[len(_FILE_URL) :], tools)
    # Imported here: ssl and urllib cost 10 ms that a node with files only need not spend.
    if url.lower().startswith(_HTTP):
        from blixard.sources.http import HttpRegistry

        return HttpRegistry(url, check=tools.check, wall=tools.wall)
    from blixard.sources.remote import RemoteRegistries

    return RemoteRegistries(url, check=tools.check, wall=tools.wall)


def _files(path: str, tools: Tools) -> Source:
    return RegistryFiles(path, check=tools.check, wall=tools.wall)


def _host_port(text: str) -> HostPort | None:
    if os.sep in text:
        return None
    try:
        return HostPort.parse(text)
    except InputError:
        return None
