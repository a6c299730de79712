# SPDX-License-Identifier: MIT
"""Which settings a running node can take over, and which need a restart."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from blixard.errors import InputError

if TYPE_CHECKING:
    from blixard.agent.config import NodeConfig

NEEDS_RESTART = ("node_id", "bind", "cluster", "data_dir", "relay_url", "metrics")
"""What the node is, where it listens and where it lives."""

_NOT_SETTINGS = frozenset({"sha256"})


def changed_settings(old: NodeConfig, new: NodeConfig) -> list[str]:
    """Return the names of the settings that differ, those that can be taken over.

    Raises:
        InputError: one differs that needs a restart; then nothing of the new configuration is to be used, so
            that what runs is always what one file says.
    """
    names = [field.name for field in dataclasses.fields(old) if field.name not in _NOT_SETTINGS]
    changed = [name for name in names if getattr(old, name) != getattr(new, name)]
    fixed = [name for name in changed if name in NEEDS_RESTART]
    if fixed:
        raise InputError(
            f"{', '.join(fixed)} cannot be changed while the node runs; nothing was changed", mend="restart the node"
        )
    return changed
