# SPDX-License-Identifier: MIT
"""The mesh of 10,000 and of 100,000 nodes: its shape, what is left when nodes fail, and the dials when all is lost.

    .venv/bin/python -m bench.overlay [--seed S] [NODES ...]

The graph is the one that every node computes for itself (`blixard.dialling.overlay`), put together for all of them at
once; for a few nodes it is compared with what the node's own code says. Distances are measured from a sample of nodes
where all would take too long. The dials follow the formulas of `blixard.dialling.backoff` and the breaker, without the
limit on dials in flight, which could only spread them further.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from blixard.dialling import backoff
from blixard.dialling.breaker import THRESHOLD
from blixard.dialling.overlay import neighbours, places, rings_for
from blixard.trust.keys import SecretKey

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

Graph = list[list[int]]

SOURCES = 1_000
"""Nodes from which distances are measured."""

COMPARED = 3
LATENCY = 0.05
"""Seconds that a dial takes that is answered, so that both ends of a pair may dial it."""

TICKS = 10
"""Parts of a second by which dials are counted."""


def mesh(ids: Sequence[EndpointId]) -> Graph:
    """Return whom each node dials."""
    rings: list[list[tuple[int, int]]] = [[] for _ in range(rings_for(len(ids)))]
    for number, endpoint_id in enumerate(ids):
        for ring, place in zip(rings, places(endpoint_id), strict=False):
            ring.append((place, number))
    beside: list[set[int]] = [set() for _ in ids]
    for ring in rings:
        ring.sort()
        for (_, one), (_, next_one) in zip(ring, ring[1:] + ring[:1], strict=True):
            beside[one].add(next_one)
            beside[next_one].add(one)
    return [sorted(each) for each in beside]


def without(graph: Graph, gone: set[int]) -> Graph:
    """Return what is left of a graph while nobody has been told that some nodes are gone."""
    return [[] if one in gone else [each for each in graph[one] if each not in gone] for one in range(len(graph))]


@dataclass(frozen=True)
class Reach:
    """How far it is from a sample of nodes to all others: the longest way, the mean one, pairs without a way."""

    longest: int
    mean: float
    apart: int


def measure(graph: Graph, sample: Sequence[int], alive: Sequence[int]) -> Reach:
    """Count steps from all nodes of the sample at once: a bit for each of them, handed on to the neighbours."""
    seen = [0] * len(graph)
    for bit, one in enumerate(sample):
        seen[one] = 1 << bit
    fresh, steps, total, met = list(seen), 0, 0, 0
    while any(fresh):
        came = [0] * len(graph)
        for one in alive:
            news = 0
            for other in graph[one]:
                news |= fresh[other]
            came[one] = news & ~seen[one]
        fresh = came
        for one in alive:
            seen[one] |= came[one]
        arrived = sum(each.bit_count() for each in came)
        steps, total, met = steps + bool(arrived), total + arrived * (steps + 1), met + arrived
    return Reach(steps, total / max(met, 1), len(sample) * (len(alive) - 1) - met)


def shape(graph: Graph, rng: Random, lost: float) -> str:
    """Describe the graph after a share of its nodes was lost."""
    nodes = range(len(graph))
    gone = set(rng.sample(nodes, round(lost * len(graph))))
    alive = [one for one in nodes if one not in gone]
    left = without(graph, gone) if gone else graph
    degrees = [len(left[one]) for one in alive]
    reach = measure(left, rng.sample(alive, min(SOURCES, len(alive))), alive)
    return (
        f"| {len(graph):,} | {lost:.0%} | {min(degrees)} / {sum(degrees) / len(degrees):.1f} / {max(degrees)} "
        f"| {reach.longest} | {reach.mean:.2f} | {reach.apart} |"
    )


def answered(degree: int, rng: Random) -> Iterator[float]:
    """Yield when the two nodes of one pair dial each other after their connection was lost, while dials work."""
    greater = backoff.after_loss(degree, rng)
    smaller = backoff.after_loss(degree, rng) + backoff.GRACE
    yield min(greater, smaller)
    if abs(greater - smaller) < LATENCY:
        yield max(greater, smaller)


def unanswered(degree: int, rng: Random) -> Iterator[float]:
    """Yield when the two nodes of one pair dial each other until their circuits open, while every dial is refused."""
    for grace in (0.0, backoff.GRACE):
        at = backoff.after_loss(degree, rng) + grace
        yield at
        for failures in range(1, THRESHOLD):
            at += backoff.delay(failures, rng)
            yield at


def peak(graph: Graph, rng: Random, dials: Callable[[int, Random], Iterator[float]]) -> int:
    """Return the most dials in any one second when all nodes lose all their connections at one moment."""
    counts: Counter[int] = Counter()
    for one, beside in enumerate(graph):
        for _ in (other for other in beside if other > one):
            counts.update(int(at * TICKS) for at in dials(len(beside), rng))
    return max(sum(counts[tick + part] for part in range(TICKS)) for tick in range(max(counts) + 1))


def storm(graph: Graph, rng: Random) -> str:
    """Describe the dials after a loss of everything, beside what the formula allows.

    Each end of each pair dials evenly over the window, and while dials are refused four times more, which is nowhere
    denser (`tests/simulation/bounds.py`).
    """
    degree = round(sum(map(len, graph)) / len(graph))
    window = backoff.loss_window(degree)
    pairs = len(graph) * degree / 2
    good, bad = peak(graph, rng, answered), peak(graph, rng, unanswered)
    return (
        f"| {len(graph):,} | {degree} | {window:.1f} s | {good:,} | {2 * pairs / window:,.0f} "
        f"| {bad:,} | {2 * THRESHOLD * pairs / window:,.0f} |"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print("| nodes | failed | degree: least / mean / most | longest way | mean way | pairs apart |")
    print("|---|---|---|---|---|---|")
    storms = []
    for count in args.nodes:
        rng = Random(f"{args.seed}/{count}")
        ids = [SecretKey.from_bytes(rng.randbytes(32)).public() for _ in range(count)]
        graph = mesh(ids)
        for one in rng.sample(range(count), COMPARED):
            assert neighbours(ids[one], ids[:one] + ids[one + 1 :]) == {ids[each] for each in graph[one]}
        for lost in (0.0, 0.1, 0.5):
            print(shape(graph, rng, lost), flush=True)
        storms.append(storm(graph, rng))
    print()
    print("| nodes | connections each | window | peak a second, answered | formula | peak, refused | formula |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(storms))


if __name__ == "__main__":
    main()
