# SPDX-License-Identifier: MIT
"""A small number of the fuzzer's cases in every test run; `python -m tests.fuzz` runs the volume."""

from __future__ import annotations

import pytest
from tests.fuzz.engine import case, fuzz
from tests.fuzz.targets import TARGETS, Target

from blixard.errors import InputError

CASES = 300
ALL = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@ALL
def test_a_parser_raises_nothing_but_its_declared_errors(target: Target) -> None:
    outcome = fuzz(target, seed=0, cases=CASES)
    assert outcome.failures == []
    assert outcome.cases == CASES + len(target.seeds)
    assert outcome.refused > 0, "mutations that change nothing prove nothing"


@ALL
def test_the_same_seed_gives_the_same_cases(target: Target) -> None:
    assert [case(target, 5, number) for number in range(20)] == [case(target, 5, number) for number in range(20)]


def test_an_undeclared_error_is_a_failure() -> None:
    def careless(data: bytes) -> None:
        if b"x" in data:
            raise InputError("has an x")
        raise KeyError("y")

    outcome = fuzz(Target("careless", careless, (b"x",)), seed=0, cases=50)
    assert outcome.refused > 0
    assert any("KeyError" in failure for failure in outcome.failures)
