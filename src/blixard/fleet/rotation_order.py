# SPDX-License-Identifier: MIT
"""Which hosts get a new key in this run, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from blixard.fleet.host_view import HostView


@dataclass(frozen=True)
class RotationOrder:
    """The order.

    Attributes:
        begun: names of hosts that a run which broke off has left half through; they come first.
        due: names of hosts whose key is old enough.
        batches: all of these, cut into the groups that get their keys together.
    """

    begun: Sequence[str]
    due: Sequence[str]
    batches: Sequence[Sequence[str]]

    def summary(self, min_age: object) -> str:
        """Return the order as one line; `min_age` is the age in seconds that makes a key due."""
        first = f"half through, to be finished first: {', '.join(self.begun)}; " if self.begun else ""
        then = f"to get a new key: {', '.join(self.due)}" if self.due else f"no key is older than {min_age} s"
        return first + then


def rotation_order(hosts: Mapping[str, HostView], chosen: Collection[str], sizes: Collection[int]) -> RotationOrder:
    """Return who gets a new key: those half through first, then those of `chosen` (all, if empty) that are due.

    Args:
        hosts: hosts by name, each with its `key_state`.
        chosen: names that `blixard_rotate` gives.
        sizes: `blixard_rotate_batch` of each host; the smallest counts.
    """
    begun = [name for name, host in hosts.items() if host.key_state.get("new") or host.key_state.get("restart")]
    due = [
        name
        for name, host in hosts.items()
        if host.key_state.get("due") and name not in begun and (not chosen or name in chosen)
    ]
    order, size = begun + due, max(1, min(sizes, default=1))
    return RotationOrder(begun, due, [order[first : first + size] for first in range(0, len(order), size)])
