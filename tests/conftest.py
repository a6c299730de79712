# SPDX-License-Identifier: MIT
"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No deadline: a loaded machine must not turn a property test into a timing test.
settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("volume", deadline=None, max_examples=5000)
settings.load_profile("default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root where this is not root; a CI that is not root fails, since half of the attacks are such."""
    if os.geteuid() != 0 and item.get_closest_marker("root"):
        if os.environ.get("CI") == "true":
            pytest.fail("needs root, which CI must be", pytrace=False)
        pytest.skip("needs root, to become another account")
