# SPDX-License-Identifier: MIT
"""Runs the command line in this process and returns what a person would see."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from blixard.cli.main import main


@dataclass(frozen=True)
class Ran:
    """Exit code and output of one run."""

    code: int
    out: str
    err: str


def blixard(*arguments: str | Path) -> Ran:
    """Run `blixard` with `arguments`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse, on a wrong command line
            code = int(end.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def refused(ran: Ran, code: int) -> str:
    """Assert that a run ended with `code` and one line on stderr; return that line."""
    assert ran.code == code, ran
    assert ran.err.endswith("\n")
    assert ran.err.count("\n") == 1, ran.err
    assert "Traceback" not in ran.err
    return ran.err.rstrip("\n")
