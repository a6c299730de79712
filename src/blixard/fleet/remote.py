# SPDX-License-Identifier: MIT
"""The controller's end of `blixard.fleet.host`: the command for a host's shell, and what its answer means."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def command(python: str, operation: str, options: Mapping[str, Any]) -> str:
    """Return the shell command that runs `operation` under `python`, isolated from the caller's folder and modules."""
    return shlex.join([python, "-I", "-m", "blixard.fleet.host", operation, json.dumps(options)])


def result(python: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the host said, or `failed` and `msg` where it could not say it.

    Args:
        python: what the command was run under, to name it.
        answer: `rc`, `stdout` and `stderr` of the command.
    """
    # A login shell may have words of its own to print; ours is the last line.
    line = answer["stdout"].strip().rpartition("\n")[2]
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if isinstance(said, dict):
        return said
    return {"failed": True, "msg": f"{python}: {_reason(answer)}", "rc": answer["rc"], "stderr": answer["stderr"]}


def _reason(answer: Mapping[str, Any]) -> str:
    last = (answer["stderr"] or answer["stdout"]).strip().rpartition("\n")[2]
    if answer["rc"] == 127 or "No module named" in last:
        return "has no package blixard; run the role's entry point runtime, or set blixard_venv"
    return f"ended with {answer['rc']}: {last}"
