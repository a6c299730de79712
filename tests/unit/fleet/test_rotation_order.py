# SPDX-License-Identifier: MIT
"""Which hosts get a new key, in which order, and the line that says so."""

from __future__ import annotations

from typing import Any

from tests.unit.fleet.host_views import by_name

from blixard.fleet.batches import rotation_order
from blixard.fleet.host_view import HostView


def host(name: str, **state: Any) -> HostView:
    found = {"due": False, "new": None, "restart": False, **state}
    return HostView(name, 1, variables={"__blixard_key_state": found})


HOSTS = by_name(
    host("a"),
    host("b", due=True),
    host("c", due=True),
    host("swapped", restart=True),
    host("made", due=True, new="id"),
    host("d", due=True),
    HostView("not asked"),
)


def test_a_rotation_finishes_what_is_half_through_and_then_goes_on_in_batches() -> None:
    order = rotation_order(HOSTS, [], [2, 3])

    assert (order.begun, order.due) == (["swapped", "made"], ["b", "c", "d"])
    assert order.batches == [["swapped", "made"], ["b", "c"], ["d"]]


def test_who_was_not_chosen_waits_unless_its_rotation_has_begun() -> None:
    assert rotation_order(HOSTS, ["d"], [1]).batches == [["swapped"], ["made"], ["d"]]


def test_a_batch_holds_at_least_one_host_whatever_was_set() -> None:
    assert rotation_order(HOSTS, ["d"], [0, 5]).batches == [["swapped"], ["made"], ["d"]]
    assert rotation_order({}, [], []).batches == []


def test_the_order_is_said_in_one_line() -> None:
    assert rotation_order(HOSTS, ["d"], [1]).summary(60) == (
        "half through, to be finished first: swapped, made; to get a new key: d"
    )
    assert rotation_order(by_name(host("a")), [], [1]).summary(60) == "no key is older than 60 s"
