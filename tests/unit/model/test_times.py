# SPDX-License-Identifier: MIT
"""Times: RFC 3339 to the microsecond, from 1970 to 9999."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from tests.unit.model.strategies import moments

from blixard.errors import InputError
from blixard.model.times import format_time, parse_rfc3339, parse_whole_second


@given(moments)
def test_a_time_reads_back_as_it_is_written(moment: datetime) -> None:
    assert parse_rfc3339(format_time(moment)) == moment


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01t00:00:00z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T02:30:00+02:30", "2024-01-01T00:00:00Z"),
        ("2023-12-31T23:00:00-01:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.5Z"),
        ("2024-01-01T00:00:00.000000Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00.123456Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_times_in_any_offset_are_written_in_utc(text: str, written: str) -> None:
    assert format_time(parse_rfc3339(text)) == written


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an RFC 3339 time"),
        ("2024-01-01", "not an RFC 3339 time"),
        ("2024-01-01T00:00:00", "not an RFC 3339 time"),
        ("2024-01-01 00:00:00Z", "not an RFC 3339 time"),
        ("2024-01-01T00:00:00Z\n", "not an RFC 3339 time"),
        ("2024-01-01T00:00:00.Z", "not an RFC 3339 time"),
        ("2024-01-01T00:00:00+0100", "not an RFC 3339 time"),
        ("٢٠٢٤-01-01T00:00:00Z", "not an RFC 3339 time"),
        ("2024-13-01T00:00:00Z", "does not exist"),
        ("2023-02-29T00:00:00Z", "does not exist"),
        ("2024-01-01T24:00:00Z", "does not exist"),
        ("2024-01-01T00:00:60Z", "does not exist"),
        ("2024-01-01T00:00:00+24:00", "does not exist"),
        ("2024-01-01T00:00:00+00:60", "does not exist"),
        ("0000-01-01T00:00:00Z", "does not exist"),
        ("0001-01-01T00:00:00+01:00", "does not exist"),
        ("9999-12-31T23:59:59-00:01", "does not exist"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        (0, "must be a string"),
    ],
)
def test_what_is_no_time_is_refused_with_its_reason(text: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_rfc3339(text)


def test_a_time_without_a_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        format_time(datetime(2024, 1, 1))


@pytest.mark.parametrize("text", ["2024-01-01T00:00:00.5Z", "2024-01-01T01:00:00+01:00", "2024-01-01t00:00:00z"])
def test_signed_times_have_one_text_only(text: str) -> None:
    assert parse_whole_second("2024-01-01T00:00:00Z") == datetime(2024, 1, 1, tzinfo=timezone.utc)
    with pytest.raises(InputError, match="whole seconds"):
        parse_whole_second(text)
