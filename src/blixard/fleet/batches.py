# SPDX-License-Identifier: MIT
"""The batches of a rollout, in Ansible's words: `serial`, `hosts` and `max_fail_percentage` of its plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blixard.fleet.membership import NO_HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
