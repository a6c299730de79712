# SPDX-License-Identifier: MIT
"""Of a host's answer to a file that was put there, what was asked for is taken, and nothing else."""

from __future__ import annotations

import json

import pytest

from blixard.fleet.put_answer import put_answer


def said(stdout: str, stderr: str = "", rc: int = 0) -> dict[str, object]:
    return put_answer({"stdout": stdout, "stderr": stderr, "rc": rc})


def test_what_was_asked_for_is_taken_and_the_rest_dropped() -> None:
    answer = {
        "changed": True,
        "before": "a\n\x1b[2Jb\n",
        "add_host": {"host_name": "x"},
        "ansible_facts": {"a": 1},
        "_ansible_verbose_always": True,
        "warnings": ["x"],
        "diff": [],
    }
    assert said(f"motd\n{json.dumps(answer)}\n") == {"changed": True, "before": "a\n\\x1b[2Jb\n"}
    assert said('{"changed": false}') == {"changed": False, "before": None}


@pytest.mark.parametrize(
    "line",
    [
        '{"changed": "yes"}',
        '{"changed": 1}',
        "{}",
        "[]",
        "{",
        '{"changed": true, "changed": false}',
        '{"failed": true, "changed": true}',
        '{"changed": true, "x": ' + "[" * 10_000 + "]" * 10_000 + "}",
        '{"changed": true, "before": "' + "x" * 3_000_000 + '"}',
        "",
        "no such thing",
    ],
)
def test_an_answer_that_is_none_fails_with_one_line(line: str) -> None:
    answer = said(line)
    assert answer.keys() == {"failed", "msg"}
    assert "\n" not in str(answer["msg"])
    assert len(str(answer["msg"])) < 2100


def test_a_message_is_printable() -> None:
    assert said('{"failed": true, "msg": "a\\u001b[2J\\n{{ 1 }}"}')["msg"] == "a\\x1b[2J\\n{{ 1 }}"


@pytest.mark.parametrize(
    ("stderr", "rc", "reason"),
    [
        ("Traceback\nKeyError: 'put'", 1, "run site.yml first"),
        ("sh: python: not found", 127, "has no package blixard"),
        ("python: No module named blixard", 1, "has no package blixard"),
        ("killed\x07", 137, "ended with 137: killed\\x07"),
    ],
)
def test_a_host_that_cannot_answer_is_told_by_its_last_line(stderr: str, rc: int, reason: str) -> None:
    assert reason in str(said("", stderr, rc)["msg"])
