# SPDX-License-Identifier: MIT
"""`blixard report`: a connectivity report as a page for people."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.connectivity_report import parse_report
from blixard.documents.files import read_limited, write_atomic
from blixard.errors import InputError
from blixard.model.limits import MAX_REPORT_BYTES
from blixard.pages.mesh_page import mesh_page

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

STDIN = "-"


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="make a page of a connectivity report",
        description="Make one self-contained HTML page of the report that `blixard check --json` or a playbook wrote.",
    )
    parser.add_argument("report", metavar="REPORT", help="the report; - reads it from standard input")
    parser.add_argument("--html", type=Path, required=True, metavar="FILE", help="where the page goes")
    parser.add_argument("--before", metavar="REPORT", help="an earlier report, for what has changed since")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    before = _read(args.before) if args.before else None
    write_atomic(args.html, mesh_page(_read(args.report), before), mode=0o644)
    return 0


def _read(name: str) -> dict[str, Any]:
    if name != STDIN:
        return parse_report(read_limited(name, MAX_REPORT_BYTES), file=name)
    data = sys.stdin.buffer.read(MAX_REPORT_BYTES + 1)
    if len(data) > MAX_REPORT_BYTES:
        raise InputError(f"is too large: at most {MAX_REPORT_BYTES} bytes are read", file="standard input")
    return parse_report(data, file="standard input")
