# SPDX-License-Identifier: MIT
"""What the attacks share with the integration tests: real nodes and endpoints."""

from __future__ import annotations

from tests.integration.conftest import node, start_party

__all__ = ["node", "start_party"]
