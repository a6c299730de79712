# SPDX-License-Identifier: MIT
"""`blixard discover`: ask the sources once and say where each fact came from."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from blixard.agent.control_client import AgentNotRunning, ask
from blixard.agent.node_config import etcd_of_environment
from blixard.cli.locations import add_location_flags, sources
from blixard.cli.output import print_json, print_line, print_table, seconds
from blixard.documents.account import as_owner_of
from blixard.errors import one_line

if TYPE_CHECKING:
    from blixard.sources.factory import Named

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# A source has 10 s for its answer.
_ASK_TIMEOUT = 30.0


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "discover",
        help="ask the sources once and say where each fact came from",
        description="With --data-dir alone the node that runs there is asked, which also knows whom it dials and when "
        "next; where none runs, and for --peers and --registry, the sources are asked from here.",
    )
    add_location_flags(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 when a source failed."""
    found = _found(args)
    if args.json:
        print_json(found)
    else:
        print_table(
            ("NODE", "ID", "ADDRESS", "SAID BY", "SINCE", "PEER", "NEXT DIAL", "ADDRESS IS", "WHY"), list(_rows(found))
        )
        for dropped in found["dropped"]:
            print_line(_dropped(dropped))
        for source in found["sources"]:
            if source["ttl_s"] is not None:
                print_line(_freshness(source))
            for problem in source["problems"]:
                print_line(f"refused from {source['name']}: {problem}")
    failed = [source for source in found["sources"] if source["error"]]
    for source in failed:
        print(f"blixard: source {one_line(source['name'])}: {one_line(source['error'])}", file=sys.stderr)
    return 1 if failed else 0


def _found(args: argparse.Namespace) -> dict[str, Any]:
    named = sources(args)
    if args.data_dir and not args.peers and not args.registry:
        try:
            answer: dict[str, Any] = ask(args.data_dir, "discover", timeout=_ASK_TIMEOUT)
        except AgentNotRunning:
            pass
        else:
            return answer
        # Root looks into the directory as the node does.
        with as_owner_of(args.data_dir):
            return asyncio.run(_look(named))
    return asyncio.run(_look(named))


async def _look(named: list[Named]) -> dict[str, Any]:
    from blixard.agent.source_report import findings
    from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager

    access = etcd_of_environment(os.environ)
    manager = DiscoveryManager(DiscoveryConfig(named, auto_connect=False, etcd=access))
    try:
        await manager.start()
        await manager.refresh_peers()
        return findings(manager)
    finally:
        await manager.stop()


def _rows(found: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    for peer in found["peers"]:
        for address in peer["addresses"] or [None]:
            yield (
                peer["node_id"],
                _short(peer["iroh_node_id"]),
                address and address["address"],
                ", ".join(address["sources"] if address else peer["sources"]),
                peer["since"],
                peer["state"],
                seconds(peer["next_attempt_s"]),
                address and address["state"],
                address and _why(address),
            )


def _short(iroh_node_id: str) -> str:
    return base64.b64decode(iroh_node_id)[:5].hex()


def _why(address: dict[str, Any]) -> str | None:
    until = seconds(address["until_s"])
    return f"{address['reason']}, for {until}" if address["reason"] and until else address["reason"]


def _freshness(source: dict[str, Any]) -> str:
    age, ttl = seconds(source["age_s"]), seconds(source["ttl_s"])
    return f"answer of {source['name']}: {source['peers']} peers, {age} old, fresh for {ttl}"


def _dropped(dropped: dict[str, Any]) -> str:
    what = f"node {dropped['node_id']} ({_short(dropped['iroh_node_id'])})"
    address = f" at {dropped['address']}" if dropped["address"] else ""
    return f"dropped from {dropped['source']}: {what}{address}: {dropped['reason']}"
