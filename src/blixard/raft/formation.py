# SPDX-License-Identifier: MIT
"""Members before start: when a node without a journal forms a cluster, joins one, or waits.

A node joins before it forms. It forms only together with a majority of the expected voters that expect the same voters
and have not formed. It counts itself once and never as a node that it found. That no two clusters come of one set is
then Raft's own rule: each has to commit its first entry at a majority of the same voters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blixard.raft.voters import listed, majority


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a node says of itself before and after it has started.

    Attributes:
        node_id: the node.
        expected: the voters that its settings name.
        incarnation: a random word made with the journal. A node that lost its journal has another one.
        members: the voters of the cluster that it has started in; None before.
        genesis: the id of that cluster; None until the first entry is committed.
        admitted: incarnations of voters by node id, as that cluster has committed them.
        term: the term that it is in.
    """

    node_id: int
    expected: frozenset[int]
    incarnation: str
    members: frozenset[int] | None = None
    genesis: str | None = None
    admitted: Mapping[int, str] | None = None
    term: int = 0

    @property
    def has_formed(self) -> bool:
        """Whether it has started in a cluster."""
        return self.members is not None


@dataclass(frozen=True)
class Wait:
    """Not yet, for a reason that a person can act upon."""

    reason: str


@dataclass(frozen=True)
class Form:
    """Start as one of these voters, of a cluster that has nothing yet."""

    voters: frozenset[int]


@dataclass(frozen=True)
class Join:
    """Start as one of these voters, of the cluster with this id."""

    voters: frozenset[int]
    genesis: str


@dataclass(frozen=True)
class StayOut:
    """Do not start: a blank journal in the place of one that others count on."""

    reason: str


Decision = Wait | Form | Join | StayOut


def decide(own: Standing, heard: Mapping[int, Standing]) -> Decision:
    """Say what a node without a journal is to do.

    Args:
        own: the node, which has not started.
        heard: what the nodes say that it is connected with, by node id.
    """
    # Who has started and knows of no committed entry yet is still forming, like this node.
    formed = [heard[node] for node in sorted(heard) if heard[node].genesis is not None and heard[node].has_formed]
    clusters = {str(each.genesis) for each in formed}
    if len(clusters) > 1:
        return Wait("two clusters answer, " + " and ".join(sorted(clusters)) + "; end one of them")
    if formed:
        return _join(own, formed)
    if own.node_id not in own.expected:
        return Wait(f"not forming: node {own.node_id} is none of the voters {listed(own.expected)}")
    found = {node: heard[node] for node in sorted(own.expected) if node in heard and node != own.node_id}
    for node, other in found.items():
        if (other.members or other.expected) != own.expected:
            return Wait(
                f"not forming: node {node} expects voters {listed(other.members or other.expected)}; "
                f"this node {listed(own.expected)}"
            )
    needed = majority(len(own.expected))
    if len(found) + 1 < needed:
        return Wait(f"not forming: {len(found) + 1} of the voters {listed(own.expected)} are here, {needed} are needed")
    return Form(own.expected)


def _join(own: Standing, formed: list[Standing]) -> Decision:
    for other in formed:
        admitted = (other.admitted or {}).get(own.node_id)
        if admitted == own.incarnation and other.genesis is not None and other.members is not None:
            return Join(other.members, other.genesis)
    for other in formed:
        admitted = (other.admitted or {}).get(own.node_id)
        if admitted is not None and own.node_id in (other.members or ()):
            number = own.node_id
            return StayOut(
                f"node {number} is a voter whose journal is lost, and may have promised what it knows no more; "
                f"on the leader: blixard raft members remove {number}, then blixard raft members add {number}"
            )
    newest = formed[0]
    if all(own.node_id not in (other.members or ()) for other in formed):
        return Wait(
            f"node {newest.node_id} says that the voters are {listed(newest.members or ())}; to make this node one, on "
            f"the leader: blixard raft members add {own.node_id}"
        )
    return Wait(f"waiting until the cluster of node {newest.node_id} has a leader that admits this node")
