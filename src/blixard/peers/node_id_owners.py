# SPDX-License-Identifier: MIT
"""Which endpoint id holds each node id, when several claim it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.peers.claims import Standing


class NodeIdOwners:
    """Of all endpoint ids that claim one node id, the one with the best standing holds it."""

    def __init__(self) -> None:
        self._claimed: dict[EndpointId, int] = {}
        self._contenders: dict[int, dict[EndpointId, Standing]] = {}
        self._holders: dict[int, EndpointId] = {}

    def holder(self, node_id: int) -> EndpointId | None:
        """Return who holds a node id."""
        return self._holders.get(node_id)

    def held_by(self, endpoint_id: EndpointId) -> int | None:
        """Return the node id that an endpoint id holds; None when it claims none or lost it to another."""
        node_id = self._claimed.get(endpoint_id)
        return node_id if node_id is not None and self._holders[node_id] == endpoint_id else None

    def claim(self, endpoint_id: EndpointId, node_id: int, standing: Standing) -> list[EndpointId]:
        """Enter or replace a claim; return the endpoint ids that gained or lost a node id through it."""
        moved = self.withdraw(endpoint_id) if self._claimed.get(endpoint_id) != node_id else []
        self._claimed[endpoint_id] = node_id
        self._contenders.setdefault(node_id, {})[endpoint_id] = standing
        return moved + self._elect(node_id)

    def withdraw(self, endpoint_id: EndpointId) -> list[EndpointId]:
        """Take a claim back; return as `claim` does."""
        node_id = self._claimed.pop(endpoint_id, None)
        if node_id is None:
            return []
        del self._contenders[node_id][endpoint_id]
        return self._elect(node_id)

    def _elect(self, node_id: int) -> list[EndpointId]:
        contenders = self._contenders[node_id]
        if not contenders:
            del self._contenders[node_id]
            return [self._holders.pop(node_id)]
        before = self._holders.get(node_id)
        after = min(contenders, key=lambda each: contenders[each])
        if after == before:
            return []
        self._holders[node_id] = after
        return [after] if before is None else [before, after]
