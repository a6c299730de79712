# SPDX-License-Identifier: MIT
"""Which clock judges a number, and how far ahead of it one may be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from blixard.errors import TrustError
from blixard.model.numbers import check_number, date_of, is_ahead, is_clock_set

NEW_YEAR = datetime(2025, 1, 1, tzinfo=timezone.utc)
SECONDS = 1_735_689_600


def test_a_clock_is_set_from_the_year_2025_on() -> None:
    assert is_clock_set(NEW_YEAR)
    assert not is_clock_set(NEW_YEAR - timedelta(microseconds=1))


def test_a_number_is_ahead_that_is_more_than_a_day_after_a_clock_that_is_set() -> None:
    assert not is_ahead(SECONDS + 86_400, NEW_YEAR)
    assert is_ahead(SECONDS + 86_401, NEW_YEAR)
    assert not is_ahead(2**53 - 1, NEW_YEAR - timedelta(microseconds=1))


def test_a_number_that_is_ahead_is_refused_with_its_date() -> None:
    check_number(SECONDS + 86_400, NEW_YEAR)
    with pytest.raises(TrustError, match=r"stands for 2025-01-02T00:00:01Z, more than a day ahead .*2025-01-01T00:00"):
        check_number(SECONDS + 86_401, NEW_YEAR + timedelta(microseconds=5))


def test_a_number_beyond_all_dates_is_named_too() -> None:
    assert date_of(2**53 - 1) == "a day after the year 9999"
