# SPDX-License-Identifier: MIT
"""Fuzzes every parser: `python -m tests.fuzz --cases 100000`.

Prints a line for each parser and ends with 1 if any raised another error than the declared ones, broke a promise,
or took more than a second over one input.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.engine import case, fuzz
from tests.fuzz.targets import TARGETS, Target

LONGEST_S = 1.0


def main() -> int:
    """Run the targets that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz every parser.")
    parser.add_argument("--cases", type=int, default=100_000, help="inputs for each parser (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other inputs (default: %(default)s)")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this parser; repeatable")
    parser.add_argument("--show", type=int, metavar="CASE", help="print one input of the target and run nothing")
    args = parser.parse_args()
    targets = [target for target in TARGETS if not args.target or target.name in args.target]
    if not targets:
        parser.error(f"known targets: {', '.join(target.name for target in TARGETS)}")
    if args.show is not None:
        for target in targets:
            print(case(target, args.seed, args.show))
        return 0
    print(f"{'PARSER':<22}{'CASES':>9}{'ACCEPTED':>10}{'REFUSED':>9}{'PER SECOND':>12}{'SLOWEST':>12}")
    return max([_report(target, args.seed, args.cases) for target in targets])


def _report(target: Target, seed: int, cases: int) -> int:
    """Run a target, print its line and what failed; return 1 if anything did."""
    started = time.process_time()
    outcome = fuzz(target, seed=seed, cases=cases)
    spent = time.process_time() - started
    rate = outcome.cases / max(spent, 1e-9)
    slowest = f"{outcome.slowest_s * 1000:.1f} ms"
    counts = f"{outcome.cases:>9}{outcome.accepted:>10}{outcome.refused:>9}"
    print(f"{target.name:<22}{counts}{rate:>12.0f}{slowest:>12}", flush=True)
    for failure in outcome.failures[:10]:
        print(f"  FAILED {failure}")
    if outcome.slowest_s > LONGEST_S:
        print(f"  FAILED case {outcome.slowest_case} took more than {LONGEST_S} s")
    return int(bool(outcome.failures) or outcome.slowest_s > LONGEST_S)


if __name__ == "__main__":
    sys.exit(main())
