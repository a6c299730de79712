# SPDX-License-Identifier: MIT
"""IPv6 is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node


def test_there_is_no_ipv4(node: Node) -> None:
    assert node.run("ip -4 -brief address show dev eth0") == ""


def test_every_address_is_told_and_none_is_link_local(fleet: Fleet) -> None:
    for entry in fleet.record().values():
        assert entry["direct_addresses"]
        for address in entry["direct_addresses"]:
            assert address.startswith("[")
            assert address.endswith("]:7001")
            assert not address.startswith("[fe80")
