# SPDX-License-Identifier: MIT
"""`blixard publish`: the record and the peers file to the places that nodes read them from."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.agent.node_config import etcd_of_environment
from blixard.cli.output import print_json, print_line
from blixard.errors import one_line

if TYPE_CHECKING:
    from blixard.publishing.base import Outcome

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "publish",
        help="put the record and the peers file where nodes read them: a folder, S3, SFTP and others",
        description="Writes what differs, never over a newer publication. A place that cannot be used keeps no other "
        "from getting it.",
    )
    parser.add_argument("--registry-dir", type=Path, required=True, metavar="DIR", help="the record")
    parser.add_argument(
        "--peers", type=Path, required=True, metavar="FILE", help="the peers file of it, its signature in FILE.sig"
    )
    parser.add_argument(
        "--tsig-key-file", type=Path, metavar="FILE", help="the key that DNS updates are signed with, as tsig-keygen"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a place is not up to date")
    parser.add_argument(
        "places",
        nargs="+",
        metavar="LOC",
        help="a folder that is there, s3://, sftp://, gs://, abfs://, etcd://, dns://SERVER/DOMAIN, zone:///FILE",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Publish; 1 when a place refused or failed, and with --check when one is not up to date."""
    # Imported here: no other command needs it.
    from blixard.publishing.base import RUN_LOCK, PublishContext, held_of, read_publication
    from blixard.publishing.factory import make_destinations, publish_everywhere, remember, report

    etcd, held = etcd_of_environment(os.environ), held_of(os.environ.get(RUN_LOCK, ""))
    context = PublishContext(lambda: datetime.now(timezone.utc), args.tsig_key_file, etcd, held)
    destinations = make_destinations(args.places, context)
    publication = read_publication(args.registry_dir, args.peers)
    outcomes = asyncio.run(publish_everywhere(destinations, publication, check=args.check))
    if not args.check:
        remember(args.registry_dir, publication, outcomes)
    if args.json:
        print_json(report(outcomes))
    else:
        for outcome in outcomes:
            _print(outcome, args.check)
    bad = [each for each in outcomes if each.reason]
    for outcome in bad:
        print(f"blixard: {one_line(outcome.reason or '')}", file=sys.stderr)
    return 1 if bad or (args.check and any(each.status == "changed" for each in outcomes)) else 0


def _print(outcome: Outcome, check: bool) -> None:
    words = {"changed": "is not up to date" if check else "published", "unchanged": "up to date"}
    for line in outcome.changes:
        print_line(line)
    print_line(f"{outcome.place}: {words.get(outcome.status, outcome.status)}")
