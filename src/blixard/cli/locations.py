# SPDX-License-Identifier: MIT
"""The flags that say where to look for peers, shared by `discover` and `check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from blixard.agent.node_config import PEERS_FILE_NAME, AnySource
from blixard.agent.own_entry import REGISTRY_FILE_NAME
from blixard.discovery_manager import DiscoverySource
from blixard.errors import InputError


def add_location_flags(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir, --peers and --registry."""
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="data directory of a node")
    parser.add_argument("--peers", type=Path, action="append", default=[], metavar="FILE", help="a peers file")
    parser.add_argument(
        "--registry", action="append", default=[], metavar="LOC", help="a registry: path, directory, ticket or URL"
    )


def sources(args: argparse.Namespace) -> list[AnySource]:
    """Return the sources that the flags name, in their order.

    Raises:
        InputError: none is named, or a peers file is not there (for a command it must be, for a node it may come).
    """
    found: list[AnySource] = []
    if args.registry:
        found.append(DiscoverySource.NodeRegistry(args.registry))
    for path in args.peers:
        if not path.exists():
            raise InputError("does not exist", file=str(path), mend="name a peers file that is there")
        found.append(DiscoverySource.StaticFile(path))
    if args.data_dir:
        if not args.data_dir.is_dir():
            raise InputError("is no directory", file=str(args.data_dir), mend="name a node's data directory")
        own = args.data_dir / REGISTRY_FILE_NAME
        found += [DiscoverySource.NodeRegistry([own])] if own.exists() else []
        found.append(DiscoverySource.StaticFile(args.data_dir / PEERS_FILE_NAME))
    if not found:
        raise InputError("nowhere to look", mend="name a place with --data-dir, --peers or --registry")
    return found
