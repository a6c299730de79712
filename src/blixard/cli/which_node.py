# SPDX-License-Identifier: MIT
"""Which node a command means: that of `--data-dir`, of the environment, or the only one that runs here."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from blixard.agent.options import OPTIONS
from blixard.agent.process import running_pid
from blixard.errors import InputError

SERVICE_DATA_DIR = Path("/var/lib/blixard")
"""Where the role puts a node's data."""

_ENV_NAME = next(option.env_name for option in OPTIONS if option.key == "data_dir")
_MEND = f"name the data directory of a node with --data-dir or {_ENV_NAME}"


def add_node_flag(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir, which `which_node` does without where only one node can be meant."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"data directory of the node; without, that of {_ENV_NAME}, or of the only node that runs in"
        f" {SERVICE_DATA_DIR} and data/node*",
    )


def which_node(
    given: Path | None, *, environ: Mapping[str, str] = os.environ, service: Path = SERVICE_DATA_DIR
) -> Path:
    """Return the data directory of the node that is meant.

    Raises:
        InputError: the one that is named is not there, or none is named and not exactly one node runs here.
    """
    if given is None and environ.get(_ENV_NAME):
        given = Path(environ[_ENV_NAME])
    if given is not None:
        if not given.is_dir():
            raise InputError("is no directory", file=str(given), mend=_MEND)
        return given
    running = list(_running(service))
    if len(running) != 1:
        several = f"several nodes run here: {', '.join(map(str, running))}"
        raise InputError(several if running else "no node runs here", mend=_MEND)
    return running[0]


def _running(service: Path) -> Iterator[Path]:
    """Yield the places that are looked at and in which a node runs, or somebody else's node may."""
    for place in (service, *sorted(Path("data").glob("node*"))):
        try:
            if running_pid(place) is not None:
                yield place
        except InputError:
            yield place  # not for this user, as the command will say
