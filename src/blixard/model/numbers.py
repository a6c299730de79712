# SPDX-License-Identifier: MIT
"""Sequence numbers follow the clock: they are Unix seconds, and one far ahead of the present is refused.

Whoever signed the highest number that can be written could never sign again, and what remembers it would refuse all
that follows. So a number counts only up to a day beyond the present: more than clocks that are kept are apart.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from blixard.errors import TrustError
from blixard.model.times import format_time

AHEAD = timedelta(days=1)
"""How far ahead of the present a number, or a time of signing, may be."""

_CLOCK_SET_FROM = datetime(2025, 1, 1, tzinfo=timezone.utc)
"""A clock that is before this was not set since the machine was switched on, and judges nothing."""


def is_clock_set(now: datetime) -> bool:
    """Tell whether `now` (aware) can be the present at all."""
    return now >= _CLOCK_SET_FROM


def is_ahead(number: int, now: datetime) -> bool:
    """Tell whether a sequence number is too far ahead of `now`; never where the clock is not set."""
    return is_clock_set(now) and number > (now + AHEAD).timestamp()


def check_number(
    number: int, now: datetime, mend: str = "set the clock of whoever signed it, and sign it anew"
) -> None:
    """Refuse a sequence number that is too far ahead of `now`, with what it means as a date, and the mend.

    Raises:
        TrustError: it is.
    """
    if is_ahead(number, now):
        raise TrustError(
            f"sequence number {number} stands for {date_of(number)}, more than a day ahead of this machine's clock"
            f" ({format_time(now.replace(microsecond=0))}); {mend}"
        )


def date_of(number: int) -> str:
    """Return the moment that a sequence number stands for, for people."""
    try:
        return format_time(datetime.fromtimestamp(number, timezone.utc))
    except (ValueError, OverflowError, OSError):
        return "a day after the year 9999"
