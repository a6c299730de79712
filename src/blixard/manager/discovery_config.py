# SPDX-License-Identifier: MIT
"""What a discovery manager is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.base import Source
    from blixard.sources.factory import Named


@dataclass(frozen=True)
class DiscoveryConfig:
    """What a manager works with.

    Args:
        sources: kinds from DiscoverySource, or any object with the Source interface; the earlier counts more.
        refresh_interval: between two looks at the sources, seconds or a timedelta.
        auto_connect: dial peers by itself.
        trusted_signers: when not empty, a peers file counts only with a good signature of one of these keys.
        full_mesh: up to so many peers are all dialled; above, a sparse overlay is.
        state_dir: where the numbers of signed peers files are remembered, so that an older one is refused after
            a restart too, and the last good peers files themselves, so that a damaged one takes nobody away; None
            remembers the numbers in memory.
    """

    sources: Sequence[Named | Source] = ()
    refresh_interval: timedelta | float = 60.0
    auto_connect: bool = True
    trusted_signers: Collection[EndpointId] = ()
    full_mesh: int = 64
    state_dir: Path | None = None

    @property
    def refresh_seconds(self) -> float:
        """The refresh interval in seconds."""
        interval = self.refresh_interval
        return interval.total_seconds() if isinstance(interval, timedelta) else float(interval)
