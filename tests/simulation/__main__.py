# SPDX-License-Identifier: MIT
"""The simulations for longer than a test run allows: `python -m tests.simulation --days 30`.

With `--members` it is a mesh of so many managers, otherwise one manager and `--peers` peers. With `--heal` it is cuts
that heal: a table of many, or, with `--members`, one that halves so many nodes for `--hours`. It ends with an
AssertionError that says what was broken, or prints what was seen.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import statistics
import sys
import time
from collections.abc import Iterator

from tests.simulation.bounds import HEALED_WITHIN, longest_wait
from tests.simulation.heal import Shape, simulate_cut
from tests.simulation.hub import HOUR, Findings, simulate_hub
from tests.simulation.mesh import simulate_mesh
from tests.simulation.virtual_time import run

Cut = tuple[int, Shape, float, int]
"""Nodes, the shape of the cut, its seconds, and how many seeds."""

SHAPES: dict[Shape, str] = {"half": "in two halves", "one": "one node apart", "islands": "in ten islands"}

HEADING = """\
| nodes | cut | for | seeds | edges lost | all edges back after: median, most | one node's dials: most in a second | \
a minute, before |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> int:
    """Run one simulation and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--days", type=float, default=0.0)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--members", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--digest", action="store_true", help="print only a digest of the trace")
    parser.add_argument("--heal", action="store_true", help="cuts that heal")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seconds = (args.days * 24 + args.hours) * HOUR or 24 * HOUR
    if args.heal:
        _heal([(args.members, "half", seconds, 1)] if args.members else list(_cuts()), args.seed)
        return 0
    started = time.process_time()
    if args.members:
        findings = run(simulate_mesh(seed=args.seed, members=args.members, seconds=seconds))
    else:
        findings = run(simulate_hub(seed=args.seed, peers=args.peers, seconds=seconds))
    digest = hashlib.sha256(repr(findings.trace).encode()).hexdigest()
    sys.stdout.write(f"{digest}\n" if args.digest else _report(findings, seconds, time.process_time() - started))
    return 0


def _report(findings: Findings, seconds: float, cpu: float) -> str:
    troubles = ", ".join(f"{number} {kind}" for kind, number in sorted(findings.troubles.items()))
    events = ", ".join(f"{number} {kind}" for kind, number in sorted(findings.events.items()))
    return (
        f"simulated        {seconds / 86400:.2f} days in {cpu:.1f} s of CPU\n"
        f"troubles         {troubles}\n"
        f"events           {events}\n"
        f"dials            {findings.dials}, at most {findings.most_in_flight} in flight from one node\n"
        f"longest apart    {findings.longest_apart:.0f} s (bound {longest_wait():.0f} s, more while many are dead)\n"
    )


def _cuts() -> Iterator[Cut]:
    """The cuts of docs/faults.md."""
    minute, day = 60.0, 24 * HOUR
    yield from ((2, "half", seconds, 20) for seconds in (minute, 15 * minute, HOUR))
    yield (2, "half", day, 3)
    yield from ((5, "half", seconds, 20) for seconds in (minute, 15 * minute, HOUR))
    yield from ((5, "one", seconds, 20) for seconds in (minute, 15 * minute, HOUR))
    yield (5, "half", day, 3)
    for shape in SHAPES:
        yield from ((64, shape, seconds, seeds) for seconds, seeds in ((minute, 5), (15 * minute, 3), (HOUR, 1)))
    yield from ((1000, shape, 5 * minute, 1) for shape in SHAPES)


def _heal(cuts: list[Cut], first_seed: int) -> None:
    sys.stdout.write(HEADING)
    for members, shape, seconds, seeds in cuts:
        healed = [
            run(simulate_cut(seed=seed, members=members, shape=shape, seconds=seconds))
            for seed in range(first_seed, first_seed + seeds)
        ]
        after = [each.whole_after for each in healed]
        assert max(after) <= HEALED_WITHIN, f"{members} nodes, {shape}, {seconds:.0f} s: {max(after):.1f} s"
        columns = (
            f"{members:,}",
            SHAPES[shape],
            _length(seconds),
            str(seeds),
            f"{healed[0].edges:,}",
            f"{statistics.median(after):.1f} s, {max(after):.1f} s",
            str(max(each.node_peak for each in healed)),
            f"{statistics.mean(each.steady for each in healed):.1f}",
        )
        sys.stdout.write(f"| {' | '.join(columns)} |\n")
        sys.stdout.flush()


def _length(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < HOUR else f"{seconds / HOUR:.0f} h"


if __name__ == "__main__":
    sys.exit(main())
