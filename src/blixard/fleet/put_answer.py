# SPDX-License-Identifier: MIT
"""What a host answered when a file was put there: whether that changed anything, and what was there before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blixard.documents.strictjson import loads
from blixard.errors import InputError, one_line

MAX_ANSWER = 2 * 1024 * 1024
"""Characters; a file of 256 KiB that is shown is at most six times as long when all of it is escaped."""

OLDER = "the package on the host is older than this role; run site.yml first, which installs it"


def put_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return `changed` and `before` (text or null), or `failed` and `msg`; whatever else the host said is dropped.

    Args:
        answer: `rc`, `stdout` and `stderr` of the command.
    """
    # A login shell may have words of its own to print; ours is the last line.
    line = str(answer["stdout"]).strip().rpartition("\n")[2]
    if not line.startswith("{"):
        return {"failed": True, "msg": _reason(answer)}
    try:
        said = loads(line.encode("utf-8", "surrogatepass")) if len(line) <= MAX_ANSWER else None
    except InputError:
        said = None
    said = said if isinstance(said, dict) else {}
    changed, before = said.get("changed"), said.get("before")
    if said.get("failed") or type(changed) is not bool:
        return {"failed": True, "msg": one_line(str(said.get("msg") or "its answer cannot be read"), 2000)}
    return {"changed": changed, "before": _printable(before) if isinstance(before, str) else None}


def _reason(answer: Mapping[str, Any]) -> str:
    last = str(answer["stderr"] or answer["stdout"]).strip().rpartition("\n")[2]
    if "KeyError: 'put'" in last:  # the words of a package that has no such operation yet
        return OLDER
    if answer["rc"] == 127 or "No module named" in last:
        return "has no package blixard; run the role's entry point runtime, or set blixard_venv"
    return f"ended with {answer['rc']}: {one_line(last)}"


def _printable(text: str) -> str:
    """Return `text` for a terminal: what is no printable character is written out, but for the ends of lines."""
    return "\n".join(one_line(line, len(line) * 10 + 1) for line in text.split("\n"))
