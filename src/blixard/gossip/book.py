# SPDX-License-Identifier: MIT
"""What a node holds to hand on: what its peers and itself have signed, kept in step with the table of peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from blixard.gossip.digest import PREFIX_BYTES, Index
from blixard.gossip.messages import MAX_ENTRIES, MAX_ENTRIES_BYTES, MAX_ENTRY_BYTES, Entry, encode_entry
from blixard.manager.additions import GUEST_KEPT
from blixard.model.entry import DiscoveredPeer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from blixard.discovery_manager import DiscoveryManager
    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId


def name_of(endpoint_id: EndpointId) -> bytes:
    """Return the name of an endpoint's entry."""
    return endpoint_id.raw[:PREFIX_BYTES]


class Book:
    """The entries by their names, and the index over them."""

    def __init__(
        self, manager: DiscoveryManager, own_entry: Callable[[], NodeRegistryEntry], wall: Callable[[], datetime]
    ) -> None:
        """`own_entry` gives what this node says of itself, `wall` is the date and time."""
        self._manager = manager
        self._own_entry = own_entry
        self._wall = wall
        self._ids: dict[bytes, EndpointId] = {}
        self._has_news = False
        self.index = Index()

    def __len__(self) -> int:
        """How many nodes there are, this one included."""
        return len(self._ids) + 1

    def take_news(self) -> bool:
        """Take over what changed; tell whether anything has since the last call that others may not know."""
        self.refresh()
        news, self._has_news = self._has_news, False
        return news

    def refresh(self) -> None:
        """Take over what changed."""
        for endpoint_id in self._manager.take_affected():
            name = name_of(endpoint_id)
            if self._manager.find(endpoint_id) is None:
                self._ids.pop(name, None)
                self.index.put(name, 0)
            else:
                self._ids[name] = endpoint_id
                signed = self._manager.attested(endpoint_id)
                self._put(name, signed.seq if signed is not None else 0)
        own = self._own_entry()
        self._put(name_of(own.endpoint_id), own.seq)

    def _put(self, name: bytes, number: int) -> None:
        self._has_news = self.index.put(name, number) or self._has_news

    def find(self, name: bytes) -> EndpointId | None:
        """Return the peer whose entry has this name."""
        return self._ids.get(name)

    def entries(self, names: Iterable[bytes]) -> list[Entry]:
        """Return the entries with these names, as many as one frame takes."""
        entries: list[Entry] = []
        size = 0
        for name in names:
            entry = self._entry(name)
            if entry is not None:
                size += len(entry.data)
                if size > MAX_ENTRIES_BYTES or len(entries) == MAX_ENTRIES:
                    break
                entries.append(entry)
        return entries

    def _entry(self, name: bytes) -> Entry | None:
        endpoint_id, own = self._ids.get(name), self._own_entry()
        if endpoint_id is None:
            is_own = name == name_of(own.endpoint_id) and own.attestation is not None
            return Entry(0, encode_entry(DiscoveredPeer.from_entry(own, "gossip", self._wall()))) if is_own else None
        signed = self._manager.attested(endpoint_id)
        age = 0.0 if self._manager.is_member(endpoint_id) else self._manager.guest_age(endpoint_id)
        if signed is None or age is None or age >= GUEST_KEPT:
            return None
        data = encode_entry(signed)
        return Entry(int(age), data) if len(data) <= MAX_ENTRY_BYTES else None
