# SPDX-License-Identifier: MIT
"""The three forms of a time in documents."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from tests.unit.model.strategies import moments

from blixard.documents.json_times import format_time, parse_time, upstream_time
from blixard.errors import InputError

MOMENT = datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=timezone.utc)
SECS = 1704067200


@pytest.mark.parametrize(
    "form",
    [
        "2024-01-01T00:00:00.123456Z",
        {"secs_since_epoch": SECS, "nanos_since_epoch": 123456789},
        {"nanos_since_epoch": 123456000, "secs_since_epoch": SECS},
        [SECS, 123456789],
    ],
)
def test_all_three_forms_are_read_as_the_same_moment(form: object) -> None:
    assert parse_time(form) == MOMENT


@given(moments)
def test_both_forms_that_are_written_read_back_to_the_microsecond(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment
    assert parse_time(upstream_time(moment)) == moment
    assert upstream_time(parse_time(upstream_time(moment))) == upstream_time(moment)


@pytest.mark.parametrize(
    ("form", "place", "reason"),
    [
        (None, "", "must be an RFC 3339 time, not null"),
        (SECS, "", "not an integer"),
        (1.5, "", "not a number with a fraction"),
        (True, "", "not true or false"),
        ([], "", "has 0 items"),
        ([SECS], "", "has 1 items"),
        ([SECS, 0, 0], "", "has 3 items"),
        ([SECS, 10**9], "/1", "at most 999999999"),
        ([SECS, -1], "/1", "at least 0"),
        ([-1, 0], "/0", "at least 0"),
        ([SECS + 0.0, 0], "/0", "an integer, not a number with a fraction"),
        ([True, 0], "/0", "an integer, not true or false"),
        ([253402300800, 0], "/0", "at most 253402300799"),
        ([10**19, 0], "/0", "at most 253402300799"),
        ({}, "/secs_since_epoch", "is missing"),
        ({"secs_since_epoch": 1}, "/nanos_since_epoch", "is missing"),
        ({"secs_since_epoch": "1", "nanos_since_epoch": 0}, "/secs_since_epoch", "an integer, not a string"),
        ({"secs_since_epoch": 1, "nanos_since_epoch": 10**9}, "/nanos_since_epoch", "at most"),
        ({"secs_since_epoch": 1, "nanos_since_epoch": 0, "x": 0}, "/x", "not a known field"),
    ],
)
def test_other_forms_are_refused_with_their_place(form: Any, place: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        parse_time(form)
    assert caught.value.place == place
