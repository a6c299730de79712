# SPDX-License-Identifier: MIT
"""Words that all rooms share."""

from __future__ import annotations

from blixard.model.words import named


def test_of_many_names_five_stand_on_a_line_and_how_many_more_there_are() -> None:
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c, d, e"
    assert named(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d, e and 1 more"
    assert named(["a", "b", "c"], 2) == "a, b and 1 more"
