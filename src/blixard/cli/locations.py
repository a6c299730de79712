# SPDX-License-Identifier: MIT
"""The flags that say where to look for peers, shared by `discover` and `check`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.agent.node_config import PEERS_FILE_NAME, named_sources
from blixard.agent.options import OPTIONS, from_words
from blixard.agent.own_entry import REGISTRY_FILE_NAME
from blixard.discovery_manager import DiscoverySource
from blixard.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blixard.sources.factory import Named

_PLACES = {o.key: o for o in OPTIONS if o.key in ("join", "registries", "dns", "etcd", "cloud", "mdns", "peers_file")}
"""Where a node looks for peers, as its environment can say it too."""


def add_location_flags(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir, --peers and --registry."""
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="data directory of a node")
    parser.add_argument("--peers", type=Path, action="append", default=[], metavar="FILE", help="a peers file")
    parser.add_argument(
        "--registry",
        action="append",
        default=[],
        metavar="LOC",
        help="a registry: path, directory, ticket, URL, dns:NAME, aws:… or mdns:",
    )
    parser.epilog = "Without --peers and --registry, the variables of a node count too: " + ", ".join(
        option.env_name for option in _PLACES.values()
    )


def sources(args: argparse.Namespace) -> list[Named]:
    """Return the sources that the flags name, in their order; where they name no file, those of a node's environment.

    Raises:
        InputError: none is named, or a peers file is not there (for a command it must be, for a node it may come).
    """
    found: list[Named] = []
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
    if not args.registry and not args.peers:
        found = [*_of_environment(os.environ), *found]
    if not found:
        raise InputError("nowhere to look", mend="name a place with --data-dir, --peers or --registry")
    return found


def _of_environment(environ: Mapping[str, str]) -> list[Named]:
    """Return the sources that a node with this environment has, beside those in its data directory."""

    def given(key: str) -> str:
        return environ.get(_PLACES[key].env_name, "")

    named = named_sources(
        [*from_words(given("join")), *from_words(given("registries"))],
        **{key: from_words(given(key)) for key in ("etcd", "dns", "cloud")},
        mdns=_PLACES["mdns"].from_text(given("mdns")) is True,
    )
    return [*named, *([DiscoverySource.StaticFile(given("peers_file"))] if given("peers_file") else [])]
