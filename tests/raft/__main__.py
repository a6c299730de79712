# SPDX-License-Identifier: MIT
"""Break a cluster of voters in every way, with figures for docs/faults.md: `python -m tests.raft [WORD]`; only root."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.integration.nodes import eventually
from tests.raft.cluster import Cluster, cluster
from tests.raft.faults import FAULTS, Fault
from tests.raft.load import Judgement, Load

from blixard.errors import BlixardError

WRITES = 1000
VOTERS = 5
STARTS = 20
FIRST = 1_000_000
DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
HEADING = """## Raft

Five voters run on the same machine. Clients write and read through all of them all the time, before the fault, during
it and after it, until at least 1,000 writes are acknowledged. "Unknown" are writes that no client has an answer to.
"Lost" are acknowledged writes that a voter does not have at the end. A history is linearizable when its operations can
have happened one after the other, each between its call and its answer (`tests/raft/linearizable.py`). While the leader
is cut off, those that are cut off with it have to acknowledge nothing. `python -m tests.raft --write` writes this part.

| fault | writes acknowledged | unknown | operations | linearizable | lost |
| --- | --- | --- | --- | --- | --- |
"""


def run(fault: Fault, made: Cluster, *, first: int, writes: int = WRITES) -> Load:
    """Break a cluster that runs, under load; return when enough is written, with the load still going on."""
    load = Load(made, first)
    load.more(writes // 4)
    fault(made, load)
    load.more(max(writes - load.writes(), 50))
    return load


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _campaign(word: str) -> tuple[list[str], int]:
    rows, broken = [], 0
    for number, (name, fault) in enumerate((name, fault) for name, fault in FAULTS.items() if word in name):
        began = time.monotonic()
        try:
            judged = _judged(fault, FIRST * (number + 1))
        except (AssertionError, BlixardError) as error:
            broken += 1
            rows.append(f"| {name} | | | | not run to its end | |")
            tell(f"{rows[-1]}\n  BROKEN: {error}")
            continue
        is_linear = "no" if judged.impossible else "yes"
        lost = str(len(judged.lost)) if judged.lost else "nothing"
        rows.append(
            f"| {name} | {judged.acknowledged:,} | {judged.unknown:,} | {judged.operations:,} | {is_linear} | {lost} |"
        )
        tell(f"{rows[-1]}  {time.monotonic() - began:.0f} s")
        for line in judged.faults:
            broken += 1
            tell(f"  BROKEN: {line}")
    return rows, broken


def _judged(fault: Fault, first: int) -> Judgement:
    with (
        tempfile.TemporaryDirectory(prefix="blixard-raft-") as folder,
        cluster(Path(folder), VOTERS) as made,
        made.own_disks("32m"),
    ):
        made.start()
        made.leader()
        return run(fault, made, first=first).check()


def start_in_any_order(room: Path, seed: int) -> int:
    """Start five voters in an order of the seed, two of them late; return how many clusters there are."""
    random = Random(seed)
    with cluster(room, VOTERS) as made:
        order = random.sample(made.voters, VOTERS)
        for number in order[:3]:
            made.launch(number)
            time.sleep(random.random())
        if random.random() < 0.7:  # else the late ones come while the others are forming
            made.leader(*order[:3])
        for number in order[3:]:
            made.launch(number)
            time.sleep(random.random())
        eventually(lambda: made.agreed())
        return len({status["genesis"] for number in made.voters if (status := made.status(number))})


def _starts(count: int) -> tuple[str, int]:
    clusters = []
    for seed in range(count):
        with tempfile.TemporaryDirectory(prefix="blixard-raft-") as folder:
            clusters.append(start_in_any_order(Path(folder), seed))
        tell(f"start {seed + 1}: {clusters[-1]} cluster")
    line = f"Five voters were started {count} times in random orders, two of them late: "
    return line + f"{clusters.count(1)} times they formed one cluster.", len(clusters) - clusters.count(1)


def main() -> int:
    """Run the faults whose name has a word in it, or all, and the starts."""
    parser = argparse.ArgumentParser(prog="python -m tests.raft", description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only faults whose name has this in it")
    parser.add_argument("--starts", type=int, default=STARTS, metavar="N", help="starts in any order")
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    args = parser.parse_args()
    rows, broken = _campaign(args.word)
    line, more = _starts(args.starts)
    tell(line)
    if args.write:
        before, _, _ = DOCUMENT.read_text().partition("\n## Raft\n")
        DOCUMENT.write_text(before + "\n" + HEADING + "\n".join([*rows, "", line, ""]))
    return 1 if broken or more else 0


if __name__ == "__main__":
    raise SystemExit(main())
