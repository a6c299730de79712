# SPDX-License-Identifier: MIT
"""What sources need from outside."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.attestations import AttestationCheck
    from blixard.sources.host_port import IsKnown
    from blixard.sources.snapshots import Memory
    from blixard.sources.ticket import Introduce
    from blixard.trust.highest_seq import SeenNumbers


@dataclass(frozen=True)
class Tools:
    """Verification, the date and time, and what only a running node can do."""

    check: AttestationCheck
    wall: Callable[[], datetime]
    is_known: IsKnown
    introduce: Introduce | None = None
    own: EndpointId | None = None
    cluster: str | None = None
    signers: Collection[EndpointId] = ()
    seen: SeenNumbers | None = None
    memory: Memory | None = None
