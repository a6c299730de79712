# SPDX-License-Identifier: MIT
"""The controller's end of `blixard.fleet.host`: the command for a host's shell, and what its answer means."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Protocol

from blixard.errors import BlixardError, one_line
from blixard.fleet.answers import parse_answer

OWN = ("python", "node_id", "cluster")
"""Options that are for the controller: how to ask, and what the answer is held against."""

MEND = "the host is broken or not in good hands: install the package anew (site.yml), or leave the host out"


class Action(Protocol):
    """What this needs of an Ansible action."""

    def _compute_environment_string(self) -> str: ...

    def _low_level_execute_command(self, line: str, /) -> Mapping[str, Any]: ...


def ask(action: Action, host: str, operation: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Have `host` carry out an operation, and return its result in Ansible's form, as `result` does."""
    sent = {name: value for name, value in options.items() if name not in OWN}
    line = action._compute_environment_string() + command(options["python"], operation, sent)
    return result(host, operation, options, action._low_level_execute_command(line))


def command(python: str, operation: str, options: Mapping[str, Any]) -> str:
    """Return the shell command that runs `operation` under `python`, isolated from the caller's folder and modules."""
    return shlex.join([python, "-I", "-m", "blixard.fleet.host", operation, json.dumps(options)])


def result(host: str, operation: str, options: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the host said as far as it was asked for, or `failed` and `msg` where it could not say it.

    Args:
        host: its name in the inventory.
        operation: what it was to do.
        options: what it was asked with; `python` is what the command was run under.
        answer: `rc`, `stdout` and `stderr` of the command.
    """
    # sudo, su or a login shell may have words of its own to print, and on a terminal warnings are among them too.
    line = next((line for line in reversed(str(answer["stdout"]).splitlines()) if line.startswith("{")), "")
    if not line:
        return {"failed": True, "msg": f"{options['python']}: {_reason(answer)}"}
    try:
        return parse_answer(host, operation, options, line)
    except BlixardError as error:
        mend = "" if getattr(error, "mend", "") else f"; {MEND}"
        return {"failed": True, "msg": f"{host}: its answer to {operation} cannot be used: {error}{mend}"}


def _reason(answer: Mapping[str, Any]) -> str:
    last = one_line(str(answer["stderr"] or answer["stdout"]).strip().rpartition("\n")[2])
    if answer["rc"] == 127 or "No module named" in last:
        return "has no package blixard; run the role's entry point runtime, or set blixard_venv"
    return f"ended with {answer['rc']}: {last}"
