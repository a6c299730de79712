# SPDX-License-Identifier: MIT
"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a loaded machine must not turn a property test into a timing test.
settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("volume", deadline=None, max_examples=5000)
settings.load_profile("default")
