# SPDX-License-Identifier: MIT
"""The simulations for longer than a test run allows: `python -m tests.simulation --days 30`.

With `--members` it is a mesh of so many managers, otherwise one manager and `--peers` peers. It ends with an
AssertionError that says what was broken, or prints what was seen.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import time

from tests.simulation.bounds import longest_wait
from tests.simulation.hub import HOUR, Findings, simulate_hub
from tests.simulation.mesh import simulate_mesh
from tests.simulation.virtual_time import run


def main() -> int:
    """Run one simulation and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--days", type=float, default=0.0)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--members", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--digest", action="store_true", help="print only a digest of the trace")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seconds = (args.days * 24 + args.hours) * HOUR or 24 * HOUR
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


if __name__ == "__main__":
    sys.exit(main())
