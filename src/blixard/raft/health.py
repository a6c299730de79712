# SPDX-License-Identifier: MIT
"""Who of the voters is alive: when each was last heard."""

from __future__ import annotations

from collections.abc import Iterable

BEAT = 1.0
"""Seconds between two beats of a voter; three of them unheard and it counts as gone."""

SILENCE = 3 * BEAT


class Liveness:
    """When each voter was last heard, by a clock that never jumps."""

    def __init__(self) -> None:
        self._heard: dict[int, float] = {}

    def heard(self, node: int, now: float) -> None:
        """Note that something came from `node`."""
        self._heard[node] = now

    def gone(self, node: int) -> None:
        """Note that the stream to `node` has ended."""
        self._heard.pop(node, None)

    def age(self, node: int, now: float) -> float | None:
        """Return for how many seconds nothing came from `node`; None when it is not connected."""
        at = self._heard.get(node)
        return None if at is None else max(0.0, now - at)

    def alive(self, nodes: Iterable[int], now: float) -> frozenset[int]:
        """Return which of `nodes` were heard within the last `SILENCE` seconds."""
        ages = {node: self.age(node, now) for node in nodes}
        return frozenset(node for node, age in ages.items() if age is not None and age < SILENCE)
