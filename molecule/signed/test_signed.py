# SPDX-License-Identifier: MIT
"""What the fleet key did not sign is refused, what it signed earlier too, and nothing that is good is lost by it."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from blixard.documents.peers_file import format_peers, read_peers
from blixard.trust.keys import SecretKey, read_secret_key
from blixard.trust.peers_signature import sign_peers

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node

DATA_DIR = "/var/lib/blixard"
CLI = "/opt/blixard/venv/bin/blixard"
PEERS = f"{DATA_DIR}/discovery-peers.json"
NOT_SIGNED = "does not fit the file"
TOO_OLD = "is older than what was seen before"


@pytest.fixture(scope="module")
def key(fleet: Fleet) -> SecretKey:
    return read_secret_key(fleet.work / "fleet-key")


@pytest.fixture(scope="module")
def one_less(fleet: Fleet) -> bytes:
    """The peers file as it would be without node 3."""
    return format_peers(peer for peer in read_peers(fleet.peers_file) if peer.node_id != 3)


def put(node: Node, path: str, data: bytes) -> None:
    node.run(f"echo {b64encode(data).decode()} | base64 --decode >{path}")


def refusal(node: Node) -> str | None:
    """Return why the node does not take its peers file."""
    errors: list[str | None] = [
        source["error"] for source in node.status()["sources"] if source["name"].startswith("static:")
    ]
    return errors[0]


def settles_refused(fleet: Fleet, node: Node, reason: str) -> None:
    fleet.settles(lambda: reason in (refusal(node) or ""))


def connections(node: Node) -> tuple[set[int], str]:
    """Return to whom the node is connected, and how often it lost a connection."""
    connected = {peer["node_id"] for peer in node.status()["peers"] if peer["state"] == "connected"}
    return connected, node.run("journalctl --no-pager --output=cat --unit blixard | grep -c msg=disconnected || true")


def test_every_host_has_the_signature_with_the_file_and_finds_it_good(node: Node, fleet: Fleet, key: SecretKey) -> None:
    node.run(f"{CLI} peers verify {PEERS} --signer {key.public().hex} --cluster blixard")
    assert node.host.file(f"{PEERS}.sig").content == (fleet.work / "discovery-peers.json.sig").read_bytes()
    assert refusal(node) is None


def test_the_fleet_key_is_on_no_host(node: Node, fleet: Fleet) -> None:
    secret = (fleet.work / "fleet-key").read_text().strip()
    assert node.run(f"grep -rlsF {secret} /etc /opt/blixard /root /run /tmp /var || true") == ""


def test_a_tampered_file_is_refused_while_peers_and_connections_stay(fleet: Fleet, one_less: bytes) -> None:
    node = fleet.nodes["node1"]
    before = connections(node)
    assert before[0] == {2, 3}

    put(node, PEERS, one_less)

    settles_refused(fleet, node, NOT_SIGNED)
    assert connections(node) == before
    assert NOT_SIGNED in node.run(f"{CLI} status --data-dir {DATA_DIR}")


def test_the_check_names_the_node_and_its_reason(fleet: Fleet) -> None:
    check = fleet.playbook("check.yml")
    assert check.returncode != 0
    said = " ".join(check.output.split())
    assert "node1 (node 1) does not take its peers file: " in said
    assert NOT_SIGNED in said


def test_what_was_signed_earlier_is_refused_after_a_restart_too(fleet: Fleet, key: SecretKey, one_less: bytes) -> None:
    node = fleet.nodes["node1"]
    before = connections(node)
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)

    put(node, f"{PEERS}.sig", sign_peers(one_less, key, cluster="blixard", previous_seq=None, now=yesterday))

    settles_refused(fleet, node, TOO_OLD)
    assert connections(node) == before
    node.run("systemctl restart blixard")
    settles_refused(fleet, node, TOO_OLD)
    fleet.settles(lambda: node.states({2, 3}), {2: "connected", 3: "connected"})
    (memory_of,) = {source["memory_of"] for source in node.status()["sources"] if source["name"].startswith("static:")}
    assert memory_of, "node 3, which the refused file lacks, is from memory"


def test_the_next_run_puts_it_right(fleet: Fleet) -> None:
    run = fleet.playbook("site.yml")

    assert run.returncode == 0
    assert run.hosts("changed") == {"node1"}
    assert refusal(fleet.nodes["node1"]) is None
    fleet.settles_connected()
