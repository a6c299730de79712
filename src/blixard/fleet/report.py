# SPDX-License-Identifier: MIT
"""The fleet's connectivity report: every host's part in one document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blixard.documents.connectivity_report import coverage, summary
from blixard.errors import bounded_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from blixard.fleet.host_view import HostView


@dataclass(frozen=True)
class Part:
    """What one host said. `report` is null when it could not be asked; `problem` then says why."""

    name: str
    node_id: int
    report: Mapping[str, Any] | None
    problem: str = ""


def fleet_report(
    hosts: Iterable[HostView], inventory: Iterable[HostView], *, cluster: str, others: Iterable[HostView] = ()
) -> dict[str, Any]:
    """Return the report of what `hosts` said in this run, valid against `connectivity-report`.

    A host whose node is not ours has nobody to ask; it is in the report as what the others reach. So is one that the
    playbook leaves out.

    Args:
        hosts: the hosts that were to be asked.
        inventory: every host of the inventory, for the names of peers.
        cluster: name of the cluster.
        others: hosts of other batches; edges to their nodes that are still to be started are left out.

    Raises:
        InputError: a host that was asked has no number.
    """
    return merge(
        [_part(host) for host in hosts if host.has_our_node and not host.was_left_out],
        {host.number: host.name for host in inventory if host.number is not None},
        cluster,
        {host.node_id for host in others if host.waits},
    )


def _part(host: HostView) -> Part:
    left = "the check broke off, run with -vvv to see where" if host.was_checked else "it left the run before the check"
    answer = host.connectivity
    return Part(host.name, host.node_id, answer.get("report"), bounded_lines(answer.get("msg") or left))


def merge(
    parts: Sequence[Part], names: Mapping[int, str], cluster: str, waiting: Collection[int] = ()
) -> dict[str, Any]:
    """Return the report of the fleet, valid against `connectivity-report`.

    Args:
        parts: one for every host that was to be asked.
        names: host names by node id, those of peers outside this run included.
        cluster: name of the cluster.
        waiting: node ids of nodes that are still to be started, in a later batch; edges to them are left out.
    """
    nodes = [_node(part) for part in parts]
    edges = [
        {**edge, "from_name": part.name, "to_name": names.get(edge["to"])}
        for part in parts
        if part.report
        for edge in part.report["edges"]
        if edge["to"] not in waiting
    ]
    return {
        "cluster": cluster,
        "nodes": sorted(nodes, key=lambda node: int(node["node_id"])),
        "edges": sorted(edges, key=lambda edge: (edge["from"], edge["to"])),
        "summary": {
            **summary(nodes, edges),
            **coverage(nodes, edges),
            "not_asked": sum(part.report is None for part in parts),
        },
    }


def _node(part: Part) -> dict[str, Any]:
    own: Mapping[str, Any] = next(iter(part.report["nodes"]), {}) if part.report else {}
    node = {"node_id": part.node_id, "iroh_node_id": None, "agent": "not asked", **own, "name": part.name}
    return node if part.report else {**node, "error": part.problem}
