# SPDX-License-Identifier: MIT
"""Time that passes only when somebody waits."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tests.unit.documents.samples import NOW


class VirtualClock:
    """Begins at 0; a wait is over at once and moves the time. The date stands still."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)
