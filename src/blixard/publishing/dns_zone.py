# SPDX-License-Identifier: MIT
"""From peers to DNS records, and the zone file that has them: text, relative to the fleet's domain.

All nodes are in the TXT records of one name while an answer can hold them. A larger fleet is spread over names below
it, which PTR records of the first one list. Their number is a power of two and part of their name, so that a fleet that
has grown is written to new names first, and the first name then leads there in one step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import sha256_hex
from blixard.documents.json_times import parse_time
from blixard.errors import BlixardError, InputError
from blixard.model.entry import DiscoveredPeer
from blixard.sources.dns_records import NONE, SERVICE, format_node, parse_node, strings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

TTL = 60
"""Seconds for which a record may be used: how long a change takes to reach the nodes."""

MAX_NAME_BYTES = 40_000
"""Of the TXT records at one name; an answer holds 65,535 bytes, other parts of it included."""

MAX_NAMES = 512

STATE = f"_published.{SERVICE}"
"""The name whose TXT record says which publication it is."""

_OVERHEAD = 16
"""Bytes of one record in an answer, beside its text."""

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-9]{3}|.)")
_SPECIAL = re.compile(r'["\\]|[^ -~]')


@dataclass(frozen=True)
class State:
    """Which publication the records are of: the number of its signature, and the digest of its records."""

    seq: int | None
    digest: str

    def __str__(self) -> str:
        return " ".join([*([f"seq={self.seq}"] if self.seq is not None else []), f"sha256={self.digest}"])

    @classmethod
    def parse(cls, text: str) -> State:
        """Read it; what cannot be read is of no publication."""
        words = dict(word.partition("=")[::2] for word in text.split())
        seq = words.get("seq", "")
        return cls(int(seq) if re.fullmatch(r"[0-9]{1,16}", seq) else None, words.get("sha256", ""))


@dataclass(frozen=True)
class Zone:
    """The records of a fleet.

    Attributes:
        texts: the TXT records by name.
        names: of the PTR records of the first name; empty while it has all nodes itself.
    """

    texts: Mapping[str, Sequence[str]]
    names: Sequence[str]

    @property
    def digest(self) -> str:
        """The same for the same records."""
        lines = (f"{name}\0{text}\n" for name in sorted(self.texts) for text in self.texts[name])
        return sha256_hex("".join(lines).encode())

    def file(self, seq: int | None) -> str:
        """Return the zone file, to be included in the zone: `$INCLUDE FILE DOMAIN`."""
        lines = ["; The nodes of a Blixard fleet. Made by `blixard publish`; changes here are lost."]
        lines += [f"{STATE} {TTL} TXT {quoted(str(State(seq, self.digest)))}"]
        lines += [f"{SERVICE} {TTL} PTR {name}" for name in self.names]
        lines += [f"{name} {TTL} TXT {quoted(text)}" for name, texts in self.texts.items() for text in texts]
        return "\n".join(lines) + "\n"


def zone_of(peers: Iterable[DiscoveredPeer]) -> Zone:
    """Return the records of a fleet.

    Raises:
        InputError: there are more nodes than names can hold.
    """
    texts = {peer.node_id: format_node(peer) for peer in peers}
    count = 1
    while count <= MAX_NAMES:
        shards: list[list[str]] = [[] for _ in range(count)]
        for node_id in sorted(texts):
            shards[node_id % count].append(texts[node_id])
        if all(_size(shard) <= MAX_NAME_BYTES for shard in shards):
            break
        count *= 2
    else:
        raise InputError(f"{len(texts)} nodes are more than DNS records can hold", mend="publish to a store")
    if count == 1:
        return Zone({SERVICE: shards[0] or [NONE]}, ())
    names = {f"{SERVICE}.{index}of{count}": shard for index, shard in enumerate(shards) if shard}
    return Zone(names, tuple(names))


def _size(texts: Iterable[str]) -> int:
    return sum(_OVERHEAD + len(text) + len(strings_of(text)) for text in texts)


def quoted(text: str) -> str:
    """Return a text as the strings of a TXT record in a zone file."""
    return " ".join(f'"{_SPECIAL.sub(_escaped, each)}"' for each in strings_of(text))


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\{byte:03d}" for byte in match[0].encode())


def read_file(text: str) -> tuple[State | None, list[str]]:
    """Return which publication a zone file is of, and the texts of its nodes."""
    state: State | None = None
    texts = []
    for line in text.splitlines():
        words = line.split(" ", 3)
        if len(words) == 4 and words[2] == "TXT":
            said = "".join(_ESCAPE.sub(_plain, each) for each in _STRING.findall(words[3]))
            if words[0] == STATE:
                state = State.parse(said)
            else:
                texts.append(said)
    return state, texts


def _plain(match: re.Match[str]) -> str:
    return chr(int(match[1]) % 256) if match[1].isdigit() else match[1]


def peers_of(texts: Iterable[str], wall: datetime) -> Iterator[DiscoveredPeer]:
    """Yield the peer of each record that is whole."""
    for text in texts:
        try:
            said = parse_node(text)
            if said is not None and said.node_id is not None and said.endpoint_id is not None:
                when = parse_time(said.attestation.issued_at) if said.attestation else wall
                content = said.node_id, said.endpoint_id.base64, said.addresses, said.relay_url
                yield DiscoveredPeer(*content, "dns", when, said.attestation)
        except BlixardError:
            continue
