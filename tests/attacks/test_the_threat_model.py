# SPDX-License-Identifier: MIT
"""Every protection that docs/security.md states names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "security.md").read_text()
HELD = re.findall(r"^\| protection \| checked by \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)


def test_every_protection_names_a_test_that_is_there() -> None:
    present = {path.stem for root in ("tests", "molecule") for path in (PROJECT / root).rglob("test_*.py")}
    lines = [line for table in HELD for line in table.splitlines()]
    assert len(lines) > 25
    for line in lines:
        named = re.findall(r"`(test_\w+)`", line.rpartition("| ")[2])
        assert named, line
        assert set(named) <= present, (line, set(named) - present)


def test_every_attack_is_in_the_threat_model() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    attacks = {path.stem for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).stem}
    assert attacks <= named, attacks - named
