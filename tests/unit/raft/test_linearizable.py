# SPDX-License-Identifier: MIT
"""The checker of histories, held against registers that are right and against faults that are known."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.raft.linearizable import Operation, impossible


def write(value: int, called: float, returned: float = math.inf, key: str = "x") -> Operation:
    return Operation(key=key, value=value, is_write=True, called=called, returned=returned)


def read(value: int | None, called: float, returned: float, key: str = "x") -> Operation:
    return Operation(key=key, value=value, is_write=False, called=called, returned=returned)


GOOD = {
    "nothing": [],
    "a read before any write": [read(None, 0, 1), write(1, 2, 3)],
    "a read while the write is under way sees it": [write(1, 0, 10), read(1, 1, 2)],
    "a read while the write is under way does not see it": [write(1, 0, 10), read(None, 1, 2), read(1, 3, 4)],
    "two writes at once in either order": [write(1, 0, 10), write(2, 0, 10), read(2, 11, 12)],
    "the same two in the other order": [write(1, 0, 10), write(2, 0, 10), read(1, 11, 12)],
    "a write without an answer that happened late": [write(1, 0), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6)],
    "a write without an answer that never happened": [write(1, 0), write(2, 1, 2), read(2, 3, 4)],
    "other registers are none of its business": [write(1, 0, 1), write(2, 2, 3, "y"), read(1, 4, 5)],
    "calls and answers at the same moment": [write(1, 0, 1), read(None, 1, 2)],
}

BAD = {
    "a stale read": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "an acknowledged write that is lost": [write(1, 0, 1), read(None, 2, 3)],
    "a write that is seen before it began": [read(1, 0, 1), write(1, 2, 3)],
    "a write without an answer that is seen before it began": [read(1, 0, 1), write(1, 2)],
    "reads that go back": [write(1, 0, 1), write(2, 2, 10), read(2, 3, 4), read(1, 5, 6)],
    "two readers that see two writes in two orders": [
        write(1, 0, 20),
        write(2, 0, 20),
        read(1, 1, 2),
        read(2, 3, 4),
        read(1, 5, 6),
    ],
    "a value that nobody wrote": [write(1, 0, 1), read(7, 2, 3)],
    "a write without an answer that is seen, and gone again": [
        write(1, 0, 1),
        write(2, 2),
        read(2, 3, 4),
        read(1, 5, 6),
    ],
    "a fault of one register among good ones": [write(1, 0, 1, "y"), read(1, 2, 3, "y"), read(1, 0, 1)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_can_have_happened_passes(name: str) -> None:
    assert impossible(GOOD[name]) == ()


@pytest.mark.parametrize("name", BAD)
def test_a_history_that_cannot_have_happened_names_operations_that_fit_nowhere(name: str) -> None:
    assert impossible(BAD[name])


@st.composite
def real_histories(draw: st.DrawFn) -> list[Operation]:
    """What clients see of real registers: each operation takes effect at one moment between call and answer."""
    moments = draw(st.permutations(range(draw(st.integers(1, 40)))))
    registers: dict[str, int | None] = {}
    history = []
    for moment in sorted(moments):
        key = draw(st.sampled_from("xyz"))
        called = moment - draw(st.floats(0, 8))
        returned = moment + draw(st.floats(0, 8))
        if draw(st.booleans()):
            is_answered = draw(st.booleans())
            if is_answered or draw(st.booleans()):
                registers[key] = moment
            history.append(write(moment, called, returned if is_answered else math.inf, key))
        else:
            history.append(read(registers.get(key), called, returned, key))
    return draw(st.permutations(history))


@given(real_histories())
def test_what_a_real_register_answers_passes(history: list[Operation]) -> None:
    assert impossible(history) == ()


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=5
    )
)
def test_it_says_what_trying_every_order_says(drawn: list[tuple[bool, int, int, int, bool]]) -> None:
    history = [
        write(number + 10, start, start + length if is_known else math.inf)
        if is_write
        else read(value + 10, start, start + length)
        for number, (is_write, value, start, length, is_known) in enumerate(drawn)
    ]
    assert (impossible(history) == ()) == _any_order(history)


def _any_order(history: list[Operation]) -> bool:
    unknown = [each for each in history if not each.is_known]
    known = [each for each in history if each.is_known]
    return any(
        _is_order(order)
        for count in range(len(unknown) + 1)
        for some in itertools.combinations(unknown, count)
        for order in itertools.permutations([*known, *some])
    )


def _is_order(order: tuple[Operation, ...]) -> bool:
    value: object = None
    for place, each in enumerate(order):
        if any(later.returned < each.called for later in order[place + 1 :]):
            return False
        if not each.is_write and each.value != value:
            return False
        value = each.value
    return True


def test_it_judges_thousands_of_operations_of_busy_registers_with_many_unknown_answers() -> None:
    history = []
    for number in range(3000):
        key, moment = f"key{number % 30}", float(number // 30)
        if number % 3:
            history.append(read(None if moment < 1 else int(moment) * 100, moment + 0.5, moment + 0.6, key))
        history.append(write(int(moment) * 100, moment, moment + 0.4, key))
        if number % 7 == 0:
            history.append(write(int(moment) * 100 + 1, moment, key=key))
    history = [each for each in history if each.value is not None]
    assert impossible(history) == ()
    assert impossible([*history, read(100, 90, 91, "key3")])
