# SPDX-License-Identifier: MIT
"""How many dials at once a machine can stand."""

from __future__ import annotations

import pytest

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.pace import LATE, MAX_DIALS, Pace
from blixard.dialling.protocols import DialError


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("timeout", DIAL_TIMEOUT),
        ("timeout", DIAL_TIMEOUT + LATE),
        ("unreachable", 3 * DIAL_TIMEOUT),
        ("wrong_id", 99.0),
    ],
)
def test_an_error_that_came_in_time_or_from_outside_is_what_it_says(kind: str, seconds: float) -> None:
    pace, error = Pace(), DialError(kind, "no")
    assert pace.failed(error, seconds) is error
    assert pace.most == MAX_DIALS


def test_a_late_timeout_is_this_machines_and_halves_the_dials_which_come_back_one_by_one() -> None:
    pace = Pace()
    most = []
    for _ in range(6):
        error = pace.failed(DialError("timeout", "no answer"), DIAL_TIMEOUT + 1)
        assert (error.kind, error.local) == ("too_slow", True)
        most.append(pace.most)
    assert most == [8, 4, 2, 1, 1, 1]
    for _ in range(2 * MAX_DIALS):
        pace.in_time()
    assert pace.most == MAX_DIALS
