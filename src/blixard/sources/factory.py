# SPDX-License-Identifier: MIT
"""The sources that a configuration can name, and how they are made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.errors import InputError
from blixard.model.addresses import HostPort
from blixard.model.tickets import looks_like_ticket, parse_ticket
from blixard.sources.base import Answer, Failed
from blixard.sources.node_locations import HostPortLocation, TicketLocation
from blixard.sources.registry_files import RegistryFiles
from blixard.sources.static_file import StaticFile
from blixard.sources.urls import name_of, scheme_of

if TYPE_CHECKING:
    from blixard.sources.base import Source, SourceContext, SourceKind


class DiscoverySource:
    """The kinds of sources that a configuration can name."""

    @dataclass(frozen=True)
    class NodeRegistry:
        """Where registries are, each a source of its own.

        A path, a directory, a glob, a ticket, `host:port`, or a URL: `http(s)://` of a registry or a peers file,
        `etcd(s)://`, or what fsspec reads (`s3://`, `sftp://` and others), also of a folder of registries. `dns:NAME`
        as in `Dns`, `aws:` and the like as in `Cloud`, and `mdns:`.
        """

        locations: Sequence[str | Path]

    @dataclass(frozen=True)
    class StaticFile:
        """A peers file. A file that is not there (yet) is no error: it says nothing."""

        path: str | Path

    @dataclass(frozen=True)
    class Etcd:
        """Prefixes in etcd. URLs with one scheme and one prefix are the endpoints of one cluster."""

        urls: Sequence[str]

    @dataclass(frozen=True)
    class Dns:
        """Domains that list nodes, each a source of its own: `NAME`, `dns:NAME` or `dns://SERVER[:PORT]/NAME`."""

        names: Sequence[str]

    @dataclass(frozen=True)
    class Cloud:
        """What a cloud is asked, each location a source of its own: `aws:`, `gcp:tag=KEY=VALUE` and so on."""

        locations: Sequence[str]

    @dataclass(frozen=True)
    class Mdns:
        """What is announced on this host's links; a node announces itself there too."""


_CLOUD = re.compile(r"(aws|gcp|azure):(?![0-9]+$)")
"""A location in a cloud; `aws:7001` is a host and its port."""

Named = (
    DiscoverySource.NodeRegistry
    | DiscoverySource.StaticFile
    | DiscoverySource.Dns
    | DiscoverySource.Etcd
    | DiscoverySource.Cloud
    | DiscoverySource.Mdns
)


class Unusable:
    """Stands for a location that cannot be used, so that it is reported and hides no other."""

    def __init__(self, location: str, error: InputError, kind: SourceKind = "registry") -> None:
        shown = location[:80] if scheme_of(location) is None else name_of(location)
        self.kind: SourceKind = kind
        self.name = f"{kind}:{shown.removeprefix(f'{kind}:')}"
        self._answer = Failed(str(error))

    async def fetch(self) -> Answer:
        """Say what is wrong, as `Source.fetch`."""
        return self._answer


def make_sources(named: Iterable[Named | Source], context: SourceContext) -> list[Source]:
    """Make the sources, in order; one that is named twice is made once."""
    made: dict[str, Source] = {}
    for each in named:
        for source in _make(each, context):
            made.setdefault(source.name, source)
    return list(made.values())


def _make(named: Named | Source, context: SourceContext) -> list[Source]:
    if isinstance(named, DiscoverySource.NodeRegistry):
        return [registry_at(location, context) for location in named.locations]
    if isinstance(named, DiscoverySource.Dns):
        return [dns_at(name, context) for name in named.names]
    if isinstance(named, DiscoverySource.Cloud):
        return [cloud_at(location, context) for location in named.locations]
    if isinstance(named, DiscoverySource.Mdns):
        return [_mdns(context)]
    if isinstance(named, DiscoverySource.StaticFile):
        return [
            StaticFile(
                named.path,
                check=context.check,
                wall=context.wall,
                signers=context.signers,
                cluster=context.cluster,
                seen=context.seen,
                memory=context.memory,
            )
        ]
    if isinstance(named, DiscoverySource.Etcd):
        return [registry_at(location, context) for location in etcd_clusters(named.urls)]
    return [named]


