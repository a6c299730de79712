# SPDX-License-Identifier: MIT
"""All files name the same versions of Python and ansible-core; the workflows use only what cannot move."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# `sha` of an action and, for whoever reads it, its version.
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def load(name: str) -> Any:
    """Return what a file in YAML says."""
    return yaml.safe_load((ROOT / name).read_text())


def said(name: str, pattern: str) -> str:
    """Return what the one match of the pattern in a file says."""
    (found,) = re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE)
    return str(found)


def minor(version: str) -> tuple[int, int]:
    major, second = version.split(".")[:2]
    return int(major), int(second)


def classified() -> list[str]:
    """Return the versions of Python that the package says it runs on."""
    return re.findall(r'"Programming Language :: Python :: (3\..+)"', (ROOT / "pyproject.toml").read_text())


def workflow(name: str) -> Any:
    return load(f".github/workflows/{name}.yml")


def matrix(name: str, job: str) -> Any:
    return workflow(name)["jobs"][job]["strategy"]["matrix"]


def test_the_oldest_python_is_the_same_wherever_it_stands() -> None:
    oldest = classified()[0]
    assert said("pyproject.toml", r'^requires-python = ">=(.+)"$') == oldest
    assert said("pyproject.toml", r'^python_version = "(.+)"$') == oldest
    assert said("pyproject.toml", r'^target-version = "py(.+)"$') == oldest.replace(".", "")
    assert said("tools/make-lock", r"--python-version (\S+)") == oldest
    assert said("roles/blixard/tasks/runtime/python.yml", r"Blixard needs Python (\S+) or") == oldest


def test_the_tests_run_on_every_python_that_a_controller_may_have() -> None:
    oldest = said("tools/make-venv", r"sys\.version_info < \((.*?)\)").replace(", ", ".")
    assert matrix("tests", "test")["python"] == [it for it in classified() if minor(it) >= minor(oldest)]
    assert said("README.md", r"^On Debian with Python (\S+) or newer") == oldest


def test_the_newest_python_and_ansible_core_are_those_of_the_scenarios() -> None:
    assert said("tools/make-newest-venv", r"^version=(.*)$") == classified()[-1]
    assert said("tools/make-newest-venv", r"^core=(.*)$") == matrix("sanity", "sanity")["include"][-1]["core"]


def test_the_range_of_ansible_core_is_the_same_wherever_it_stands_and_each_of_it_is_tested() -> None:
    oldest, end = said("pyproject.toml", r'^    "ansible-core>=(.+)",$').split(",<")
    assert load("meta/runtime.yml")["requires_ansible"] == f">={oldest}.0,<{end}.0"
    assert load("roles/blixard/meta/main.yml")["galaxy_info"]["min_ansible_version"] == oldest
    environment = load("execution-environment.yml")["dependencies"]["ansible_core"]["package_pip"]
    assert environment.endswith(f",<{end}")
    assert minor(re.findall(r">=(\d+\.\d+)", environment)[0]) >= minor(oldest)
    tested = [it["core"] for it in matrix("sanity", "sanity")["include"]]
    assert tested == [f"2.{it}" for it in range(minor(oldest)[1], minor(end)[1])]
    assert {it["python"] for it in matrix("sanity", "sanity")["include"]} <= set(matrix("tests", "test")["python"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_actions_by_their_commit_and_has_no_more_rights_than_its_jobs_ask_for(path: Path) -> None:
    used = [line for line in path.read_text().splitlines() if "uses: " in line and "uses: ./" not in line]
    assert [line for line in used if not PINNED.search(line)] == []
    document = yaml.safe_load(path.read_text())
    assert document["permissions"] == {}
    assert "concurrency" in document
    for job in document["jobs"].values():
        assert job["permissions"], "each job states what it may do"
        assert "timeout-minutes" in job or job["uses"].startswith("./")


def test_an_action_has_the_same_commit_in_every_workflow() -> None:
    named = [re.findall(r"uses: ([\w/-]+)@(\w+)", path.read_text()) for path in WORKFLOWS]
    commits = {each for pairs in named for each in pairs}
    assert len(commits) == len({name for name, _ in commits})


def test_only_the_job_that_publishes_may_ask_for_an_identity_and_it_runs_no_code_of_the_tree() -> None:
    jobs = {
        (path.stem, name): job for path in WORKFLOWS for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    }
    assert [it for it, job in jobs.items() if "id-token" in job["permissions"]] == [("release", "pypi")]
    publish = jobs["release", "pypi"]
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert publish["environment"]["name"] == "pypi"
    assert set(publish["needs"]) == {"tests", "sanity", "build"}
