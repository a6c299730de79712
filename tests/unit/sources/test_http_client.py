# SPDX-License-Identifier: MIT
"""The rules of one HTTP GET that need no server."""

from __future__ import annotations

import pytest

from blixard.errors import InputError
from blixard.sources.http_client import Deadline, Limits, Target, _is_settled, _usable


def test_a_get_has_eight_seconds_in_all_three_to_connect_and_five_without_a_byte() -> None:
    assert Limits() == Limits(connect=3.0, idle=5.0, total=8.0)


def test_a_url_has_2048_characters_at_most() -> None:
    url = "http://h.example/".ljust(2048, "x")
    assert Target.parse(url).url == url
    with pytest.raises(InputError, match="too long"):
        Target.parse(url + "x")


@pytest.mark.parametrize(
    "bad", ["http://h.example/é", "http://h.example/ x", "http://h.example/\x7f", "http://é.example"]
)
def test_a_url_has_no_character_that_must_be_written_otherwise(bad: str) -> None:
    with pytest.raises(InputError, match="characters that a URL cannot have"):
        Target.parse(bad)


@pytest.mark.parametrize(("value", "is_good"), [("", False), ("x", True), ("x" * 1024, True), ("x" * 1025, False)])
def test_an_etag_has_1_to_1024_characters(value: str, is_good: bool) -> None:
    assert _usable(value) == (value if is_good else None)


@pytest.mark.parametrize("value", [None, "é", "\x01", "é" * 2000])
def test_an_etag_is_plain_text(value: str | None) -> None:
    assert _usable(value) is None


@pytest.mark.parametrize(("second", "settled"), [(2, False), (3, True)])
def test_a_date_counts_that_is_more_than_two_seconds_before_the_answer(second: int, settled: bool) -> None:
    changed = "Thu, 01 Jan 2026 00:00:00 GMT"
    assert _is_settled(changed, f"Thu, 01 Jan 2026 00:00:0{second} GMT") is settled
    assert not _is_settled(changed, None)


def test_no_single_wait_is_longer_than_what_is_left_of_the_whole_time() -> None:
    deadline = Deadline(Limits(total=100.0))
    assert not deadline.is_over()
    assert deadline.at_most(3.0) == 3.0
    assert 0 < deadline.at_most(1000.0) <= 100.0
    over = Deadline(Limits(total=0.0))
    assert over.is_over()
    with pytest.raises(TimeoutError):
        over.at_most(3.0)
