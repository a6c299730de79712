# SPDX-License-Identifier: MIT
"""In a playbook a node's advice names the variables that one can set there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from blixard.fleet.role_words import VARIABLES, in_role_words

DEFAULTS = Path(__file__).resolve().parents[3] / "roles" / "blixard" / "defaults" / "main.yml"


def test_every_variable_that_stands_for_an_option_is_one_of_the_role() -> None:
    known = {*yaml.safe_load(DEFAULTS.read_text()), "blixard_node_id"}
    assert set(VARIABLES.values()) <= known


@pytest.mark.parametrize(
    ("said", "in_a_playbook"),
    [
        ("choose another address with --bind", "choose another address with blixard_bind"),
        ("name one with --advertise-extra, or more", "name one with blixard_advertise_extra, or more"),
        ("choose another address with --metrics", "choose another address with blixard_metrics"),
        ("stop it first: blixard stop --data-dir /d", "stop it first: blixard stop --data-dir /d"),
        ("see it with --verbose", "see it with --verbose"),
    ],
)
def test_an_option_becomes_its_variable_and_a_command_stays_one(said: str, in_a_playbook: str) -> None:
    assert in_role_words(said, {}) == in_a_playbook


def test_where_the_inventory_makes_the_variable_of_others_these_are_named() -> None:
    variables = {
        "blixard_bind": "127.0.0.1:{{ demo_first_port + blixard_node_id - 1 }}",
        "blixard_metrics": "127.0.0.1:{{ 'demo_dir' }}",
        "demo_first_port": 17001,
        "demo_dir": "/",
        "blixard_node_id": 1,
    }

    assert in_role_words("with --bind", variables) == "with blixard_bind (here made of demo_first_port)"
    assert in_role_words("with --metrics", variables) == "with blixard_metrics"
