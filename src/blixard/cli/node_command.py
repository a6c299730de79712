# SPDX-License-Identifier: MIT
"""`blixard node`: run a node. `blixard stop`: end one that was started with --detach."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.agent.node_config import load_config
from blixard.agent.options import add_flags
from blixard.cli.output import print_line
from blixard.cli.which_node import add_node_flag, which_node

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the commands of this group."""
    parser = commands.add_parser(
        "node", help="run a node", description="Run a node until SIGTERM or SIGINT; SIGHUP reads its settings again."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="node-config.json; flags and variables win over it")
    parser.add_argument("--detach", action="store_true", help="start in the background, return when the node is ready")
    add_flags(parser)
    parser.set_defaults(run=_run_node)
    parser = commands.add_parser("stop", help="stop a node", description="Stop the node of a data directory.")
    add_node_flag(parser)
    parser.set_defaults(run=_run_stop)


def _run_node(args: argparse.Namespace) -> int:
    """Run a node in the foreground, or start it in the background."""

    def read_config() -> NodeConfig:
        return load_config(args.config, flags=vars(args), environ=os.environ)

    if args.detach:
        from blixard.agent.process import LOG_FILE_NAME, start_detached

        config = read_config()
        pid = start_detached([word for word in args.arguments if word != "--detach"], config.data_dir)
        print_line(f"node {config.node_id} runs as process {pid}, its log is {config.data_dir / LOG_FILE_NAME}")
        return 0
    from blixard.agent.node import run_until_signal

    return run_until_signal(read_config)


def _run_stop(args: argparse.Namespace) -> int:
    """Stop a node and wait until it is gone."""
    from blixard.agent.process import stop

    data_dir = which_node(args.data_dir)
    print_line(f"node in {data_dir} {'stopped' if stop(data_dir) else 'was not running'}")
    return 0
