# SPDX-License-Identifier: MIT
"""Whom a node checks: everybody, or so many others that all nodes together still check each one.

A check of everybody by everybody grows with the square of the fleet. A sample grows with the fleet, and needs no
agreement: the nodes stand on a ring by their node ids, and each checks those at the same distances from its own place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from blixard.errors import InputError
from blixard.model.limits import MAX_PEERS
from blixard.model.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blixard.model.entry import DiscoveredPeer

Sample = Literal["auto", "all"] | int
"""How many others a node checks: a number, `all`, or `auto`, which leaves it to the size of the fleet."""

SAMPLED_ABOVE = 64
"""Nodes of a fleet in which `auto` still means all. Up to here all nodes are connected to each other anyway."""


def parse_sample(value: object, place: str = "") -> Sample:
    """Read a sample as people and requests write it; 0 is another way to write `all`.

    Raises:
        InputError: it is none.
    """
    if value in ("auto", "all"):
        return "auto" if value == "auto" else "all"
    text = str(value)
    if isinstance(value, (int, str)) and not isinstance(value, bool) and text.isascii() and text.isdecimal():
        number = int(text[:20])
        if number <= MAX_PEERS:
            return number or "all"
    mend = f"write auto, all, or how many, at most {MAX_PEERS}"
    raise InputError(f"{quoted(text)} is no sample of nodes", place=place, mend=mend)


def sample_size(sample: Sample, nodes: int) -> int:
    """Return how many others each of so many nodes checks: with `auto`, twice the base-2 logarithm, rounded up."""
    others = max(0, nodes - 1)
    if sample == "all" or (sample == "auto" and nodes <= SAMPLED_ABOVE):
        return others
    return min(others, 2 * others.bit_length() if sample == "auto" else sample)


def chosen(peers: Sequence[DiscoveredPeer], own_node_id: int | None, sample: Sample) -> list[DiscoveredPeer]:
    """Return the peers that a node checks, sorted by node id.

    When all nodes choose among the same ones, each is chosen by as many as it chooses. The nodes beside one's own place
    are always among them, which connects all nodes; the others are spread over the ring, so that neighbours that fail
    together, like those of one rack, are still checked by somebody. For an even number the relation is the same from
    both sides: of two nodes that restart in different batches, the later one checks the earlier one.
    """
    others = sorted((peer for peer in peers if peer.node_id != own_node_id), key=lambda peer: peer.node_id)
    size = sample_size(sample, len(others) + 1)
    if size == len(others):
        return others
    place = sum(peer.node_id < (own_node_id or 0) for peer in others)
    # Distances from a place on the ring, one's own included: `others` lacks it, so that one behind it is a place less.
    picked = {distance - 1 if distance > 0 else distance for distance in _distances(size, len(others) + 1)}
    return sorted((others[(place + step) % len(others)] for step in picked), key=lambda peer: peer.node_id)


def _distances(size: int, nodes: int) -> list[int]:
    """Return `size` different distances, half of them each way: 1, and more evenly up to half the ring."""
    ways = (size + 1) // 2
    there = [1 + step * ((nodes - 1) // 2) // ways for step in range(ways)]
    return [*there, *(-distance for distance in there[: size // 2])]
