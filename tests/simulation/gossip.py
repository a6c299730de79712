# SPDX-License-Identifier: MIT
"""How fast one piece of news reaches all by gossip: a reduced model of rounds on the overlay that the manager uses.

    python -m tests.simulation.gossip       the table of docs/gossip.md

The model keeps of an exchange that both know afterwards what one of them knew, and of time that a round is a second in
which each node with news begins one exchange with a random connected neighbour, for as many rounds as
`schedule.rounds_for` says, and each other node one in thirty seconds. The overlay is computed for all at once, ring by
ring, from the same places as `dialling.overlay` takes. Latency, loss and the exchange itself are left to
`test_gossip.py`, where the real code runs.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from random import Random

from tests.simulation.network import endpoint

from blixard.dialling.overlay import places, rings_for
from blixard.gossip.schedule import IDLE, TICK, rounds_for

HEALS_AFTER = 60
LONGEST = 600


@dataclass(frozen=True)
class Spread:
    """How a piece of news spread: seconds (rounds) until all knew it, and exchanges begun until then."""

    rounds: int
    exchanges: int


def overlay(nodes: int, seed: int) -> list[list[int]]:
    """Return each node's neighbours, by number."""
    there = [places(endpoint(seed, number)) for number in range(nodes)]
    beside: list[set[int]] = [set() for _ in range(nodes)]
    for ring in range(rings_for(nodes)):
        order = sorted(range(nodes), key=lambda node: there[node][ring])
        for one, other in zip(order, [*order[1:], order[0]], strict=True):
            beside[one].add(other)
            beside[other].add(one)
    return [sorted(each) for each in beside]


def full_view(nodes: int, rng: Random) -> Spread:
    """Return the textbook's case: each node exchanges in each round with one of all others."""
    knows = [True] + [False] * (nodes - 1)
    rounds = 0
    while not all(knows):
        rounds += 1
        knows_now = list(knows)
        for node in range(nodes):
            partner = rng.randrange(nodes)
            if knows[node] or knows[partner]:
                knows_now[node] = knows_now[partner] = True
        knows = knows_now
    return Spread(rounds, rounds * nodes)


def spread(beside: list[list[int]], rng: Random, *, failing: float = 0.0, cut: bool = False) -> Spread:
    """Let one node's news spread over the overlay, as the schedule has it.

    Args:
        beside: each node's neighbours.
        rng: draws partners, who fails and who is on which side.
        failing: the share of nodes that are down.
        cut: the fleet is in two halves, and whole again after `HEALS_AFTER` rounds; rounds and exchanges are counted
            from then on. Edges that come back are exchanged over at once, from the lower number.
    """
    nodes = len(beside)
    down = set(rng.sample(range(1, nodes), int(failing * nodes)))
    side = [rng.randrange(2) if cut else 0 for _ in range(nodes)]
    alive = [node for node in range(nodes) if node not in down]
    left = {0: rounds_for(nodes)}
    knows = {0}
    healed_at = HEALS_AFTER if cut else 0
    rounds = exchanges = 0
    while len(knows) < len(alive):
        rounds += 1
        assert rounds < LONGEST
        is_whole = not cut or rounds > HEALS_AFTER
        pairs = [
            (node, other)
            for node in alive
            if left.get(node, 0) or rng.random() < TICK / IDLE
            if (near := [each for each in beside[node] if each not in down and (is_whole or side[each] == side[node])])
            for other in [rng.choice(near)]
        ]
        if cut and rounds == HEALS_AFTER + 1:
            pairs += [(a, b) for a in alive for b in beside[a] if a < b and b not in down and side[a] != side[b]]
        exchanges += len(pairs) if rounds > healed_at else 0
        for node in list(left):
            left[node] = max(0, left[node] - 1)
        for node in {new for pair in pairs if knows.intersection(pair) for new in pair} - knows:
            knows.add(node)
            left[node] = rounds_for(nodes)
    return Spread(rounds - healed_at, exchanges)


def main() -> None:
    print("| nodes | neighbours | full view | formula | overlay | 10 % down | heals |")
    for nodes, seeds in ((100, 20), (1_000, 20), (10_000, 5)):
        rows: dict[str, list[Spread]] = {"full": [], "all up": [], "10 % down": [], "heals": []}
        for seed in range(seeds):
            beside, rng = overlay(nodes, seed), Random(seed)
            rows["full"].append(full_view(nodes, rng))
            rows["all up"].append(spread(beside, rng))
            rows["10 % down"].append(spread(beside, rng, failing=0.1))
            rows["heals"].append(spread(beside, rng, cut=True))
        degree = sum(map(len, beside)) / nodes
        formula = math.log(nodes, 3) + math.log(math.log(nodes))
        cells = [
            f"{statistics.median(each.rounds for each in row):g} (most {max(each.rounds for each in row)}), "
            f"{statistics.mean(each.exchanges for each in row) / nodes:.1f} a node"
            for row in rows.values()
        ]
        print(f"| {nodes} | {degree:.0f} | {cells[0]} | {formula:.1f} | {cells[1]} | {cells[2]} | {cells[3]} |")


if __name__ == "__main__":
    main()
