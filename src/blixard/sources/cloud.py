# SPDX-License-Identifier: MIT
"""Nodes that a cloud names: instances that carry a tag, and the seeds that this machine's own metadata names.

    PROVIDER:                                       seeds in the tag `blixard-seeds` or the user data of this machine
    PROVIDER:tag=KEY=VALUE[&OPTION=VALUE]...        the running instances with a tag

PROVIDER is aws, gcp or azure. `%XX` stands for a character that would end a value, such as a comma. Each instance is
read as the registry file that its tags make it: the one function `registry_of` does that for all providers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from blixard.documents.json_bytes import loads
from blixard.documents.registry_file import format_registry
from blixard.errors import BlixardError, InputError, one_line
from blixard.model.addresses import SocketAddress
from blixard.model.entry import NodeRegistryEntry
from blixard.model.limits import MAX_REGISTRY_BYTES
from blixard.model.words import quoted
from blixard.sources.base import Answer, Failed, Found
from blixard.sources.registry_reader import RegistryReader, RegistrySet
from blixard.sources.worker import StillBusy, Worker

if TYPE_CHECKING:
    from blixard.sources.base import SourceContext, SourceKind

TIMEOUT = 9.5
"""Seconds for one look; less than the manager gives a source, so that the reason is told."""

FRESH_FOR = 300.0
"""Seconds for which a list of instances is used without asking again: a cloud limits the calls of a whole account."""

DEFAULT_PORT = 7001
"""The port of a node whose instance has no tag `blixard-port`."""

MAX_PARTS = 8
"""Tags that one text may be spread over, since most clouds take 256 characters in each."""

NODE_ID, IROH_ID, PORT = "blixard-node-id", "blixard-iroh-id", "blixard-port"
ENTRY, SEEDS = "blixard-entry", "blixard-seeds"

_OPTIONS = {
    "aws": frozenset({"region", "public"}),
    "gcp": frozenset({"project", "public"}),
    "azure": frozenset({"subscription", "client_id", "public"}),
}
_FORM = "write aws:, gcp: or azure:, or aws:tag=KEY=VALUE for the instances with a tag"
_OPTION_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,127}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_MAX_TAG = 256


@dataclass(frozen=True)
class CloudLocation:
    """Where a cloud is asked what.

    Attributes:
        text: as it was written.
        provider: aws, gcp or azure.
        tag: key and value that the instances carry; None for this machine's own metadata.
        options: further words of the provider, such as region.
    """

    text: str
    provider: str
    tag: tuple[str, str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CloudLocation:
        """Read a location.

        Raises:
            InputError: it has another form.
        """
        provider, colon, rest = text.partition(":")
        if provider not in _OPTIONS or not colon:
            raise InputError(f"{quoted(text)} names no cloud", mend=_FORM)
        if not rest:
            return cls(text, provider)
        pairs = [(name, value) for name, _, value in (part.partition("=") for part in rest.split("&"))]
        options = dict(pairs)
        if len(options) != len(pairs) or pairs[0][0] != "tag":
            raise InputError(f"{quoted(text)} is not tag=KEY=VALUE with each option once", mend=_FORM)
        tag = tuple(_decoded(part) for part in options.pop("tag").partition("=")[::2])
        for name, value in options.items():
            _check_option(provider, name, value)
        return cls(text, provider, (tag[0], tag[1]), options)

    @property
    def is_public(self) -> bool:
        """Whether the public addresses of instances count too."""
        return self.options.get("public") == "true"


def _decoded(text: str) -> str:
    try:
        decoded = urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        decoded = ""
    if not 0 < len(decoded) <= _MAX_TAG or not decoded.isprintable():
        raise InputError(f"{quoted(text)} is no key or value of a tag: 1 to {_MAX_TAG} characters", mend=_FORM)
    return decoded


def _check_option(provider: str, name: str, value: str) -> None:
    if name not in _OPTIONS[provider]:
        known = ", ".join(sorted(_OPTIONS[provider]))
        raise InputError(f"{quoted(name)} is not an option of {provider}", mend=f"known are {known}")
    if not _OPTION_VALUE.fullmatch(value) or (name == "public" and value not in ("true", "false")):
        raise InputError(f"{quoted(value)} cannot be the {name} of {provider}")


@dataclass(frozen=True)
class Instance:
    """What a cloud says of one instance: its name there, its tags, its private and public IP addresses."""

    name: str
    tags: Mapping[str, str]
    private: tuple[str, ...] = ()
    public: tuple[str, ...] = ()


@dataclass(frozen=True)
class Own:
    """What the metadata service says of this machine.

    Attributes:
        tags: its tags, as far as they can be read.
        user_data: what it was started with; empty for nothing.
        closed: why its tags cannot be read, and what to do about it; empty where they can.
    """

    tags: Mapping[str, str]
    user_data: str = ""
    closed: str = ""


class Cloud(Protocol):
    """A provider. Both methods block, and raise InputError where there is no good answer."""

    def own(self) -> Own:
        """Ask the metadata service about this machine."""
        ...

    def instances(self, location: CloudLocation) -> Iterable[Instance]:
        """Ask for the running instances with the tag of `location`."""
        ...


def registry_of(instance: Instance, *, is_public: bool = False) -> bytes:
    """Return the bytes of the registry file that an instance's tags make.

    Raises:
        InputError: a tag is missing or cannot be used, or there is no address.
    """
    entry = _spread(instance.tags, ENTRY)
    if entry:
        return entry.encode("utf-8", "replace")
    node_id = _number(instance.tags, NODE_ID)
    port = _number(instance.tags, PORT, DEFAULT_PORT)
    iroh_id = instance.tags.get(IROH_ID)
    if iroh_id is None:
        raise InputError(f"has no tag {IROH_ID}")
    ips = dict.fromkeys([*instance.private, *(instance.public if is_public else ())])
    addresses = [str(_address(ip, port)) for ip in ips]
    if not addresses:
        raise InputError("has no address yet" if is_public else "has no private address yet")
    return format_registry(NodeRegistryEntry(node_id, iroh_id, addresses, None, addresses[0]))


def _number(tags: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = tags.get(name)
    if text is None:
        if default is None:
            raise InputError(f"has no tag {name}")
        return default
    if not _NUMBER.fullmatch(text):
        raise InputError(f"its tag {name} is not a number: {quoted(text)}")
    return int(text)


def _address(ip: str, port: int) -> SocketAddress:
    try:
        return SocketAddress(ipaddress.ip_address(ip), port)
    except ValueError:
        raise InputError(f"{quoted(ip)} is no IP address") from None


def _spread(tags: Mapping[str, str], name: str) -> str:
    """Return the text that is spread over the tags of that name."""
    return "".join(itertools.takewhile(bool, (tags.get(part, "") for part in parts_of(name))))


def parts_of(name: str) -> list[str]:
    """Return the names of the tags over which a text may be spread: NAME, NAME-2, NAME-3 and so on."""
    return [name, *(f"{name}-{number}" for number in range(2, MAX_PARTS + 1))]


def seeds_of(own: Own) -> list[Instance] | None:
    """Return the seeds that this machine was given, each as an instance with an entry; None where nothing names any.

    Raises:
        InputError: what names them is not JSON, or the place where they may be cannot be read.
    """
    data = own.user_data if own.user_data.lstrip().startswith(("{", "[")) else ""
    text = _spread(own.tags, SEEDS) or data
    if not text:
        if own.closed:
            raise InputError(own.closed)
        return None
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > MAX_REGISTRY_BYTES:
        raise InputError(f"its seeds are too large: more than {MAX_REGISTRY_BYTES} bytes")
    document = loads(encoded, file="the seeds")
    entries = document if isinstance(document, list) else [document]
    return [Instance(f"seed {number}", {ENTRY: json.dumps(entry)}) for number, entry in enumerate(entries, start=1)]


class CloudSource:
    """Asks a cloud, and reads again only the instances of which it says something new.

    An empty list after one with instances is a failure: a role that sees nothing any more, or another region, looks
    the same. What is wrong with one instance hides no other.
    """

    kind: SourceKind = "cloud"

    def __init__(self, location: CloudLocation, context: SourceContext, cloud: Cloud | None = None) -> None:
        """`cloud`: the provider to ask; None for the one that `location` names."""
        self.name = f"cloud:{location.text.removesuffix(':')}"
        self._location = location
        self._cloud = cloud or _provider(location.provider)
        self._instances: dict[str, Instance] = {}
        self._set = RegistrySet(RegistryReader(context.check, context.wall, kind="cloud"), self._read)
        self._worker: Worker[Answer] = Worker()

    async def fetch(self) -> Answer:
        """Ask the cloud, as `Source.fetch`."""
        try:
            return await asyncio.wait_for(self._worker.run(self._look), TIMEOUT)
        except (StillBusy, asyncio.TimeoutError):
            return Failed(f"{self.name}: took longer than {TIMEOUT:g} s; can the cloud's servers be reached?")
        except InputError as error:
            return Failed(str(error.located(file=self.name)))
        except BlixardError as error:
            return Failed(f"{self.name}: {error}")

    def _look(self) -> Answer:
        tag = self._location.tag
        named = seeds_of(self._cloud.own()) if tag is None else list(self._cloud.instances(self._location))
        if not named and len(self._set) and (tag is not None or named is None):
            what = "its metadata names no seeds any more" if tag is None else "no instance carries the tag any more"
            mend = "the last ones are kept; to take them away, remove this source"
            raise InputError(what, mend=mend)
        self._instances = {f"{self._location.provider} {one_line(each.name, 128)}": each for each in named or ()}
        answer = self._set.look(self._instances)
        return replace(answer, fresh_for=FRESH_FOR) if tag is not None and isinstance(answer, Found) else answer

    def _read(self, place: str) -> bytes:
        try:
            return registry_of(self._instances[place], is_public=self._location.is_public)
        except InputError as error:
            raise error.located(file=place) from None


def _provider(name: str) -> Cloud:
    # Imported here: each is needed by those alone who are in that cloud.
    if name == "aws":
        from blixard.sources.cloud_aws import Aws

        return Aws()
    if name == "gcp":
        from blixard.sources.cloud_gcp import Gcp

        return Gcp()
    from blixard.sources.cloud_azure import Azure

    return Azure()
