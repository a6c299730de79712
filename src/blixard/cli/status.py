# SPDX-License-Identifier: MIT
"""`blixard status`: what the running node knows of its peers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.client import ask
from blixard.cli.output import print_json, print_table, seconds

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="what the running node knows of its peers")
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="data directory of the node")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the status."""
    status = ask(args.data_dir, "status")
    if args.json:
        print_json(status)
        return 0
    states = [peer["state"] for peer in status["peers"]]
    summary = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no peers known"
    print(f"node {status['node_id']} of cluster {status['cluster']}, admission {status['admission']}: {summary}")
    print_table(
        ("NODE", "STATE", "PATH", "RTT", "FAILURES", "NEXT TRY", "LAST ERROR", "SOURCES"),
        [_row(peer) for peer in status["peers"]],
    )
    for source in status["sources"]:
        if source.get("error"):
            print(f"source {source['name']} failed: {source['error']}")
    return 0


def _row(peer: dict[str, Any]) -> tuple[object, ...]:
    error = peer["last_error"]
    return (
        peer["node_id"],
        peer["state"],
        peer["path"],
        None if peer["rtt_ms"] is None else f"{peer['rtt_ms']:.1f} ms",
        peer["failures"],
        seconds(peer["next_attempt_s"]),
        f"{error['kind']}: {error['message']}" if error and peer["state"] != "connected" else None,
        ",".join(peer["sources"]),
    )
