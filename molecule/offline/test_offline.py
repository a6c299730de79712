# SPDX-License-Identifier: MIT
"""A fleet without the Internet is a fleet like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Node


def test_there_is_no_way_out(node: Node) -> None:
    assert node.run("ip route show default; cat /etc/resolv.conf") == ""


def test_the_package_came_from_the_controller(node: Node) -> None:
    installed = node.run("/opt/blixard/venv/bin/python -m pip list --format=freeze --disable-pip-version-check")
    assert {"blixard", "iroh", "ifaddr", "rfc8785"} <= {line.split("==")[0] for line in installed.splitlines()}


def test_no_wheels_are_left_on_the_host(node: Node) -> None:
    assert node.run("find /opt/blixard /tmp /root -name '*.whl'") == ""
