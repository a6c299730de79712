# SPDX-License-Identifier: MIT
"""Tags select the steps that they name, with those that these need; what would do something else is refused."""

from __future__ import annotations

import pytest

from blixard.fleet.steps import refused, steps

ALL = ["install", "gather", "identity", "publish", "node", "check"]


@pytest.mark.parametrize(
    ("run", "skip", "expected"),
    [
        (["all"], [], ALL),
        (["tagged"], [], ALL),
        (["untagged"], [], []),
        (["always"], [], []),
        (["install"], [], ["install"]),
        (["gather"], [], ["gather"]),
        (["check"], [], ["check"]),
        (["identity"], [], ["gather", "identity"]),
        (["publish"], [], ["gather", "publish"]),
        (["node"], [], ["gather", "node", "check"]),
        (["publish", "check"], [], ["gather", "publish", "check"]),
        (["all"], ["identity"], ["install", "gather", "publish", "node", "check"]),
        (["all"], ["check"], ["install", "gather", "identity", "publish", "node"]),
        (["node"], ["check"], ["gather", "node"]),
        (["all"], ["gather", "identity", "publish", "node"], ["install", "check"]),
        (["all"], ["all"], []),
        (["all"], ["tagged"], []),
        (["all"], ["untagged", "always"], ALL),
    ],
)
def test_a_step_runs_when_it_is_named_or_needed(run: list[str], skip: list[str], expected: list[str]) -> None:
    assert steps(run, skip) == expected


def test_a_tag_from_outside_selects_all_steps_but_those_that_are_skipped() -> None:
    assert steps(["fleet"], [], whole=True) == ALL
    assert steps(["fleet"], ["install"], whole=True) == ALL[1:]
    assert steps(["fleet"], []) == []


@pytest.mark.parametrize("run", [["all"], ["tagged"], ["always"], ["check"], ["install", "node"]])
def test_a_selection_that_does_what_it_says_is_taken(run: list[str]) -> None:
    assert refused(run, [], ALL, alone=True) is None


def test_what_molecule_skips_with_every_run_is_no_unknown_step() -> None:
    for having in (ALL, []):
        assert (
            refused(["all"], ["molecule-notest", "notest", "molecule-idempotence-notest"], having, alone=True) is None
        )


def test_an_unknown_tag_is_refused_with_those_that_there_are() -> None:
    known = "this playbook has no such step; its steps are install, gather, identity, publish, node, check"
    assert refused(["peers"], [], ALL, alone=True) == f"--tags peers: {known}"
    assert refused(["check", "peers"], [], ALL, alone=True) == f"--tags peers: {known}"
    assert refused(["all"], ["peers"], ALL, alone=True) == f"--skip-tags peers: {known}"
    whole = "this playbook has no such step; it runs as a whole, without tags"
    assert refused(["check"], [], [], alone=True) == f"--tags check: {whole}"


def test_a_selection_that_leaves_nothing_to_do_is_refused() -> None:
    assert "--tags untagged: nothing is left to do" in str(refused(["untagged"], [], ALL, alone=True))
    assert "--skip-tags all: nothing is left to do" in str(refused(["all"], ["all"], ALL, alone=True))
    assert "--tags check --skip-tags check: nothing" in str(refused(["check"], ["check"], ALL, alone=True))
    assert "--tags tagged: nothing is left to do; leave them out" in str(refused(["tagged"], [], [], alone=True))
    assert "nothing is left to do" in str(refused(["all"], ["untagged"], [], alone=True))
    assert refused(["untagged"], [], [], alone=True) is None


def test_what_a_host_has_is_not_left_out_while_a_step_needs_it() -> None:
    assert refused(["all"], ["gather"], ALL, alone=True) == (
        "--skip-tags gather: identity, publish, node cannot do without it; skip identity,publish,node too"
    )
    assert refused(["all"], ["gather", "identity", "publish", "node"], ALL, alone=True) is None
    assert refused(["check"], ["gather"], ALL, alone=True) is None


def test_as_a_part_of_another_playbook_the_tags_of_others_are_none_of_its_business() -> None:
    assert refused(["web"], ["db"], ALL, alone=False) is None
    assert "cannot do without it" in str(refused(["all"], ["gather"], ALL, alone=False))
    assert refused(["web"], [], [], alone=False) is None
