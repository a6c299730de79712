# SPDX-License-Identifier: MIT
"""The record as hosts for Ansible, alone and with what a node says of the members."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from tests.unit.documents.samples import entry, key

from blixard.errors import InputError
from blixard.fleet.inventory import hosts
from blixard.model.entry import NodeRegistryEntry
from blixard.peers.status import PeerState


def with_fields(number: int, **changes: Any) -> NodeRegistryEntry:
    return dataclasses.replace(entry(number), **changes)


def status(own: int, **states: str) -> dict[str, Any]:
    """What the inventory reads of the status of node `own`, with peers `n2="open"`."""
    peers = [{"iroh_node_id": entry(int(name[1:])).iroh_node_id, "state": state} for name, state in states.items()]
    return {"iroh_node_id": entry(own).iroh_node_id, "peers": peers}


def test_each_member_is_a_host_that_is_reached_at_its_first_address_without_the_port() -> None:
    record = {
        "one": with_fields(1, direct_addresses=["[2001:db8::1]:7001", "192.0.2.1:7001"]),
        "two": with_fields(2, direct_addresses=[], relay_url="https://relay.example.org"),
    }
    found = hosts(record)
    assert found["one"] == {
        "groups": ["blixard"],
        "variables": {
            "blixard_node_id": 1,
            "blixard_state": "present",
            "blixard_iroh_node_id": key(1).public().base64,
            "blixard_direct_addresses": ["[2001:db8::1]:7001", "192.0.2.1:7001"],
            "ansible_host": "2001:db8::1",
        },
    }
    assert "ansible_host" not in found["two"]["variables"]


def test_who_leaves_is_still_a_host_and_who_has_left_is_none() -> None:
    record = {
        "leaving": with_fields(1, extra={"state": "draining"}),
        "gone": with_fields(2, extra={"state": "absent"}),
    }
    assert {name: host["variables"]["blixard_state"] for name, host in hosts(record).items()} == {"leaving": "draining"}


@pytest.mark.parametrize("state", [*get_args(PeerState), "self", "unknown"])
def test_a_nodes_view_says_who_is_connected_and_who_is_lost(state: PeerState) -> None:
    record = {"member": entry(2)}
    seen = {"self": status(2), "unknown": status(1)}.get(state, status(1, n2=state))
    (host,) = hosts(record, seen).values()
    expected = {
        "self": ["blixard_connected"],
        "connected": ["blixard_connected"],
        "discovered": [],
        "unknown": [],
    }.get(state, ["blixard_lost"])
    assert host["groups"] == ["blixard", *expected]
    assert host["variables"]["blixard_peer_state"] == state


def test_a_peer_that_is_no_member_does_not_become_a_host() -> None:
    assert list(hosts({"one": entry(1)}, status(1, n9="connected"))) == ["one"]


def test_a_peer_with_the_node_id_of_a_member_and_another_key_does_not_stand_for_it() -> None:
    seen = status(1)
    seen["peers"] = [{"node_id": 2, "iroh_node_id": key(9).public().base64, "state": "connected"}]
    assert hosts({"two": entry(2)}, seen)["two"]["variables"]["blixard_peer_state"] == "unknown"


@pytest.mark.parametrize("name", ["all", "ungrouped", "blixard", "blixard_lost"])
def test_a_member_cannot_have_the_name_of_a_group(name: str) -> None:
    with pytest.raises(InputError, match=f'a host cannot be called "{name}", which is the name of a group'):
        hosts({name: entry(1)})
