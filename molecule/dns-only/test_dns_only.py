# SPDX-License-Identifier: MIT
"""A fleet that is found by DNS alone: its nodes have no peers file, and the zone has what the record says."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node

DATA_DIR = "/var/lib/blixard"
PYTHON = "/opt/blixard/venv/bin/python"
KNOT = """
server:
    listen: 10.98.0.53@53
zone:
  - domain: fleet.test
    storage: /etc/knot
    file: fleet.test.zone
    zonefile-load: whole
    journal-content: none
"""
ZONE = """
$ORIGIN fleet.test.
$TTL 5
@ SOA ns admin 1 3600 600 86400 5
@ NS ns
ns A 10.98.0.53
$INCLUDE /etc/knot/fleet.inc fleet.test.
"""


def put(node: Node, path: str, text: str) -> None:
    node.run(f"echo {b64encode(text.encode()).decode()} | base64 --decode >{path}")


@pytest.fixture(scope="module")
def zone(fleet: Fleet) -> None:
    """The published records, served by the name server."""
    server = fleet.beside("nameserver")
    put(server, "/etc/knot/knot.conf", KNOT)
    put(server, "/etc/knot/fleet.test.zone", ZONE)
    put(server, "/etc/knot/fleet.inc", (fleet.work / "fleet.zone").read_text())
    server.run("chmod -R a+rX /etc/knot && systemctl restart knot")


def test_the_role_has_installed_what_the_source_needs(node: Node) -> None:
    assert node.run(f"{PYTHON} -c 'import dns.version; print(dns.version.MAJOR)'") == "2"


def test_the_published_zone_has_every_node(fleet: Fleet) -> None:
    text = (fleet.work / "fleet.zone").read_text()
    assert [f'"node={node.node_id} ' in text for node in fleet.up] == [True, True, True]


@pytest.mark.usefixtures("zone")
def test_nodes_without_a_peers_file_find_each_other_by_dns(fleet: Fleet) -> None:
    fleet.lose_peers_files()

    for found in fleet.are_found_by("dns://10.98.0.53/fleet.test"):
        assert (found["state"], found["peers"], found["ttl_s"]) == ("found", 3, 60)


@pytest.mark.usefixtures("zone")
def test_a_name_server_that_is_gone_takes_nobody_away(fleet: Fleet) -> None:
    fleet.beside("nameserver").run("systemctl stop knot")
    node = fleet.nodes["node1"]
    node.json(f"discover --data-dir {DATA_DIR} --json")
    fleet.settles(lambda: node.states({2, 3}), {2: "connected", 3: "connected"})


def test_the_next_run_gives_them_their_peers_file_again(fleet: Fleet) -> None:
    assert fleet.playbook("site.yml").returncode == 0
    fleet.settles_connected()
