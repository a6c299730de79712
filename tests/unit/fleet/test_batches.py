# SPDX-License-Identifier: MIT
"""The words that Ansible's plays get about batches."""

from __future__ import annotations

from blixard.fleet.batches import hosts_after, serial, tolerance


def test_the_play_that_rolls_out_learns_its_batches_from_any_host_that_knows() -> None:
    assert serial([None, {"serial": 2}]) == 2
    assert serial([None]) == "100%"
    assert serial([{"serial": 2}], "50%") == "50%"


def test_a_play_follows_the_last_of_several_batches_alone() -> None:
    assert hosts_after("blixard", 2) == "blixard"
    assert hosts_after("blixard", "100%") == "all:!all"


def test_the_first_failure_ends_a_run_in_batches_unless_something_else_was_asked_for() -> None:
    assert tolerance(2) == 0
    assert tolerance("100%") == 100
    assert tolerance(2, 25) == 25
    assert tolerance("100%", 0) == 0
