# SPDX-License-Identifier: MIT
"""Moments as RFC 3339 text: from 1970 to 9999, UTC, to the microsecond."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from blixard.errors import InputError
from blixard.model.words import quoted, wrong_kind

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_FORM = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_MEND = 'write "2024-01-01T00:00:00Z"'


def parse_rfc3339(text: object) -> datetime:
    """Read an RFC 3339 time with any offset; digits beyond the microsecond are dropped.

    Raises:
        InputError: another form, a day or hour that does not exist, or a moment before 1970.
    """
    if not isinstance(text, str):
        raise InputError(wrong_kind("a string", text))
    match = _FORM.fullmatch(text)
    if match is None:
        raise InputError(f"{quoted(text)} is not an RFC 3339 time", mend=_MEND)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    micro = int((match[7] or "").ljust(6, "0")[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, timezone.utc) - _offset(match)
    except (ValueError, OverflowError):
        raise InputError(f"{quoted(text)} is a time that does not exist", mend=_MEND) from None
    if moment < EPOCH:
        raise InputError(f"{quoted(text)} is before 1970")
    return moment


def _offset(match: re.Match[str]) -> timedelta:
    if match[8] is None:
        return timedelta()
    hours, minutes = int(match[9]), int(match[10])
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if match[8] == "-" else offset


def format_time(moment: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with `Z`; a fraction only when there is one.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    text = moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0')}Z" if "." in text else f"{text}Z"


def parse_whole_second(text: object) -> datetime:
    """Read a time as signatures carry it: exactly `YYYY-MM-DDTHH:MM:SSZ`, one text for one moment."""
    moment = parse_rfc3339(text)
    if moment.microsecond or format_time(moment) != text:
        raise InputError(f"{quoted(str(text))} must be in whole seconds, UTC", mend=_MEND)
    return moment
