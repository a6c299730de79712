# SPDX-License-Identifier: MIT
"""Runs one parser on many mutated inputs and says what became of them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from tests.fuzz.mutate import mutate
from tests.fuzz.targets import Target

from blixard.errors import InputError, TrustError

LONGEST_LINE = 2000


@dataclass
class Outcome:
    """What became of the cases of one target. Times are seconds of this process's CPU: others share the machine."""

    target: str
    cases: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    slowest_case: int = 0
    failures: list[str] = field(default_factory=list)


def case(target: Target, seed: int, number: int) -> bytes:
    """Return input `number` of a target: the same for the same seed, whatever ran before."""
    rng = random.Random(f"{seed}/{target.name}/{number}")
    return mutate(rng.choice(target.seeds), rng, target.seeds)


def fuzz(target: Target, *, seed: int, cases: int) -> Outcome:
    """Run `cases` inputs through a target; what it must not do is collected in `failures`."""
    outcome = Outcome(target.name)
    for data in target.seeds:
        _run(target, data, outcome, "a seed")
    for number in range(cases):
        data = case(target, seed, number)
        spent = _run(target, data, outcome, f"case {number}")
        if spent > outcome.slowest_s:
            outcome.slowest_s, outcome.slowest_case = spent, number
    return outcome


def _run(target: Target, data: bytes, outcome: Outcome, what: str) -> float:
    outcome.cases += 1
    started = time.process_time()
    try:
        target.run(data)
        outcome.accepted += 1
    except (InputError, TrustError) as error:
        outcome.refused += 1
        line = str(error)
        if not line.isprintable() or len(line) > LONGEST_LINE:
            outcome.failures.append(f"{what}: its message is no printable line: {line[:200]!r}")
    except Exception as error:
        outcome.failures.append(f"{what}: {type(error).__name__}: {error} for {data[:200]!r}")
    return time.process_time() - started
