# SPDX-License-Identifier: MIT
"""Who leaves must not be somebody who stays: a machine that only has another name now, or another key."""

from __future__ import annotations

from posixpath import normpath
from typing import TYPE_CHECKING, Any

from blixard.documents.entry_states import ABSENT
from blixard.documents.record import unannounced
from blixard.model.ids import EndpointId

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from blixard.documents.record import MergeResult
    from blixard.fleet.host_view import HostView
    from blixard.model.entry import NodeRegistryEntry


_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh")


def refuse_staying(
    leaving: Collection[str], hosts: Mapping[str, HostView], record: Mapping[str, NodeRegistryEntry]
) -> str | None:
    """Return why one of `leaving` is somebody who stays, as one line; None when all of them are themselves.

    Args:
        leaving: names of hosts that are to leave; the inventory may have lost some of them.
        hosts: every host of the inventory by name, as far as this run has looked at them.
        record: name to entry.
    """
    staying = [host for host in hosts.values() if host.name not in leaving and host.state != ABSENT]
    for name in leaving:
        for other in staying:
            if same := _same(name, other, hosts, record):
                return (
                    f"{name}: has {same} of {other.name}, which stays; if {name} is its former name, or that of a"
                    f" machine which it replaced, keep {name} in the inventory with blixard_state: absent, and run"
                    " site.yml, with -e blixard_max_removals=1 if the machine was replaced"
                )
    return None


def _same(
    name: str, other: HostView, hosts: Mapping[str, HostView], record: Mapping[str, NodeRegistryEntry]
) -> str | None:
    """Return what the host `name` has in common with `other` that no two hosts have."""
    leaves = hosts.get(name)
    if _ids(name, leaves, record) & _ids(other.name, other, record):
        return "the Iroh id"
    if _numbers(name, leaves, record) & _numbers(other.name, other, record):
        return "the node id"
    if leaves is not None and leaves.place and _place(leaves.place) == _place(other.place):
        return "the address and the data directory"
    return None


def _ids(name: str, host: HostView | None, record: Mapping[str, NodeRegistryEntry]) -> set[str]:
    """Return the Iroh ids that a host goes by: in the record, and by its own word."""
    recorded = {record[name].iroh_node_id} if name in record else set()
    said = (host.look.get("entry") or {}, host.agent) if host is not None else ()
    return recorded | {each["iroh_node_id"] for each in said if each.get("iroh_node_id")}


def _place(place: Mapping[str, Any]) -> tuple[object, ...]:
    """Return where a host's node is, in one form, however the inventory writes it."""
    if not place:
        return ()
    plugin = str(place["plugin"])
    ssh = plugin in _SSH
    return (
        "ssh" if ssh else plugin,
        str(place["host"]).lower(),
        place["port"] if ssh else 0,
        normpath(place["data_dir"]),
    )


def _numbers(name: str, host: HostView | None, record: Mapping[str, NodeRegistryEntry]) -> set[int]:
    """Return the node ids that a host goes by."""
    recorded = {record[name].node_id} if name in record else set()
    return recorded | ({host.number} if host is not None and host.number is not None else set())


def removed_unseen(
    before: Mapping[str, NodeRegistryEntry],
    merged: MergeResult,
    gathered: Collection[str],
    nodes: Mapping[str, Mapping[str, Any]],
    absent: Collection[str],
) -> list[str]:
    """Refuse that a member becomes a tombstone while a host with its node id, not in this run, may be that machine.

    Args:
        before: the record as it was.
        merged: what the run would make of it.
        gathered: names of the hosts that said who they are; the merge has seen whether these have another name now.
        nodes: what the inventory says of each host's node: `node_id`.
        absent: names of the hosts that are to be absent.
    """
    return [
        f"{name}: would leave, and {other} has its node id {before[name].node_id} and was not asked who it is; if it is"
        f" the same machine under another name, run this without --limit, so that {other} takes part"
        for name in merged.removed
        if name in merged.record
        for other, node in sorted(nodes.items())
        if other != name
        and other not in {*before, *gathered, *absent}
        and str(node.get("node_id")) == str(before[name].node_id)
    ]


def changed_keys(hosts: Mapping[str, HostView], record: Mapping[str, NodeRegistryEntry]) -> list[str]:
    """Return a line for each host whose key is neither the recorded one nor the next one of a rotation under way.

    Args:
        hosts: hosts by name, each with its `key_state`.
        record: name to entry.
    """
    return [
        unannounced(name, record[name].endpoint_id, EndpointId.parse(host.key_state["old"]))
        for name, host in hosts.items()
        if name in record
        and host.key_state.get("old")
        and record[name].iroh_node_id not in (host.key_state["old"], host.key_state.get("new"))
    ]
