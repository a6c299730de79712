# SPDX-License-Identifier: MIT
"""`blixard record`: the record that several controllers share."""

from __future__ import annotations

import argparse
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.agent.node_config import etcd_of_environment
from blixard.cli.output import print_json, print_line
from blixard.errors import InputError
from blixard.model.ids import EndpointId

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("record", help="the record that several controllers share")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    pull = actions.add_parser(
        "pull",
        help="bring the record here as it was published",
        description="Replaces record, manifest, peers file and signature by what is published in etcd, when that fits "
        "together, is signed by whoever signed what is here, and is not older. Changes here that were not published "
        "are kept, unless --discard is given.",
    )
    pull.add_argument("--registry-dir", type=Path, required=True, metavar="DIR", help="the record")
    pull.add_argument("--peers", type=Path, required=True, metavar="FILE", help="the peers file of it")
    pull.add_argument(
        "--signer", action="append", default=[], metavar="ID", help="a fleet key that is trusted, for the first time"
    )
    pull.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something differs")
    pull.add_argument("--discard", action="store_true", help="also over changes that were not published")
    pull.add_argument("--json", action="store_true", help="print one JSON document")
    pull.add_argument("place", metavar="LOC", help="etcd://HOST:PORT/PREFIX, or etcds://")
    pull.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pull; with --check 1 when something differs."""
    # Imported here: no other command needs it.
    from blixard.publishing.base import Outcome, PublishContext
    from blixard.publishing.etcd import EtcdDestination
    from blixard.publishing.factory import SHARED, report
    from blixard.publishing.pull import Here, pull
    from blixard.sources.urls import name_of, scheme_of

    if scheme_of(args.place) not in SHARED:
        raise InputError("is no place to pull from", file=name_of(args.place), mend="write etcd://HOST:PORT/PREFIX")
    now = datetime.now(timezone.utc)
    place = EtcdDestination(args.place, PublishContext(lambda: now, etcd=etcd_of_environment(os.environ)))
    lines = pull(
        place.look(),
        place.name,
        Here(args.registry_dir, args.peers),
        signers=[EndpointId.parse(each) for each in args.signer],
        now=now,
        check=args.check,
        discard=args.discard,
    )
    if args.json:
        print_json(report([Outcome(place.name, "changed" if lines else "unchanged", lines)]))
    else:
        for line in lines:
            print_line(line)
        words = ("is not what is published" if args.check else "pulled") if lines else "up to date"
        print_line(f"{place.name}: {words}")
    return 1 if args.check and lines else 0
