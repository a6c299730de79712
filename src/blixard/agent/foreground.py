# SPDX-License-Identifier: MIT
"""A node as a foreground process: logging, signals, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from blixard.agent.logs import set_up
from blixard.agent.node import Node
from blixard.errors import InputError

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig


def run_until_signal(read_config: Callable[[], NodeConfig]) -> int:
    """Run the node until SIGTERM or SIGINT; returns 0 after a clean stop. SIGHUP reads the configuration again.

    Raises:
        InputError: the configuration cannot be used.
    """
    config = read_config()
    set_up(config.log_level, config.log_format)
    asyncio.run(_run(config, read_config))
    return 0


async def _run(config: NodeConfig, read_config: Callable[[], NodeConfig]) -> None:
    node = Node(config, read_config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(node))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await node.run()


async def _reload(node: Node) -> None:
    with contextlib.suppress(InputError):  # which is logged there
        await node.reload()
