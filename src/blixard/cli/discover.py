# SPDX-License-Identifier: MIT
"""`blixard discover`: run the sources once and say where each fact came from."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from blixard.cli.locations import add_location_flags, sources
from blixard.cli.output import print_json, print_table, seconds
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager

if TYPE_CHECKING:
    from blixard.agent.config import AnySource
    from blixard.peers.status import PeerStatus, SourceStatus

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("discover", help="look at the sources once and say where each fact came from")
    add_location_flags(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 when a source failed."""
    peers, states = asyncio.run(_look(sources(args)))
    if args.json:
        print_json({"peers": [peer.to_json() for peer in peers], "sources": [state.to_json() for state in states]})
    else:
        print_table(
            ("NODE", "ID", "ADDRESS", "SAID BY", "STATE", "WHY", "UNTIL"),
            [
                (
                    peer.node_id,
                    peer.endpoint_id.short,
                    a.address,
                    ", ".join(a.sources),
                    a.state,
                    a.reason,
                    seconds(a.until_s),
                )
                for peer in peers
                for a in peer.addresses
            ],
        )
    failed = [state for state in states if state.state == "failed"]
    for state in failed:
        print(f"blixard: source {state.name}: {state.error}", file=sys.stderr)
    return 1 if failed else 0


async def _look(named: list[AnySource]) -> tuple[list[PeerStatus], list[SourceStatus]]:
    manager = DiscoveryManager(DiscoveryConfig(named, auto_connect=False))
    try:
        await manager.start()
        await manager.refresh_peers()
        return manager.status(), manager.source_status()
    finally:
        await manager.stop()
