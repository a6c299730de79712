# SPDX-License-Identifier: MIT
"""What the router forwards is what the node is reached by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet


def test_it_tells_the_routers_address_too(fleet: Fleet) -> None:
    assert set(fleet.record()["node3"]["direct_addresses"]) == {"10.98.0.1:17003", "10.99.0.13:7001"}


def test_the_outside_has_no_other_way_to_it(fleet: Fleet) -> None:
    assert fleet.nodes["node1"].run("ip route get 10.99.0.13 || true") == ""


def test_it_is_found_again_when_the_outside_dials(fleet: Fleet) -> None:
    for name in ("node1", "node2"):
        fleet.nodes[name].run("systemctl restart blixard")
    fleet.settles_connected()
