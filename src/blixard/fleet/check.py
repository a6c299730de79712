# SPDX-License-Identifier: MIT
"""One host's part of the connectivity check, by its running node or else from its files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from blixard.agent.control_client import AgentNotRunning, ask
from blixard.documents.account import as_owner_of

if TYPE_CHECKING:
    from pathlib import Path

    from blixard.agent.check_sample import Sample

PAUSE = 0.1
"""Seconds between two looks at a node's connections: it cannot be asked to say when one comes."""


OTHER_SETTINGS = "runs with other settings than this run gave it: somebody else changed them; run this again"


def check(
    data_dir: Path,
    *,
    config: Path | None,
    timeout: float,
    sample: Sample,
    settle: bool = False,
    config_sha256: str | None = None,
) -> dict[str, Any]:
    """Return this host's part of the connectivity report; nothing is written. Root does it as the node's account.

    Args:
        data_dir: the node's data directory.
        config: its settings, to check from when no node runs.
        timeout: seconds to spend on an edge.
        sample: how many peers to check.
        settle: wait, as long again, until the node has a connection of the mesh to each peer that was reached, and
            name those that it has none to among its problems. A check reaches peers by dialling; what the nodes do
            for each other goes over the mesh.
        config_sha256: digest of the settings that the running node is to have, which is a problem of its own where it
            has others; null where nobody says.

    Raises:
        AgentNotRunning: no node runs, and there are no settings to check from.
        AgentError: the node does not answer.
        InputError: settings, key or peers that cannot be used.
    """
    wanted = {"timeout_s": timeout, "sample": sample}
    try:
        # After each peer the node says so, and no peer takes longer than its time.
        report = dict(ask(data_dir, "check", wanted, timeout=timeout + 20, progress=lambda _: None))
        if config_sha256 is not None and ask(data_dir, "info")["config_sha256"] != config_sha256:
            report["nodes"][0]["problems"].append(OTHER_SETTINGS)
        if settle:
            report["nodes"][0]["problems"] += _apart(data_dir, report, timeout)
        return report
    except AgentNotRunning:
        if config is None or not config.exists():
            raise
    import asyncio

    from blixard.agent.connectivity import check_from_files
    from blixard.agent.node_config import load_config
    from blixard.fleet import preloaded_modules  # noqa: F401
    from blixard.transport import connector  # noqa: F401

    with as_owner_of(config.parent, strict=False):
        settings = load_config(config)
    with as_owner_of(data_dir):
        return asyncio.run(check_from_files(settings, timeout=timeout, sample=sample))


def _apart(data_dir: Path, report: dict[str, Any], timeout: float) -> list[str]:
    """Return a line for each peer that was reached and that the mesh has no connection to, even after `timeout`."""
    reached = {edge["to"] for edge in report["edges"] if edge["reached"] and edge["admitted"]}
    until = time.monotonic() + timeout
    while True:
        peers = [peer for peer in ask(data_dir, "status")["peers"] if peer["node_id"] in reached and peer["wanted"]]
        apart = [peer for peer in peers if peer["state"] != "connected"]
        if not apart or time.monotonic() >= until:
            return [f"has no connection to node {peer['node_id']} yet: {peer['state']}" for peer in apart]
        time.sleep(PAUSE)
