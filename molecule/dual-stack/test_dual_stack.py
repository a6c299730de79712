# SPDX-License-Identifier: MIT
"""Nodes of both families are one mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet


def families(addresses: list[str]) -> set[str]:
    return {"IPv6" if address.startswith("[") else "IPv4" for address in addresses}


def test_each_tells_the_families_that_it_has_and_first_the_one_that_it_was_given(fleet: Fleet) -> None:
    record = fleet.record()
    told = {name: families(entry["direct_addresses"]) for name, entry in record.items()}
    assert told == {"node1": {"IPv4"}, "node2": {"IPv4", "IPv6"}, "node3": {"IPv6"}}
    assert record["node2"]["address"].startswith("[")


def test_whoever_starts_again_finds_the_others(fleet: Fleet) -> None:
    """Node 3 cannot dial node 1, which tells no IPv6 address; node 1 dials it."""
    for name in ("node1", "node3"):
        fleet.nodes[name].run("systemctl restart blixard")
        fleet.settles_connected()
