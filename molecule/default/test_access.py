# SPDX-License-Identifier: MIT
"""The hosts are as they are meant to be for the controller: without these, the other tests would prove less."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node


def test_nobody_logs_in_as_root_or_becomes_root_without_the_password(node: Node) -> None:
    assert not node.host.file("/root/.ssh/authorized_keys").exists
    refused = node.host.run("runuser --user admin -- sudo --non-interactive true")
    assert refused.rc != 0
    assert "a password is required" in refused.stderr or "must have a tty" in refused.stderr


def test_root_keeps_what_it_makes_to_itself_and_nothing_in_tmp_can_be_executed(fleet: Fleet) -> None:
    host = fleet.nodes["node1"]
    become = "runuser --user admin -- sudo --stdin --prompt= sh -c umask"
    assert host.run(f"echo 'the word of admin' | {become}").splitlines()[-1] == "0077"
    assert "noexec" in host.run("findmnt --noheadings --output OPTIONS /tmp")


def test_the_nodes_account_can_read_all_of_the_package_all_the_same(node: Node) -> None:
    closed = r"find /opt/blixard \( ! -type l -a ! -perm -o+r \) -o \( -type d -a ! -perm -o+x \)"
    assert node.run(closed) == ""
