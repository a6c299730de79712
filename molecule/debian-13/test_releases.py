# SPDX-License-Identifier: MIT
"""The hosts are what the scenario is about, and each node runs on its own host's Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet

VENV = "/opt/blixard/venv/bin/python"
ASKED = f'. /etc/os-release; echo "$VERSION_CODENAME"; {VENV} -c "import sys; print(*sys.version_info[:2])"'


def test_each_release_of_debian_runs_the_node_on_its_own_python(fleet: Fleet) -> None:
    assert {name: node.run(ASKED).splitlines() for name, node in fleet.nodes.items()} == {
        "node1": ["trixie", "3 13"],
        "node2": ["trixie", "3 13"],
        "node3": ["bookworm", "3 11"],
    }
