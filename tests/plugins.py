# SPDX-License-Identifier: MIT
"""The collection as Ansible finds it, for tests that load its plugins into their own process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@cache
def find_collection() -> None:
    """Let Python import `ansible_collections.blixard.fleet`, and Ansible resolve its full names."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([str(PROJECT / "collections")])
