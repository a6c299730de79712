# SPDX-License-Identifier: MIT
"""One host's part of the connectivity check, by its running node or else from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blixard.agent.client import AgentNotRunning, ask

if TYPE_CHECKING:
    from pathlib import Path


def check(data_dir: Path, *, config: Path | None, timeout: float, sample: int | None) -> dict[str, Any]:
    """Return this host's part of the connectivity report; nothing is written.

    Args:
        data_dir: the node's data directory.
        config: its settings, to check from when no node runs.
        timeout: seconds to spend on an edge.
        sample: how many peers to check, those that follow on the ring of node ids; null for all.

    Raises:
        AgentNotRunning: no node runs, and there are no settings to check from.
        AgentError: the node does not answer.
        InputError: settings, key or peers that cannot be used.
    """
    wanted = {"timeout_s": timeout, "sample": sample}
    try:
        # A node with very many peers checks them in rounds.
        return dict(ask(data_dir, "check", wanted, timeout=4 * timeout + 20))
    except AgentNotRunning:
        if config is None or not config.exists():
            raise
    import asyncio

    from blixard.agent.check import check_from_files
    from blixard.agent.config import load_config

    return asyncio.run(check_from_files(load_config(config), timeout=timeout, sample=sample))
