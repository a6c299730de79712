# SPDX-License-Identifier: MIT
"""Who holds a lock, written down and read by whoever finds it taken."""

from __future__ import annotations

import json
import os
import pwd
from datetime import datetime, timezone

import pytest

from blixard.documents.lock_holder import holder, words_of

NOON = datetime(2026, 9, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)


def test_whoever_takes_a_lock_is_named_with_machine_process_and_second() -> None:
    user, machine = pwd.getpwuid(os.getuid()).pw_name, os.uname().nodename
    said = json.dumps(holder(7, NOON)).encode()
    assert words_of(said) == f"{user} on {machine}, process 7, since 2026-09-01T12:00:00Z"


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b"\xff", b"7", b"{"])
def test_what_says_nothing_is_of_somebody_all_the_same(junk: bytes) -> None:
    assert words_of(junk) == "it began just now"


def test_what_somebody_else_wrote_stays_one_short_line() -> None:
    said = json.dumps({"user": "a" * 5000, "machine": ["x\n"], "process": None}).encode()
    assert words_of(said) == f"{'a' * 50} … {'a' * 50} on ['x\\n'], process None, since None"
