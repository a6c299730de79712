# SPDX-License-Identifier: MIT
"""`blixard check`: is every peer reached, now?"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from blixard.agent.check_sample import parse_sample
from blixard.agent.control_client import ask
from blixard.agent.node_config import etcd_of_environment
from blixard.cli.locations import add_location_flags, sources
from blixard.cli.output import print_json, print_table, progress, seconds
from blixard.errors import InputError, one_line

if TYPE_CHECKING:
    from blixard.agent.check_sample import Sample

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


MEND = "check fewer at once (--sample), or when it has less to do"


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="dial every peer and report",
        description="With --data-dir the running node there checks its peers. Without, the peers of the named "
        "files are dialled as a stranger: an edge counts as reached when the peer proves its id.",
    )
    add_location_flags(parser)
    parser.add_argument(
        "--sample",
        type=_sample,
        default="all",
        metavar="K",
        help="check K peers, spread over the ring of node ids, or `auto`: above 64 nodes twice the base-2 logarithm of"
        " how many there are (default all)",
    )
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="seconds for one peer (default 10)")
    parser.add_argument("--json", action="store_true", help="print the connectivity report")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 when not all is well, or cannot be told: this machine was too busy, a peer may be missing."""
    report = _report(args)
    if args.json:
        print_json(report)
    else:
        _print_table(report)
    node, summary = report["nodes"][0], report["summary"]
    for problem in node["problems"]:
        print(f"blixard: {one_line(problem)}", file=sys.stderr)
    untold = summary.get("untold", 0)  # an older node counts none
    if untold:
        print(f"blixard: {untold} could not be told: this machine was too busy; {MEND}", file=sys.stderr)
    stranger = node["agent"] == "stranger"
    not_well = summary["failed"] or untold or node["problems"]
    return 1 if not_well or (summary["not_admitted"] and not stranger) else 0


def _report(args: argparse.Namespace) -> dict[str, Any]:
    if args.data_dir and not args.peers and not args.registry:
        request = {"timeout_s": args.timeout, "sample": args.sample}
        with progress("peers checked") as show:
            # After each peer the node says so, and no peer takes longer than its time.
            answer: dict[str, Any] = ask(args.data_dir, "check", request, timeout=args.timeout + 20, progress=show)
        return answer
    from blixard.agent.connectivity import check_as_stranger

    named = sources(args)
    with progress("peers checked") as show:
        asked = check_as_stranger(
            named, timeout=args.timeout, sample=args.sample, tell=show, etcd=etcd_of_environment(os.environ)
        )
        report = asyncio.run(asked)
    if not report["edges"]:
        problems = report["nodes"][0]["problems"]
        mend = "name a peers file with --peers or a registry with --registry"
        raise InputError(problems[0]) if problems else InputError("no peer is named there", mend=mend)
    return report


def _print_table(report: dict[str, Any]) -> None:
    print_table(
        ("FROM", "TO", "REACHED", "ADMITTED", "PATH", "RTT", "ATTEMPTS", "TRIED FOR", "ERROR"),
        [
            (
                edge["from"],
                edge["to"],
                _yes(edge["reached"]),
                _yes(edge["admitted"]),
                edge["path"],
                None if edge["rtt_ms"] is None else f"{edge['rtt_ms']:.1f} ms",
                edge["attempts"],
                seconds(edge["waited_s"]),
                edge["error"] and f"{edge['error']['kind']}: {edge['error']['message']}",
            )
            for edge in report["edges"]
        ],
    )
    summary = report["summary"]
    print(
        f"{summary['reached']} of {summary['edges']} peers reached, {summary['not_admitted']} do not let this node in"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def _sample(text: str) -> Sample:
    try:
        return parse_sample(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(f"{error.reason}; {error.mend}") from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("must be seconds from 0.1 to 3600")
    return value
