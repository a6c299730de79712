# SPDX-License-Identifier: MIT
"""The `blixard` command: its groups, and how errors reach the person at the terminal."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from blixard import __version__
from blixard.errors import BlixardError, InputError, trouble_with_files

_GROUPS = {
    "node_command": ("node", "stop"),
    "status_command": ("status",),
    "discover_command": ("discover",),
    "check_command": ("check",),
    "report_command": ("report",),
    "key_command": ("key",),
    "registry_command": ("registry",),
    "peers_command": ("peers",),
    "publish_command": ("publish",),
    "record_command": ("record",),
    "raft_command": ("raft",),
}
"""The commands of each file in this room. A command does not import what only others need: up to 0.2 s of work."""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and takes no abbreviated flags: a script that uses one breaks with the next."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, as all other input that cannot be used."""
        raise InputError(message, file="command line", mend=f"see {self.prog} --help")


def _build_parser(command: str | None = None) -> _Parser:
    """Return the parser of the whole command line; of a `command`, that of the file which has it."""
    parser = _Parser(
        prog="blixard",
        description="Node discovery for Blixard clusters over Iroh.",
        epilog="Exit code 0: all is well. 1: the answer is no. 2: input that cannot be used.",
    )
    parser.add_argument("--version", action="version", version=f"blixard {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in [file for file, has in _GROUPS.items() if command in has] or _GROUPS:
        importlib.import_module(f"blixard.cli.{group}").register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Who says nothing asks what there is to say.
        args = _build_parser(next(iter(arguments), None)).parse_args(arguments or ["--help"])
        args.arguments = arguments
        with _quiet():
            code: int = args.run(args)
        sys.stdout.flush()
    except BlixardError as error:
        print(f"blixard: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        _drop_output()
        return 1
    except OSError as error:
        trouble = trouble_with_files(error, "output")
        print(f"blixard: {trouble}", file=sys.stderr)
        _drop_output()
        return trouble.exit_code
    except KeyboardInterrupt:
        return 130
    return code


def _drop_output() -> None:
    """Forget what could not be written; without this, Python complains of it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: a command says in its answer what a node would log. `node` sets its own level."""
    logger = logging.getLogger("blixard")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
