# SPDX-License-Identifier: MIT
"""What a node announces of itself on its links: the properties of a DNS-SD service (RFC 6763), written and read.

They are the words of `dns_records`, each a property, but for two that upstream's nodes announce too: `node_id` is the
endpoint id, and `addr0`, `addr1` and so on have an address each. `cluster` is always there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from blixard.documents.json_times import parse_time
from blixard.errors import InputError, TrustError
from blixard.model.entry import DiscoveredPeer
from blixard.model.limits import MAX_ADDRESSES
from blixard.model.words import MISSING
from blixard.sources.base import Sighting
from blixard.sources.dns_records import format_node, parse_node

if TYPE_CHECKING:
    from blixard.model.addresses import SocketAddress
    from blixard.model.ids import EndpointId
    from blixard.trust.attestation import AttestationCheck

Networks = Collection[IPv4Network | IPv6Network]
"""Those of this host's links."""

Properties = Mapping[str, str]

_MAX_PROPERTY = 255
"""A string of a TXT record has one byte for its length."""

_MAX_BYTES = 1100
"""Of all strings together, so that an announcement fits into one packet of an Ethernet."""

_ID, _ADDRESS = "node_id", "addr"
_UNPROVEN = ("node", _ID, "cluster")


def properties_of(peer: DiscoveredPeer, cluster: str) -> dict[str, str]:
    """Return what to announce of a node.

    Of more addresses than fit, the first are told, and the signature, which covers all, is not.
    """
    properties: dict[str, str] = {}
    for word in format_node(peer).split():
        key, _, value = word.partition("=")
        addresses = sum(name.startswith(_ADDRESS) for name in properties)
        properties[{"id": _ID, "addr": f"{_ADDRESS}{addresses}"}.get(key, key)] = value
    properties["cluster"] = cluster
    if _size(properties) <= _MAX_BYTES and all(map(_fits, properties.items())):
        return properties
    told = {name: properties[name] for name in _UNPROVEN}
    for item in properties.items():
        if item[0].startswith((_ADDRESS, "relay")) and _fits(item) and _size(told) + _length(item) <= _MAX_BYTES:
            told |= [item]
    return told


def _length(item: tuple[str, str]) -> int:
    """Bytes of one property, with its length and its equals sign."""
    return len(item[0]) + len(item[1]) + 2


def _size(properties: Properties) -> int:
    return sum(map(_length, properties.items()))


def _fits(item: tuple[str, str]) -> bool:
    return _length(item) <= _MAX_PROPERTY + 1


def is_near(address: SocketAddress, networks: Networks) -> bool:
    """Tell whether an address is within one of the networks."""
    return any(address.ip in network for network in networks)


class AnnouncementReader:
    """Makes sightings of announcements.

    Anybody on a link can announce anything. Of the ways to the peer only the addresses within the networks of this
    host's links count, so that nobody outside is dialled because of it.
    """

    def __init__(
        self,
        check: AttestationCheck,
        wall: Callable[[], datetime],
        *,
        cluster: str | None,
        node_ids: Callable[[], Mapping[EndpointId, int]],
    ) -> None:
        """`cluster`: announcements of another one are left out; `node_ids`: of the peers that others name."""
        self._check = check
        self._wall = wall
        self._cluster = cluster
        self._node_ids = node_ids

    def read(
        self, properties: Properties, more: Sequence[SocketAddress], networks: Networks, place: str
    ) -> Sighting | None:
        """Return what the properties of a service say; None if it is of another cluster, or of a node nobody names.

        Args:
            properties: by name, as they were announced.
            more: further addresses, from other records of the service.
            networks: those of this host's links.
            place: where it was found.

        Raises:
            InputError: a property breaks its rule.
            TrustError: the attestation does not hold.
        """
        if self._cluster is not None and properties.get("cluster", self._cluster) != self._cluster:
            return None
        said = parse_node(" ".join(_words(properties)))
        if said is None or said.endpoint_id is None:
            raise InputError(MISSING, place=f"/{_ID}")
        if said.node_id is None:
            return self.hint(said.endpoint_id, [*said.addresses, *map(str, more)], said.relay_url, networks, place)
        addresses = said.addresses if said.attestation else (*said.addresses, *map(str, more))
        found_at = parse_time(said.attestation.issued_at) if said.attestation else self._wall()
        peer = DiscoveredPeer(
            said.node_id,
            said.endpoint_id.base64,
            list(dict.fromkeys(addresses))[:MAX_ADDRESSES],
            said.relay_url,
            "mdns",
            found_at,
            said.attestation,
        )
        problem = self._check.problem(peer)
        if problem is not None:
            raise TrustError(problem)
        return Sighting(peer, place, given=_near(peer, networks))

    def hint(
        self, endpoint_id: EndpointId, addresses: Sequence[str], relay_url: str | None, networks: Networks, place: str
    ) -> Sighting | None:
        """Return ways to a peer that another source names; None if none does."""
        node_id = self._node_ids().get(endpoint_id)
        if node_id is None:
            return None
        told = list(dict.fromkeys(addresses))[:MAX_ADDRESSES]
        peer = DiscoveredPeer(node_id, endpoint_id.base64, told, relay_url, "mdns", self._wall())
        return Sighting(peer, place, given=_near(peer, networks), is_hint=True)


def _near(peer: DiscoveredPeer, networks: Networks) -> tuple[str, ...]:
    return tuple(str(address) for address in peer.socket_addresses if is_near(address, networks))


def _words(properties: Properties) -> list[str]:
    words = []
    for name, value in properties.items():
        if len(value.split()) != 1:
            raise InputError("has a space in it, or nothing", place=f"/{name}")
        is_address = name.startswith(_ADDRESS) and name.removeprefix(_ADDRESS).isdigit()
        words.append(f"{'id' if name == _ID else 'addr' if is_address else name}={value}")
    return words
