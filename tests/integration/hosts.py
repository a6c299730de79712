# SPDX-License-Identifier: MIT
"""Hosts of their own for nodes: network namespaces. Only root can make them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.integration.nodes import Node


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=60)


class Host:
    """A host: a network namespace with a cable, one end of which it has as eth0."""

    def __init__(self, number: int) -> None:
        self.name = f"blixard-{os.getpid()}-{number}"
        ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> None:
        ip("-netns", self.name, *words)

    @property
    def within(self) -> tuple[str, ...]:
        """The start of a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *words: str) -> None:
        subprocess.run([*self.within, *words], check=True, timeout=60)

    def node(self, number: int, room: Path) -> Node:
        return Node(number, room, 7001, within=self.within)

    def remove(self) -> None:
        ip("netns", "delete", self.name)
