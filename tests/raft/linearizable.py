# SPDX-License-Identifier: MIT
"""Whether a history of reads and writes can have happened one after the other: Wing and Gong's search, with a memory.

Each key is a register of its own, and a history is linearizable when each register's part of it is. The package index
has no checker in Python.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation as its client saw it, from the call to the answer.

    Attributes:
        key: the register.
        value: what was written, or what was read; each value is written to a key once.
        is_write: whether it wrote.
        called, returned: seconds of a clock that never jumps. A write whose answer is not known has not returned
            (infinity): it happened at any time after its call, or never. A read without an answer is none.
    """

    key: Hashable
    value: Hashable
    is_write: bool
    called: float
    returned: float = math.inf

    @property
    def is_known(self) -> bool:
        """Whether it was answered."""
        return self.returned < math.inf


class TooHard(Exception):
    """The search was given up: neither answer is known."""


MAX_STEPS = 2_000_000


def impossible(history: Iterable[Operation], first: Hashable = None) -> Sequence[Operation]:
    """Return operations that fit in no order after the best one that was found; none of a linearizable history.

    Args:
        history: operations in any order.
        first: what each register has before.

    Raises:
        TooHard: after `MAX_STEPS` steps of one register.
    """
    registers: dict[Hashable, list[Operation]] = defaultdict(list)
    for operation in history:
        registers[operation.key].append(operation)
    for operations in registers.values():
        if stuck := _stuck(operations, first):
            return stuck
    return ()


def _stuck(operations: Iterable[Operation], first: Hashable) -> Sequence[Operation]:
    """Return those of one register that are next where the longest order ends."""
    found = sorted(operations, key=lambda each: (each.called, each.returned))
    written = [each.value for each in found if each.is_write]
    assert len(set(written)) == len(written), "a value is written to one key once"
    read = {each.value for each in found if not each.is_write}
    # Nobody saw the others: that they never happened explains as much.
    ordered = [each for each in found if each.is_known or each.value in read]
    must = sum(1 << number for number, each in enumerate(ordered) if each.is_known)
    readers: dict[Hashable, int] = defaultdict(int)
    for number, each in enumerate(ordered):
        if not each.is_write:
            readers[each.value] |= 1 << number

    seen: set[tuple[int, Hashable]] = set()
    ahead: list[tuple[int, Hashable]] = [(0, first)]
    best, best_done = 0, 0
    while ahead:
        done, value = ahead.pop()
        if (done, value) in seen:
            continue
        seen.add((done, value))
        if len(seen) > MAX_STEPS:
            raise TooHard(f"{len(ordered)} operations on the register {ordered[0].key!r}")
        done, next_ones = _after_reads(ordered, done, value)
        if done & must == must:
            return ()
        if (count := (done & must).bit_count()) > best:
            best, best_done = count, done
        for number in reversed(next_ones):
            each = ordered[number]
            # A write that nobody answered has to explain a read that is still to come.
            if each.is_write and (each.is_known or readers[each.value] & ~done):
                ahead.append((done | 1 << number, each.value))
    return [ordered[number] for number in _candidates(ordered, best_done) if ordered[number].is_known]


def _after_reads(ordered: Sequence[Operation], done: int, value: Hashable) -> tuple[int, list[int]]:
    """Put all reads of `value` that can be next; it never helps to put them later. Return with what can follow."""
    while True:
        candidates = _candidates(ordered, done)
        reads = [each for each in candidates if not ordered[each].is_write and ordered[each].value == value]
        if not reads:
            return done, candidates
        for each in reads:
            done |= 1 << each


def _candidates(ordered: Sequence[Operation], done: int) -> list[int]:
    """Return which operations can be next: called before any other that is left has returned."""
    found: list[int] = []
    earliest = math.inf
    number = (~done & done + 1).bit_length() - 1
    while number < len(ordered) and ordered[number].called <= earliest:
        if not done >> number & 1:
            found.append(number)
            earliest = min(earliest, ordered[number].returned)
        number += 1
    return found
