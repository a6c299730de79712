# SPDX-License-Identifier: MIT
"""Finding single nodes: the seed's lower half."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.peers.people import endpoint_id, peer
from tests.unit.sources.files import registry_of, write

from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.tickets import Ticket, format_ticket
from blixard.node_discovery import NodeDiscovery, load_node_registry, save_node_registry

ENTRY = NodeRegistryEntry(1, endpoint_id(1).base64, ("192.168.1.10:7001",), None, "192.168.1.10:7001")


async def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    await save_node_registry(path, ENTRY)
    assert await load_node_registry(path) == ENTRY


async def test_saving_into_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing/registry\.json"):
        await save_node_registry(tmp_path / "missing" / "registry.json", ENTRY)


async def test_loading_what_is_no_registry_says_where_and_why(tmp_path: Path) -> None:
    write(tmp_path / "n.json", registry_of(peer(1)).replace(b"10.0.0.1:7001", b"10.0.0.1:0", 1))
    with pytest.raises(InputError, match=r"n\.json: /direct_addresses/0: .*port 0"):
        await load_node_registry(tmp_path / "n.json")


async def test_a_location_is_found_once(tmp_path: Path) -> None:
    write(tmp_path / "a.json", registry_of(peer(1)))
    write(tmp_path / "b.json", registry_of(peer(2)))
    discovery = NodeDiscovery()
    assert [each.node_id for each in await discovery.find(tmp_path)] == [1, 2]
    assert [each.node_id for each in await discovery.find(tmp_path / "b.json")] == [2]
    assert await discovery.find(f"{tmp_path}/none*") == []


async def test_a_bad_file_among_good_ones_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.json", registry_of(peer(1)))
    write(tmp_path / "b.json", "{}")
    assert [each.node_id for each in await NodeDiscovery().find(tmp_path)] == [1]
    assert "b.json" in caplog.records[0].__dict__["reason"]


async def test_a_location_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        await NodeDiscovery().find(tmp_path / "none.json")
    with pytest.raises(InputError, match="registry file or ticket"):
        await NodeDiscovery().find("10.0.0.1:7001")


async def test_a_ticket_is_found_by_asking_its_endpoint() -> None:
    ticket = Ticket(endpoint_id(1), None, (SocketAddress.parse("10.0.0.1:7001"),))

    async def introduce(asked: Ticket) -> DiscoveredPeer:
        assert asked == ticket
        return peer(1, seq=5)

    assert await NodeDiscovery(introduce=introduce).find(format_ticket(ticket)) == [peer(1, seq=5)]
