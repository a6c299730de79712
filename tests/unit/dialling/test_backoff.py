# SPDX-License-Identifier: MIT
"""How long to wait before the next dial."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.dialling import backoff


class _Draws(Random):
    """Always draws the same share of the range."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._share


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (9, 60.0), (10**9, 60.0)]
)
def test_the_ceiling_doubles_up_to_a_minute(failures: int, ceiling: float) -> None:
    assert backoff.delay(failures, _Draws(1.0)) == ceiling


def test_even_the_luckiest_draw_waits_a_quarter_second() -> None:
    assert backoff.delay(5, _Draws(0.0)) == 0.25


def test_without_a_failure_there_is_no_wait() -> None:
    assert backoff.delay(0, _Draws(1.0)) == 0.0


@given(failures=st.integers(1, 10**6), seed=st.integers())
def test_every_wait_is_within_its_bounds(failures: int, seed: int) -> None:
    assert backoff.SHORTEST <= backoff.delay(failures, Random(seed)) <= backoff.ceiling(failures) <= backoff.LONGEST


@pytest.mark.parametrize(("peers", "window"), [(0, 0.0), (2, 0.1), (20, 1.0), (100, 5.0), (10_000, 5.0)])
def test_the_wait_after_a_loss_is_spread_over_the_mesh_size(peers: int, window: float) -> None:
    assert backoff.after_loss(peers, _Draws(1.0)) == pytest.approx(window)
    assert backoff.after_loss(peers, _Draws(0.0)) == 0.0


@pytest.mark.parametrize(("lived", "proven"), [(0.0, False), (29.9, False), (30.0, True)])
def test_a_connection_proves_itself_by_living_half_a_minute(lived: float, *, proven: bool) -> None:
    assert backoff.is_proven(lived) is proven
