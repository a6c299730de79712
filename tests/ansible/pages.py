# SPDX-License-Identifier: MIT
"""The code blocks of the documentation, for tests that run what a page says."""

from __future__ import annotations

import re

from tests.ansible.fleet import PROJECT


def block(page: str, name: str) -> str:
    """Return the code block of a page that has this name after its language."""
    found = re.search(rf"^```\w+ {name}\n(.*?)^```$", (PROJECT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found, (page, name)
    return found[1]


def commands(page: str, name: str) -> list[str]:
    """Return the commands of a block, without their prompt."""
    return re.split(r"^\$ ", block(page, name), flags=re.MULTILINE)[1:]
