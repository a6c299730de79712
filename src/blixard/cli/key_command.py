# SPDX-License-Identifier: MIT
"""`blixard key`: secret keys of nodes and of the fleet. No command prints one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.account import as_owner_of
from blixard.trust.keys import KEY_FILE_NAME, create_secret_key, read_secret_key

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("key", help="make a secret key, show the id of one")
    actions = group.add_subparsers(metavar="ACTION", required=True)

    generate = actions.add_parser("generate", help="make a secret key in a new file and print its id")
    generate.add_argument(
        "--out",
        type=Path,
        default=Path(KEY_FILE_NAME),
        metavar="FILE",
        help="where to write it; must not be there yet (default: ./%(default)s)",
    )
    generate.set_defaults(run=_run_generate)

    show = actions.add_parser("show", help="print the id of a secret key")
    show.add_argument("file", type=Path, metavar="FILE", help="a key file, or a node's data directory")
    show.set_defaults(run=run_show)

    for parser in (generate, show):
        parser.add_argument("--base64", action="store_true", help="print the id as files have it, not in hex")


def _run_generate(args: argparse.Namespace) -> int:
    """Make a key; the id goes to stdout, the word about the file to stderr."""
    key = create_secret_key(args.out)
    print(_id(key.public(), args))
    print(f"secret key written to {args.out}; whoever has it is this node", file=sys.stderr)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print the id that belongs to a key file."""
    if args.file.is_dir():
        with as_owner_of(args.file):
            key = read_secret_key(args.file / KEY_FILE_NAME)
    else:
        key = read_secret_key(args.file)
    print(_id(key.public(), args))
    return 0


def _id(endpoint_id: EndpointId, args: argparse.Namespace) -> str:
    return endpoint_id.base64 if args.base64 else endpoint_id.hex
