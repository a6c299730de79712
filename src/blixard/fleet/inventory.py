# SPDX-License-Identifier: MIT
"""The record as an inventory of Ansible's: a host for each member, and how a running node sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blixard.documents.entry_states import ABSENT, state_of
from blixard.documents.record import read_record
from blixard.errors import InputError
from blixard.model.words import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blixard.model.entry import NodeRegistryEntry

    Host = dict[str, Any]

GROUP = "blixard"
CONNECTED = "blixard_connected"
LOST = "blixard_lost"

OWN = "self"
"""The state of the node itself that was asked."""

UNKNOWN = "unknown"
"""The state of a member that the node does not know, such as one that has just joined."""

_GROUPS = {
    OWN: CONNECTED,
    "connected": CONNECTED,
    **dict.fromkeys(("connecting", "backing_off", "open", "refused"), LOST),
}
"""A member that is not to be dialled (`discovered`) or not known is in neither group."""

_TAKEN = frozenset({"all", "ungrouped", GROUP, CONNECTED, LOST})


def hosts(record: Mapping[str, NodeRegistryEntry], status: Mapping[str, Any] | None = None) -> dict[str, Host]:
    """Return the hosts of a record by name, each with its `variables` and `groups`; tombstones are none.

    Args:
        record: name to entry, as `read_record` gives it.
        status: what a running node of the fleet knows, valid against `node-status`; it makes nobody a host.

    Returns:
        plain JSON. Variables: `blixard_node_id`, `blixard_state`, `blixard_iroh_node_id`, `blixard_direct_addresses`;
        `ansible_host`, the first of these without its port, where there is one; with a status `blixard_peer_state`.

    Raises:
        InputError: a member has the name of a group.
    """
    for name in sorted(record.keys() & _TAKEN):
        raise InputError(
            f"a host cannot be called {quoted(name)}, which is the name of a group", mend="rename the host"
        )
    states = None if status is None else _states(status)
    return {name: _host(entry, states) for name, entry in record.items() if state_of(entry) != ABSENT}


def read_hosts(record: Path, data_dir: Path | None = None) -> dict[str, Host]:
    """Read a record, and with `data_dir` the status of the node that runs there; see `hosts`.

    Raises:
        InputError, BlixardError: one of them cannot be read.
    """
    entries = read_record(record)
    return hosts(entries, None if data_dir is None else _status(data_dir))


def _status(data_dir: Path) -> dict[str, Any]:
    from blixard.agent.control_client import ask
    from blixard.documents.schemas import validate

    status: dict[str, Any] = ask(data_dir, "status")
    validate("node-status", status, file=f"the status of the node in {data_dir}")
    return status


def _states(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the state of each peer by its Iroh id: two nodes may claim one node id, and no two have one key."""
    return {**{peer["iroh_node_id"]: peer["state"] for peer in status["peers"]}, status["iroh_node_id"]: OWN}


def _host(entry: NodeRegistryEntry, states: Mapping[str, str] | None) -> Host:
    addresses = entry.socket_addresses
    state = None if states is None else states.get(entry.iroh_node_id, UNKNOWN)
    variables = {
        "blixard_node_id": entry.node_id,
        "blixard_state": state_of(entry),
        "blixard_iroh_node_id": entry.iroh_node_id,
        "blixard_direct_addresses": [str(address) for address in addresses],
        **({"ansible_host": str(addresses[0].ip)} if addresses else {}),
        **({} if state is None else {"blixard_peer_state": state}),
    }
    return {"variables": variables, "groups": [GROUP, *([_GROUPS[state]] if state in _GROUPS else [])]}
