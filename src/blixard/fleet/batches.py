# SPDX-License-Identifier: MIT
"""The batches of a rollout, in Ansible's words: `serial`, `hosts` and `max_fail_percentage` of its plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.fleet.membership import NO_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from blixard.fleet.host_view import HostView

ALL_AT_ONCE = "100%"


def serial(plans: Iterable[Mapping[str, object] | None], asked: object = "") -> object:
    """Return the size of the batches that was `asked` for, or that this run has worked out.

    Args:
        plans: what `blixard.fleet.voters.rolling` found, of each host of the inventory; None where a host has none.
        asked: `blixard_serial`, empty where nobody set it.
    """
    return asked or next((plan["serial"] for plan in plans if plan), ALL_AT_ONCE)


def hosts_after(hosts: object, batches: object) -> object:
    """Return the `hosts` of the play that follows the last of several batches: no host where all went at once."""
    return NO_HOSTS if batches == ALL_AT_ONCE else hosts


def tolerance(batches: object, asked: object = "") -> object:
    """Return `max_fail_percentage`: as `asked`; without, the first failure of several batches ends the run."""
    return asked if asked != "" else 100 if batches == ALL_AT_ONCE else 0


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
