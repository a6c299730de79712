# SPDX-License-Identifier: MIT
"""A fleet that is found by etcd alone: its nodes have no peers file, and hear of changes as they are published."""

from __future__ import annotations

import io
import tarfile
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node

DATA_DIR = "/var/lib/blixard"
CLI = "/opt/blixard/venv/bin/blixard"
PLACE = "etcd://10.98.0.79:2379/fleet"


def put(node: Node, path: str, data: bytes) -> None:
    node.run(f"echo {b64encode(data).decode()} | base64 --decode >{path}")


def publish(fleet: Fleet) -> str:
    """Publish what the controller has, from beside etcd: the hosts' network has no way in."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        packed.add(fleet.registry, "registry")
        packed.add(fleet.peers_file, "discovery-peers.json")
    store = fleet.beside("store")
    store.run("rm -rf /srv/fleet && mkdir /srv/fleet")
    put(store, "/srv/fleet.tgz", archive.getvalue())
    store.run("tar -xzf /srv/fleet.tgz -C /srv/fleet")
    files = "--registry-dir /srv/fleet/registry --peers /srv/fleet/discovery-peers.json"
    return store.run(f"{CLI} publish {files} {PLACE}")


@pytest.fixture(scope="module")
def published(fleet: Fleet) -> None:
    """The record in etcd."""
    assert f"{PLACE}: published" in publish(fleet)


@pytest.mark.usefixtures("published")
def test_nodes_without_a_peers_file_find_each_other_by_etcd(fleet: Fleet) -> None:
    fleet.lose_peers_files()

    for found in fleet.are_found_by(f"registry:{PLACE}"):
        assert (found["state"], found["peers"]) == ("found", 3)


@pytest.mark.usefixtures("published")
def test_an_etcd_that_is_gone_takes_nobody_away_not_even_over_a_restart(fleet: Fleet) -> None:
    fleet.beside("store").run("systemctl stop etcd")
    node = fleet.nodes["node1"]
    node.run("systemctl restart blixard")
    fleet.settles(lambda: node.states({2, 3}), {2: "connected", 3: "connected"})
    (memory_of,) = {each["memory_of"] for each in node.status()["sources"] if each["name"].startswith("registry:")}
    assert memory_of, "the peers file that etcd had is from memory"
    fleet.beside("store").run("systemctl start etcd")
    fleet.settles(lambda: next(each["state"] for each in node.status()["sources"]), "found")


def test_the_next_run_gives_them_their_peers_file_again(fleet: Fleet) -> None:
    assert fleet.playbook("site.yml").returncode == 0
    fleet.settles_connected()
