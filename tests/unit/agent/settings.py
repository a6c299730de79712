# SPDX-License-Identifier: MIT
"""Configurations for tests, without files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blixard.agent.node_config import NodeConfig
from blixard.agent.options import Bind


def settings(data_dir: Path, **changes: Any) -> NodeConfig:
    """The configuration of node 1 on loopback, with `changes`; `bind` may be a text."""
    values: dict[str, Any] = {
        "node_id": 1,
        "bind": "127.0.0.1:7001",
        "data_dir": data_dir,
        "peers_file": data_dir / "discovery-peers.json",
        "admission": "open",
        **changes,
    }
    if isinstance(values["bind"], str):
        values["bind"] = Bind.parse(values["bind"])
    return NodeConfig(**values)
