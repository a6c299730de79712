# SPDX-License-Identifier: MIT
"""The three forms in which documents write a moment."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from blixard.errors import InputError
from blixard.model import fields
from blixard.model.times import EPOCH, format_time, parse_rfc3339
from blixard.model.words import wrong_kind

__all__ = ["format_time", "parse_time", "upstream_time"]

_SECS = "secs_since_epoch"
_NANOS = "nanos_since_epoch"
_MAX_SECS = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second that RFC 3339 and datetime can write
_MAX_NANOS = 999_999_999


def parse_time(obj: object) -> datetime:
    """Read RFC 3339 text, `{"secs_since_epoch", "nanos_since_epoch"}` or `[secs, nanos]` (Rust's SystemTime).

    Digits beyond the microsecond are dropped. Returns UTC.

    Raises:
        InputError: another form, or a moment before 1970 or after 9999.
    """
    if isinstance(obj, str):
        return parse_rfc3339(obj)
    if isinstance(obj, dict):
        return _from_object(obj)
    if isinstance(obj, list):
        if len(obj) != 2:
            raise InputError(f"must be [seconds, nanoseconds], has {len(obj)} items")
        return _moment(obj[0], "/0", obj[1], "/1")
    raise InputError(wrong_kind("an RFC 3339 time", obj))


def upstream_time(moment: datetime) -> dict[str, int]:
    """Return the object form, the only one that upstream's reader takes; exact to the microsecond."""
    since = moment.astimezone(timezone.utc) - EPOCH
    return {_SECS: since.days * 86400 + since.seconds, _NANOS: since.microseconds * 1000}


def _from_object(obj: dict[str, object]) -> datetime:
    fields.members(obj, names=(_SECS, _NANOS))
    return _moment(obj[_SECS], f"/{_SECS}", obj[_NANOS], f"/{_NANOS}")


def _moment(secs: object, secs_place: str, nanos: object, nanos_place: str) -> datetime:
    seconds = fields.integer(secs, secs_place, least=0, most=_MAX_SECS)
    micros = fields.integer(nanos, nanos_place, least=0, most=_MAX_NANOS) // 1000
    return EPOCH + timedelta(seconds=seconds, microseconds=micros)
