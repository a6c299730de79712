# SPDX-License-Identifier: MIT
"""The text of DNS records about nodes, read and written: this project's TXT words, and iroh's own.

One TXT record is one node, in words separated by spaces, `key=value` each:

    node=3 id=<endpoint id> addr=192.0.2.13:7001 addr=[2001:db8::13]:7001 relay=https://relay.example.org

- `node` is the node's number in the cluster. `id` is its endpoint id in any form (base32, hex, base64); in a record
  whose own name begins with the id in base32, it may be left out.
- `addr` may be repeated, or have several addresses separated by commas. `relay` is a URL.
- A node that signs what it says adds the five fields of its attestation: `cluster`, `seq`, `issued`, `expires` (only
  where it has an end) and `sig`. What is signed is exactly node, id, addresses in their order, and relay.
- The single word `none` says that there are no nodes.

Other words are skipped. A record longer than 255 bytes is in several strings, which are joined without anything
between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.errors import InputError
from blixard.model import fields
from blixard.model.addresses import SocketAddress, parse_relay_url
from blixard.model.encodings import encode_base32
from blixard.model.entry import Attestation
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_ADDRESSES
from blixard.model.words import MISSING, quoted, too_long

if TYPE_CHECKING:
    from blixard.model.entry import DiscoveredPeer

SERVICE = "_blixard-iroh._udp"
"""What stands before the domain in the name of the records that list a fleet (RFC 2782)."""

IROH = "_iroh"
"""What stands before the endpoint id in the name of iroh's own records."""

NONE = "none"

MAX_TEXT = 8192
"""Characters of one record: 64 addresses, the longest URL and an attestation are under 6 KiB."""

MAX_STRING = 255
"""Bytes of one string of a TXT record (RFC 1035)."""

_LABEL_LENGTH = 52
_ID = re.compile(r"(?:^|\s)id=(\S+)", re.I)
_NUMBER = re.compile(r"[0-9]{1,20}")
_BASE32, _Z_BASE32 = "abcdefghijklmnopqrstuvwxyz234567", "ybndrfg8ejkmcpqxot1uwisza345h769"
_TO_Z_BASE32 = str.maketrans(_BASE32, _Z_BASE32)


@dataclass(frozen=True)
class NodeText:
    """What one record says: some of it may be left out, which its place then has to say."""

    node_id: int | None
    endpoint_id: EndpointId | None
    addresses: tuple[str, ...]
    relay_url: str | None
    attestation: Attestation | None

    @property
    def has_ways(self) -> bool:
        """Whether it says where the node is."""
        return bool(self.addresses) or self.relay_url is not None


def parse_node(text: str) -> NodeText | None:
    """Read one record; None for `none`.

    Raises:
        InputError: it is not of that form; the place is the word's key.
    """
    if len(text) > MAX_TEXT:
        raise InputError(too_long(MAX_TEXT, len(text)))
    words = text.split()
    if words == [NONE]:
        return None
    said: dict[str, list[str]] = {}
    for word in words:
        key, _, value = word.partition("=")
        said.setdefault(key.lower(), []).append(value)
    node, id_, relay = (_single(said, key) for key in ("node", "id", "relay"))
    return NodeText(
        node_id=None if node is None else fields.node_id(_number(node, "/node"), "/node"),
        endpoint_id=None if id_ is None else fields.iroh_node_id(id_, "/id"),
        addresses=fields.direct_addresses(_addresses(said.get("addr", ())), "/addr"),
        relay_url=fields.relay_url(relay, "/relay"),
        attestation=_attestation(said),
    )


def _single(said: dict[str, list[str]], key: str) -> str | None:
    values = said.get(key, [])
    if len(values) > 1:
        raise InputError("is there twice", place=f"/{key}", mend="write one record a node")
    return values[0] if values else None


def _number(text: str, place: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InputError(f"{quoted(text)} is not a number", place=place)
    return int(text)


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for value in values for each in value.split(",") if each))


def _attestation(said: dict[str, list[str]]) -> Attestation | None:
    signature = _single(said, "sig")
    if signature is None:
        return None
    cluster, seq, issued, expires = (_single(said, key) for key in ("cluster", "seq", "issued", "expires"))
    if cluster is None or seq is None or issued is None:
        missing = next(key for key in ("cluster", "seq", "issued") if key not in said)
        raise InputError(MISSING, place=f"/{missing}", mend="a signature needs cluster, seq and issued beside it")
    return Attestation(cluster, _number(seq, "/seq"), issued, expires, signature)


def format_node(peer: DiscoveredPeer) -> str:
    """Return the text of the record of a peer, with its attestation."""
    words = [f"node={peer.node_id}", f"id={base32(peer.endpoint_id)}"]
    words += [f"addr={each}" for each in peer.direct_addresses]
    words += [f"relay={peer.relay_url}"] if peer.relay_url else []
    attestation = peer.attestation
    if attestation is not None:
        words += [f"cluster={attestation.cluster}", f"seq={attestation.seq}", f"issued={attestation.issued_at}"]
        words += [f"expires={attestation.expires_at}"] if attestation.expires_at else []
        words += [f"sig={attestation.signature}"]
    return " ".join(words)


def id_of(text: str) -> EndpointId | None:
    """Return whose record it is, although it may not be readable otherwise; None where nothing tells."""
    match = _ID.search(text[:MAX_TEXT])
    try:
        return None if match is None else EndpointId.parse(match[1])
    except InputError:
        return None


def strings_of(text: str) -> list[str]:
    """Return a record's text (ASCII) in strings that fit."""
    return [text[at : at + MAX_STRING] for at in range(0, len(text), MAX_STRING)]


def base32(endpoint_id: EndpointId) -> str:
    """Return an endpoint id as a label: hex is longer than the 63 bytes that one may have."""
    return encode_base32(endpoint_id.raw)


def z_base32(endpoint_id: EndpointId) -> str:
    """Return an endpoint id as iroh writes it in names."""
    return base32(endpoint_id).translate(_TO_Z_BASE32)


def parse_label(label: str) -> EndpointId:
    """Read an endpoint id from the first label of an SRV record's target.

    Raises:
        InputError: it is none.
    """
    if len(label) != _LABEL_LENGTH:
        raise InputError(f"{quoted(label)} is not an endpoint id in base32 ({_LABEL_LENGTH} characters)")
    return EndpointId.parse(label.lower())


def parse_iroh(texts: Iterable[str]) -> tuple[tuple[str, ...], str | None]:
    """Return addresses and relay of iroh's own records (`_iroh.<z-base-32 id>.<origin>`), one attribute a text.

    `addr=` has addresses separated by spaces, and may be repeated; of several relays the first counts. As iroh does,
    what cannot be read is skipped, and so are other attributes (`user-data=`).
    """
    addresses: dict[str, None] = {}
    relay: str | None = None
    for text in texts:
        key, _, value = text[:MAX_TEXT].partition("=")
        if key == "addr":
            addresses.update(dict.fromkeys(each for each in value.split() if _is_address(each)))
        elif key == "relay" and relay is None and _is_relay(value):
            relay = value
    return tuple(addresses)[:MAX_ADDRESSES], relay


def _is_address(text: str) -> bool:
    return _is_good(SocketAddress.parse, text)


def _is_relay(text: str) -> bool:
    return _is_good(parse_relay_url, text)


def _is_good(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except InputError:
        return False
    return True
