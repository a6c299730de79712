# SPDX-License-Identifier: MIT
"""`blixard status`: what the running node knows of its peers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from blixard.agent.control_client import ask
from blixard.cli.output import print_json, print_line, print_table, seconds
from blixard.cli.which_node import add_node_flag, which_node
from blixard.model.times import parse_rfc3339

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="what the running node knows of its peers")
    add_node_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the status."""
    status = ask(which_node(args.data_dir), "status")
    if args.json:
        print_json(status)
        return 0
    states = [peer["state"] for peer in status["peers"]]
    summary = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no peers known"
    print_line(f"node {status['node_id']} of cluster {status['cluster']}, admission {status['admission']}: {summary}")
    now = datetime.now(timezone.utc)
    print_table(
        ("NODE", "STATE", "FOR", "PATH", "RTT", "FAILURES", "NEXT TRY", "LAST ERROR", "SOURCES"),
        [_row(peer, now) for peer in status["peers"]],
    )
    for line in _troubles(status, now):
        print_line(line)
    if status.get("raft"):
        print_line(raft_summary(status["raft"]))
    return 0


def _row(peer: dict[str, Any], now: datetime) -> tuple[object, ...]:
    error = peer["last_error"]
    return (
        peer["node_id"],
        peer["state"],
        _age(peer["since"], now),
        peer["path"],
        None if peer["rtt_ms"] is None else f"{peer['rtt_ms']:.1f} ms",
        peer["failures"],
        seconds(peer["next_attempt_s"]),
        f"{error['kind']}: {error['message']}" if error and peer["state"] != "connected" else None,
        ",".join(peer["sources"]),
    )


def _age(moment: str, now: datetime) -> str | None:
    return seconds(max(0.0, (now - parse_rfc3339(moment)).total_seconds()))


def _troubles(status: dict[str, Any], now: datetime) -> Iterator[str]:
    """Yield a line for each thing that is wrong and is in no row."""
    for peer in status["peers"]:
        for address in peer["addresses"]:
            if address["state"] != "usable":
                until = seconds(address["until_s"])
                for_how_long = f", for {until}" if until else ""
                yield f"node {peer['node_id']}: {address['address']} is not dialled: {address['reason']}{for_how_long}"
    yield from _source_troubles(status["sources"], now)
    yield from _own_troubles(status)


def _source_troubles(sources: list[dict[str, Any]], now: datetime) -> Iterator[str]:
    for source in sources:
        if source["error"]:
            last = f"{_age(source['good_at'], now)} ago" if source["good_at"] else "never"
            yield f"source {source['name']} failed, last good answer {last}: {source['error']}"
        if source.get("memory_of"):
            yield f"source {source['name']} is from memory, of {source['memory_of']}: {source['peers']} peers"
        for problem in source["problems"]:
            yield f"source {source['name']}: refused: {problem}"


def _own_troubles(status: dict[str, Any]) -> Iterator[str]:
    remembered = status.get("not_remembered", ())
    for line in remembered:
        yield f"cannot remember what it took: {line}"
    for line in status.get("not_written", ()):
        if line not in remembered:
            yield f"cannot write, and tries again: {line}"
    if status.get("not_reachable"):
        yield f"cannot be reached from other hosts: {status['not_reachable']}"
    relay = status.get("relay")
    if relay and relay["error"]:
        yield f"relay {relay['url']}: {relay['error']}"
    refused = ", ".join(f"{count} {kind}" for kind, count in sorted(status["refused_callers"].items()))
    if refused:
        yield f"callers turned away: {refused}"


def raft_summary(status: dict[str, Any]) -> str:
    """Return one line for a voter's status."""
    if status["state"] != "running":
        return f"raft {status['state']}: {status['reason']}"
    leader = "no leader" if status["leader"] is None else f"node {status['leader']} leads"
    alive = sum(member["is_alive"] for member in status["members"])
    return (
        f"raft {status['role']}, {leader}, term {status['term']}: {alive} of {len(status['members'])} voters alive, "
        f"{status['entries']} entries"
    )
