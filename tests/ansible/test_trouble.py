# SPDX-License-Identifier: MIT
"""What goes wrong in a rollout is one clear line at the host that it concerns, and the others go on."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import UNREACHABLE

from blixard.documents.peers_file import read_peers
from blixard.documents.record import read_record
from blixard.trust.keys import create_secret_key

UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "node1": ({"blixard_node_id": None}, "blixard_node_id of node1: is not set; give each host its own number"),
    "node2": ({"blixard_node_id": "two"}, "blixard_node_id of node2: must be an integer, not a string"),
    "node3": ({"blixard_log_level": "loud"}, "blixard_log_level of node3: must be one of debug, info, warning, error"),
    "node4": ({"blixard_bind": "localhost:7001"}, 'blixard_bind of node4: "localhost:7001" is no address to bind'),
    "node5": ({"blixard_advertise_extra": ["203.0.113.7"]}, "blixard_advertise_extra of node5: "),
    "node6": ({"blixard_relay_url": "relay"}, 'blixard_relay_url of node6: "relay" is not a relay URL'),
}


def test_variables_that_cannot_be_used_are_refused_for_all_hosts_at_once_before_one_is_touched(
    new_fleet: NewFleet,
) -> None:
    fleet = new_fleet(len(UNUSABLE))
    for host, (variables, _) in UNUSABLE.items():
        create_secret_key(fleet.root / host / "iroh-secret-key")
        given = {**fleet.hosts[host], **variables}
        fleet.hosts[host] = {name: value for name, value in given.items() if value is not None}
    before = fleet.files()

    run = fleet.play("site")

    assert run.code != 0
    assert "Look at the host" not in run.output
    assert "Traceback" not in run.output
    assert fleet.files() == before
    for _, line in UNUSABLE.values():
        assert line in run.words


@pytest.mark.parametrize("playbook", ["site", "check", "peers", "rotate", "decommission"])
def test_hosts_of_no_inventory_file_need_paths_that_are_not_made_of_its_folder(
    new_fleet: NewFleet, playbook: str
) -> None:
    fleet = new_fleet(1)
    path = ("-e", '{"blixard_report_file": "{{ inventory_dir }}/report.json"}')
    for where, variable in (
        ((), "blixard_fleet_dir"),
        (("-e", f"blixard_fleet_dir={fleet.root}"), "blixard_report_file"),
    ):
        chosen = ("-e", "blixard_hosts=all", "-e", "blixard_decommission=n1", "-e", "ansible_connection=local")
        run = fleet.play(playbook, *chosen, *path, *where, sources=["n1,"])

        assert run.code != 0
        assert f"{variable}=PATH" in run.words
        assert "Destination directory" not in run.output


def test_two_hosts_with_one_node_id_are_refused_together_and_nothing_is_recorded(new_fleet: NewFleet) -> None:
    fleet = new_fleet(2)
    fleet.hosts["node2"]["blixard_node_id"] = 1

    run = fleet.play("site")

    assert run.code != 0
    assert "blixard_node_id of node1, node2 is 1: give each host its own number" in run.words
    assert fleet.files() == {}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("fleet-key", "blixard_fleet_key_file: is a relative path; give the whole path"),
        ("missing", "keys/missing: "),
        ("open", "keys/open: "),
        ("other", "is not one of blixard_trusted_signers"),
    ],
)
def test_a_fleet_key_that_cannot_be_used_stops_a_run_before_it_touches_anything_but_a_run_that_needs_none(
    new_fleet: NewFleet, tmp_path: Path, given: str, line: str
) -> None:
    fleet = new_fleet(1)
    keys = tmp_path / "keys"
    fleet.sign_with(keys / "own")
    for name in ("open", "other"):
        create_secret_key(keys / name)
    (keys / "open").chmod(0o644)
    fleet.group["blixard_fleet_key_file"] = given if given == "fleet-key" else str(keys / given)
    before = fleet.files()

    run = fleet.play("site")

    assert run.code != 0
    assert line in run.words
    assert fleet.files() == before
    assert line not in fleet.play("check").words


def test_hosts_that_cannot_be_rolled_out_are_named_and_the_others_go_on(new_fleet: NewFleet) -> None:
    """One host out of reach, one with a key that others can read, one whose port is taken, two that are well."""
    fleet = new_fleet(5)
    fleet.hosts["node3"] |= UNREACHABLE
    create_secret_key(fleet.root / "node4" / "iroh-secret-key")
    (fleet.root / "node4" / "iroh-secret-key").chmod(0o644)
    bind = fleet.hosts["node5"]["blixard_bind"]
    fleet.hosts["node5"] |= {"own_port": bind.split(":")[1], "blixard_bind": "127.0.0.1:{{ own_port }}"}
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        host, port = bind.split(":")
        other.bind((host, int(port)))
        run = fleet.play("site")

    assert run.code != 0
    assert "Traceback" not in run.output
    assert "fatal: [node3]: UNREACHABLE!" in run.output
    assert f"{fleet.root}/node4/iroh-secret-key: " in run.words
    said = run.words[run.words.index("fatal: [node5]") :]
    assert f"{host}:{port}" in said
    assert "shows who has it) or choose another address with blixard_bind (here made of own_port)" in said
    assert "--bind" not in run.output
    assert set(read_record(fleet.registry)) == {"node1", "node2"}
    reached = {(edge["from"], edge["to"]) for edge in fleet.report()["edges"] if edge["reached"]}
    assert reached == {(1, 2), (2, 1)}
    for name in ("node1", "node2"):
        assert fleet.pid(name)


def test_a_host_out_of_reach_is_in_the_report_of_the_check_which_fails(new_fleet: NewFleet) -> None:
    fleet = new_fleet(2)
    assert fleet.play("site").code == 0
    fleet.hosts["node2"] |= UNREACHABLE

    run = fleet.play("check")

    assert run.code != 0
    assert "node2 (node 2): could not be asked: " in run.words
    nodes = {node["name"]: node for node in fleet.report()["nodes"]}
    assert nodes["node1"]["agent"] == "running"
    assert nodes["node2"]["agent"] == "not asked"
    assert nodes["node2"]["error"]
    # Its node runs all the same, and is reached.
    assert [(edge["from"], edge["to"], edge["reached"]) for edge in fleet.report()["edges"]] == [(1, 2, True)]


def test_a_broken_file_in_the_record_is_named_and_nothing_is_written(new_fleet: NewFleet) -> None:
    fleet = new_fleet(1)
    fleet.registry.mkdir(parents=True)
    (fleet.registry / "other.json").write_bytes(b"[" * 100_000)
    before = fleet.files()

    run = fleet.play("peers")

    assert run.code != 0
    assert f"{fleet.registry}/other.json: " in run.words
    assert "Traceback" not in run.output
    assert fleet.files() == before


def test_a_fleet_that_grows_takes_the_new_node_in_without_restarting_the_others(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)
    third = fleet.hosts.pop("node3")
    assert fleet.play("site").code == 0
    pids = [fleet.pid("node1"), fleet.pid("node2")]
    fleet.hosts["node3"] = third

    grown = fleet.play("site", "--diff")

    assert grown.code == 0, grown.output
    assert "+1 −0 ~0 peers" in grown.output
    assert [fleet.pid("node1"), fleet.pid("node2")] == pids
    assert fleet.report()["summary"]["reached"] == 6


def test_batches_are_checked_one_by_one_and_the_whole_at_the_end(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)

    run = fleet.play("site", "-e", "blixard_serial=1", "-e", "blixard_check_timeout=2")

    assert run.code == 0, run.output
    assert re.findall(r"(\d) of (\d) edges reached", run.output) == [("0", "0"), ("1", "1"), ("2", "2"), ("6", "6")]
    assert fleet.report()["summary"]["reached"] == 6

    # All are to get new settings, and the first one does not start again, as it cannot write its log: the rest stays
    # as it is, without being asked for batches too.
    pids = {host: fleet.pid(host) for host in ("node2", "node3")}
    fleet.group["blixard_log_level"] = "debug"
    log = fleet.root / "node1" / "agent.log"
    log.unlink()
    log.mkdir()
    stopped = fleet.play("site", "-e", "blixard_check_timeout=2")

    assert stopped.code != 0
    assert stopped.failed == {"node1"}
    assert {host: fleet.pid(host) for host in pids} == pids


def test_bootstrap_registries_are_sent_to_the_hosts_that_are_to_join_through_them(
    new_fleet: NewFleet, tmp_path: Path
) -> None:
    fleet = new_fleet(2)
    fleet.group["blixard_join"] = ["node1"]

    assert fleet.play("site").code == 0

    sent = fleet.root / "node2" / "registry.d" / "node1.json"
    assert sent.read_bytes() == (fleet.registry / "node1.json").read_bytes()
    assert not (fleet.root / "node1" / "registry.d").exists()
    assert fleet.play("site").changed == {"node1": 0, "node2": 0}


def test_with_a_member_down_the_rest_is_updated_one_by_one_and_not_at_all_where_voters_are_declared(
    new_fleet: NewFleet,
) -> None:
    fleet = new_fleet(3)
    assert fleet.play("site").code == 0
    pids = {host: fleet.pid(host) for host in ("node1", "node3")}
    fleet.stop_node("node2")
    fleet.hosts["node2"] |= UNREACHABLE
    fleet.group["blixard_log_level"] = "debug"
    before = fleet.settled()

    declared = ("-e", '{"blixard_voters": ["node1", "node2", "node3"]}')
    for arguments in (("--check", "--diff"), ()):
        refused = fleet.play("site", *declared, *arguments)
        assert refused.code != 0
        assert "node1 would be down at once while node2 is down already: 2 of 3 voters" in refused.words
        assert "bring those back first, with --limit node2 if they are only to be started" in refused.words
        assert fleet.settled() == before
    assert {host: fleet.pid(host) for host in pids} == pids

    run = fleet.play("site", "-e", "blixard_check_timeout=2")
    assert run.code != 0
    assert "fatal: [node2]: UNREACHABLE!" in run.output
    assert "the quorum of 3 voters bears 1 of them being away, and node2 is down: node1 will be down" in run.words
    assert all(fleet.pid(host) != pids[host] for host in pids)
    assert [peer.node_id for peer in read_peers(fleet.peers_file)] == [1, 2, 3]
    missing = {(edge["from"], edge["to"]) for edge in fleet.report()["edges"] if not edge["reached"]}
    assert missing == {(1, 2), (3, 2)}