def _mdns(context: SourceContext) -> Source:
    try:
        # Imported here: zeroconf is there only where it was asked for.
        from blixard.sources.mdns import MdnsSource
    except ImportError:
        mend = "pip install 'blixard[mdns]'"
        return Unusable("mdns", InputError("needs a package that is not installed", file="mdns", mend=mend), "mdns")
    return MdnsSource(context)


def etcd_clusters(urls: Sequence[str]) -> list[str]:
    """Return a URL for each cluster, with all the endpoints that the URLs name of it."""
    endpoints: dict[tuple[str, str], list[str]] = {}
    for url in urls:
        scheme, _, rest = url.partition("://")
        host, _, prefix = rest.partition("/")
        endpoints.setdefault((scheme, prefix), []).append(host)
    return [f"{scheme}://{','.join(hosts)}/{prefix}" for (scheme, prefix), hosts in endpoints.items()]


def registry_at(location: str | Path, context: SourceContext) -> Source:
    """Return the source for one location of registries.

    What exists as a path is one, whatever else it looks like.
    """
    try:
        return _understand(location, context)
    except InputError as error:
        return Unusable(str(location), error)


def dns_at(name: str, context: SourceContext) -> Source:
    """Return the source for the nodes that a domain lists."""
    try:
        # Imported here: dnspython is there only where it was asked for.
        from blixard.sources.dns import dns_source
        from blixard.sources.dns_client import DnsLocation

        return dns_source(DnsLocation.parse(name), context)
    except ImportError:
        mend = "pip install 'blixard[dns]'"
        return Unusable(name, InputError("needs a package that is not installed", file=name, mend=mend), "dns")
    except InputError as error:
        return Unusable(name, error, "dns")


def cloud_at(location: str, context: SourceContext) -> Source:
    """Return the source for what a cloud is asked."""
    # Imported here: it is for those alone who ask a cloud.
    from blixard.sources.cloud import CloudLocation, CloudSource

    try:
        return CloudSource(CloudLocation.parse(location), context)
    except InputError as error:
        return Unusable(location, error, "cloud")


def _understand(location: str | Path, context: SourceContext) -> Source:
    text = str(location)
    if not text or "\0" in text:
        raise InputError("is not a location", file=text, mend="name a path, a URL, a ticket or host:port")
    if isinstance(location, Path) or os.path.lexists(text):
        return _files(text, context)
    if text[:4].lower() == "dns:":
        return dns_at(text, context)
    if text.lower() == "mdns:":
        return _mdns(context)
    scheme = scheme_of(text)
    if scheme is not None:
        return _at_url(scheme, text, context)
    if _CLOUD.match(text):
        return cloud_at(text, context)
    if looks_like_ticket(text):
        return TicketLocation(parse_ticket(text), introduce=context.introduce, check=context.check, own=context.own)
    where = _host_port(text)
    return _files(text, context) if where is None else HostPortLocation(where, context.is_known)


def _at_url(scheme: str, url: str, context: SourceContext) -> Source:
    if scheme == "file":
        return _files(url.partition("://")[2], context)
    # Imported here: ssl and http cost 10 ms that a node with files only need not spend.
    if scheme in ("http", "https"):
        from blixard.sources.http_document import HttpSource

        return HttpSource(url, context)
    if scheme in ("etcd", "etcds"):
        from blixard.sources.etcd import EtcdSource
        from blixard.sources.etcd_client import EtcdPlace

        return EtcdSource(EtcdPlace.parse(url), context)
    from blixard.sources.remote_files import RemoteSource

    return RemoteSource(url, context)


def _files(path: str, context: SourceContext) -> Source:
    return RegistryFiles(path, check=context.check, wall=context.wall)


def _host_port(text: str) -> HostPort | None:
    if os.sep in text:
        return None
    try:
        return HostPort.parse(text)
    except InputError:
        return None
