# SPDX-License-Identifier: MIT
"""A fleet whose membership is signed: what its nodes take, whom they refuse, and how a node leaves it for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.ansible.fleet import BIN, UNREACHABLE, Fleet, Run
from tests.ports import free_ports

from blixard.agent.control_client import ask
from blixard.documents.entry_states import state_of
from blixard.documents.peers_file import format_peers, read_peers
from blixard.documents.record import read_record
from blixard.model.ids import EndpointId
from blixard.trust.keys import SecretKey, create_secret_key
from blixard.trust.peers_signature import parse_sig, verify_peers

STAYING = ("node1", "node2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the fleet keys."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, SecretKey]:
    """Two fleet keys in files of their own, `old` and `new`."""
    return {name: create_secret_key(folder / name) for name in ("old", "new")}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, SecretKey], folder: Path) -> Iterator[Fleet]:
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 4)
    fleet.group |= {
        "blixard_fleet_key_file": str(folder / "old"),
        "blixard_trusted_signers": [keys["old"].public().hex],
        # Otherwise the peers of a node bring a damaged or older file back before it is seen that the node refuses it.
        "blixard_gossip": False,
    }
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def first(bare: Fleet) -> tuple[Run, Run]:
    """A check run on hosts that have nothing, then the first rollout."""
    return bare.play("site", "--check", "--diff"), bare.play("site")


@pytest.fixture
def fleet(bare: Fleet, first: tuple[Run, Run]) -> Fleet:
    would, did = first
    assert would.code == 0, would.output
    assert did.code == 0, did.output
    return bare


def _signature(fleet: Fleet) -> bytes:
    return fleet.peers_file.with_name("discovery-peers.json.sig").read_bytes()


def _status(fleet: Fleet, host: str) -> dict[str, Any]:
    """What a node says of itself, after it has looked at its files."""
    ask(fleet.root / host, "refresh")
    return dict(ask(fleet.root / host, "status"))


def _peers_file_error(fleet: Fleet, host: str) -> str:
    found = [source for source in _status(fleet, host)["sources"] if source["name"].startswith("static:")]
    return str(found[0].get("error") or "")


def _connected(fleet: Fleet, host: str) -> set[int]:
    return {peer["node_id"] for peer in ask(fleet.root / host, "status")["peers"] if peer["state"] == "connected"}


def test_every_host_has_the_signature_with_the_file_and_a_second_run_keeps_both(
    fleet: Fleet, keys: dict[str, SecretKey]
) -> None:
    data, sig = fleet.peers_file.read_bytes(), _signature(fleet)
    assert verify_peers(data, sig, signers=[keys["old"].public()], cluster="test", min_seq=1)
    for host in fleet.hosts:
        assert (fleet.root / host / "discovery-peers.json").read_bytes() == data
        assert (fleet.root / host / "discovery-peers.json.sig").read_bytes() == sig
        assert _peers_file_error(fleet, host) == ""

    again = fleet.play("site")

    assert (again.code, again.changed) == (0, dict.fromkeys(fleet.hosts, 0)), again.output
    assert _signature(fleet) == sig
    assert fleet.play("peers", "--check", "--diff").code == 0


def test_a_number_of_a_wrong_clock_whose_signature_was_lost_is_overtaken_by_the_next_run(
    fleet: Fleet, folder: Path
) -> None:
    ahead = int(datetime.now(timezone.utc).timestamp()) + 12 * 3600
    command: list[str | Path] = [
        "peers",
        "sign",
        fleet.peers_file,
        "--key",
        folder / "old",
        "--cluster",
        "test",
        "--seq",
        str(ahead),
    ]
    subprocess.run([BIN / "blixard", *command], check=True)
    assert fleet.play("site").code == 0
    fleet.peers_file.with_name("discovery-peers.json.sig").unlink()
    (fleet.registry / "MANIFEST").unlink()

    alone = fleet.play("site", "--limit", "node1")
    assert alone.code != 0
    assert (
        f"node1 saw {ahead} of the fleet key, so no lower one counts; too few hosts say so to go by it" in alone.words
    )
    assert f"run this with -e blixard_signature_seq={ahead + 1}, or leave those out" in alone.words
    assert _peers_file_error(fleet, "node1") == ""
    run = fleet.play("site")

    assert run.code == 0, run.output
    assert parse_sig(_signature(fleet))[1] == ahead + 1
    assert {_peers_file_error(fleet, host) for host in fleet.hosts} == {""}


def test_a_host_that_refuses_its_peers_file_is_named_with_the_reason_and_keeps_its_peers(fleet: Fleet) -> None:
    path = fleet.root / "node2" / "discovery-peers.json"
    path.write_bytes(format_peers(read_peers(path)[:-1]))

    assert "does not fit the file" in _peers_file_error(fleet, "node2")
    assert {peer.node_id for peer in read_peers(fleet.peers_file)} == {1, 2, 3, 4}
    assert _connected(fleet, "node2") == {1, 3, 4}
    run = fleet.play("check")
    assert run.code != 0
    assert "node2 (node 2) does not take its peers file: " in run.words
    assert "does not fit the file" in run.words

    healed = fleet.play("site")
    assert (healed.code, healed.changed["node2"]) == (0, 1), healed.output
    assert _peers_file_error(fleet, "node2") == ""


def test_without_the_key_a_changed_file_goes_to_nobody(fleet: Fleet) -> None:
    before = {host: (fleet.root / host / "discovery-peers.json").read_bytes() for host in fleet.hosts}
    sig = _signature(fleet)
    run = fleet.play("site", "-e", "blixard_fleet_key_file=")
    assert run.code == 0, "an unchanged file needs no key"

    fleet.hosts["node4"]["blixard_bind"] = f"127.0.0.1:{free_ports(1)[0]}"
    run = fleet.play("site", "-e", "blixard_fleet_key_file=")

    assert run.code != 0
    assert "does not fit the file; set blixard_fleet_key or blixard_fleet_key_file" in run.words
    assert {host: (fleet.root / host / "discovery-peers.json").read_bytes() for host in fleet.hosts} == before
    assert _signature(fleet) == sig

    signed = fleet.play("site")
    assert signed.code == 0, signed.output
    assert {(fleet.root / host / "discovery-peers.json").read_bytes() for host in fleet.hosts} != set(before.values())


def test_the_key_changes_while_both_are_trusted(fleet: Fleet, keys: dict[str, SecretKey], folder: Path) -> None:
    fleet.group["blixard_fleet_key_file"] = str(folder / "new")
    early = fleet.play("site")
    assert early.code != 0
    assert f"the fleet key's id {keys['new'].public().base64} is not one of blixard_trusted_signers" in early.words

    fleet.group |= {
        "blixard_fleet_key_file": str(folder / "old"),
        "blixard_trusted_signers": [keys[name].public().hex for name in ("old", "new")],
    }
    assert fleet.play("site").code == 0
    before = parse_sig(_signature(fleet))[1]
    fleet.group["blixard_fleet_key_file"] = str(folder / "new")
    run = fleet.play("site")

    assert run.code == 0, run.output
    _, seq, signer, _ = parse_sig(_signature(fleet))
    assert (signer, seq > before) == (keys["new"].public(), True)
    assert {_peers_file_error(fleet, host) for host in fleet.hosts} == {""}


def test_an_older_file_with_its_good_signature_is_refused_also_after_a_restart(fleet: Fleet) -> None:
    data_dir = fleet.root / "node2"
    older = {path: path.read_bytes() for path in data_dir.glob("discovery-peers.json*")}
    fleet.hosts["node3"]["blixard_bind"] = f"127.0.0.1:{free_ports(1)[0]}"
    assert fleet.play("site").code == 0
    newer = {path: path.read_bytes() for path in older}
    assert {path.name for path in older if older[path] != newer[path]} == {
        "discovery-peers.json",
        "discovery-peers.json.sig",
    }
    for path, data in older.items():
        path.write_bytes(data)

    assert "is older than what was seen before" in _peers_file_error(fleet, "node2")
    fleet.kill("node2")
    start: list[str | Path] = [BIN / "blixard", "node", "--config", data_dir / "node-config.json", "--detach"]
    subprocess.run(start, check=True, capture_output=True)
    assert "is older than what was seen before" in _peers_file_error(fleet, "node2")

    assert fleet.play("site").code == 0
    assert _peers_file_error(fleet, "node2") == ""


def test_two_hosts_are_not_removed_where_the_guard_allows_one(fleet: Fleet) -> None:
    before = fleet.files()
    for host in ("node3", "node4"):
        fleet.hosts[host]["blixard_state"] = "absent"

    run = fleet.play("site", "-e", "blixard_max_removals=1")

    for host in ("node3", "node4"):
        del fleet.hosts[host]["blixard_state"]
    assert run.code != 0
    assert "2 hosts would be removed (node3, node4), at most 1 may be at once" in run.words
    after = fleet.files()
    logs = {f"{host}/agent.log" for host in fleet.hosts}
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {"report.json", *logs}


def test_a_decommission_is_foreseen_in_check_mode_and_needs_a_name_that_is_known(fleet: Fleet) -> None:
    before = {name: data for name, data in fleet.files().items() if not name.endswith("agent.log")}

    would = fleet.play("decommission", "-e", "blixard_decommission=node4", "--check", "--diff")
    assert would.code == 0, would.output
    assert "+0 −1 ~0 peers" in would.output
    assert would.changed["node4"] > 0
    unknown = fleet.play("decommission", "-e", "blixard_decommission=node9")
    assert unknown.code != 0
    assert "blixard_decommission: no such host: node9" in unknown.words
    nobody = fleet.play("decommission")
    assert nobody.code != 0
    assert "-e blixard_decommission=node3" in nobody.words

    assert {name: data for name, data in fleet.files().items() if not name.endswith("agent.log")} == before


def test_a_decommissioned_node_is_dropped_by_all_at_once_and_nothing_of_it_is_left(fleet: Fleet) -> None:
    gone = read_record(fleet.registry)["node4"]
    node4 = fleet.pid("node4")
    # Its process stays while the others drop it, as that of somebody would who does not want to go.
    os.kill(node4, signal.SIGSTOP)
    fleet.hosts["node4"] |= UNREACHABLE
    try:
        run = fleet.play("decommission", "-e", "blixard_decommission=node4")
        assert run.code == 0, run.output
        assert "node4 cannot be reached: it has left all the same, and its key is still on it" in run.words
    finally:
        os.kill(node4, signal.SIGCONT)
    for host in ("node1", "node2", "node3"):
        status = ask(fleet.root / host, "status")
        assert gone.iroh_node_id not in {peer["iroh_node_id"] for peer in status["peers"]}
    assert state_of(read_record(fleet.registry)["node4"]) == "absent"
    told = ask(fleet.root / "node4", "check", {"timeout_s": 2.0, "sample": None}, timeout=30)
    assert [edge["reached"] and edge["admitted"] for edge in told["edges"]] == [False] * 3

    for name in UNREACHABLE:
        del fleet.hosts["node4"][name]
    fleet.hosts["node4"]["ansible_connection"] = "local"
    again = fleet.play("decommission", "-e", "blixard_decommission=node4")
    assert again.code == 0, again.output
    assert not {path.name for path in (fleet.root / "node4").iterdir()}
    assert not Path(f"/proc/{node4}").exists()
    assert again.changed["node1"] == 0
    del fleet.hosts["node4"]


def test_who_could_not_be_told_of_a_departure_is_named_and_told_by_the_next_run(fleet: Fleet) -> None:
    gone = EndpointId.parse(read_record(fleet.registry)["node3"].iroh_node_id)
    fleet.kill("node3")
    fleet.hosts["node3"] |= UNREACHABLE
    fleet.hosts["node2"] |= UNREACHABLE
    run = fleet.play("decommission", "-e", "blixard_decommission=node3")
    assert run.code != 0
    assert "may let it in until playbooks/decommission.yml or site.yml reaches them" in run.words
    assert [peer.node_id for peer in read_peers(fleet.root / "node1" / "discovery-peers.json")] == [1, 2]
    assert [peer["node_id"] for peer in ask(fleet.root / "node1", "status")["peers"]] == [2]

    for name in UNREACHABLE:
        del fleet.hosts["node2"][name]
    assert fleet.play("decommission", "-e", "blixard_decommission=node3").code == 0
    assert gone.base64 not in json.dumps(ask(fleet.root / "node2", "status")["peers"])
    del fleet.hosts["node3"]
    assert set(_connected(fleet, "node1")) == {2}
