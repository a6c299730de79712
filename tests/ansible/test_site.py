# SPDX-License-Identifier: MIT
"""A fleet of three real nodes, rolled out by site.yml and then lived with, one test after the other."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.fleet import Fleet, Run
from tests.ports import free_ports

from blixard.documents.peers_file import format_peers, read_peers
from blixard.documents.record import read_record
from blixard.documents.schemas import validate_text
from blixard.trust.attestation import verify_attestation

HOSTS = {"node1", "node2", "node3"}
EVERY_EDGE = {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts on which nothing is rolled out yet."""
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 3)
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def would(bare: Fleet) -> tuple[Run, dict[str, bytes | None]]:
    """A check run on hosts that have nothing, and what it left."""
    run = bare.play("site", "--check", "--diff")
    return run, bare.files()


@pytest.fixture(scope="module")
def first(bare: Fleet, would: tuple[Run, dict[str, bytes | None]]) -> Run:
    """The first rollout, as talkative as it can be."""
    return bare.play("site", "--diff", "-vvv")


@pytest.fixture
def fleet(bare: Fleet, first: Run) -> Fleet:
    """The fleet after its first rollout, whole again whatever the test before has done to it."""
    assert first.code == 0, first.output
    return bare


def _edges(fleet: Fleet, *, reached: bool) -> set[tuple[int, int]]:
    return {(edge["from"], edge["to"]) for edge in fleet.report()["edges"] if edge["reached"] is reached}


def test_check_mode_on_hosts_that_have_nothing_is_green_and_writes_nothing(
    would: tuple[Run, dict[str, bytes | None]],
) -> None:
    run, left = would

    assert run.code == 0, run.output
    assert all(run.changed[host] > 0 for host in HOSTS)
    assert "iroh_node_id: a new one" in run.output
    assert left == {}


def test_the_first_rollout_makes_a_mesh_in_which_everyone_reaches_everyone(fleet: Fleet, first: Run) -> None:
    validate_text("connectivity-report", (fleet.root / "report.json").read_bytes())
    assert _edges(fleet, reached=True) == EVERY_EDGE
    assert all(edge["id_matched"] and edge["admitted"] for edge in fleet.report()["edges"])
    assert [node["agent"] for node in fleet.report()["nodes"]] == ["running"] * 3
    assert re.search(r"node1 +node2 +yes +direct", first.output)
    assert "6 of 6 edges reached between 3 nodes of test" in first.output
    assert "changed: peers +3 −0 ~0, 3 nodes started anew" in first.output
    assert re.search(r"started anew: (node\d(, )?){3}", first.output)


def test_the_peers_file_is_shown_by_the_names_of_hosts_and_not_as_json(first: Run) -> None:
    assert "+ node2 (node 2) " in first.output
    assert re.search(r"node1/discovery-peers\.json: \+3 −0 ~0 peers", first.output)
    assert not re.search(r'^\+ {4}"node_id": ', first.output, re.MULTILINE)  # as the peers file has it


def test_the_record_holds_what_each_node_signed_and_the_peers_file_follows_from_it(fleet: Fleet) -> None:
    record = read_record(fleet.registry)
    peers = read_peers(fleet.peers_file)

    assert set(record) == HOSTS
    for entry in record.values():
        verify_attestation(entry, cluster="test")
    assert [peer.content() for peer in peers] == [record[f"node{number}"].content() for number in (1, 2, 3)]
    assert fleet.peers_file.read_bytes() == format_peers(peers)
    for host in HOSTS:
        assert (fleet.root / host / "discovery-peers.json").read_bytes() == fleet.peers_file.read_bytes()
        # The node took over the signature that was made before it ran.
        assert (fleet.root / host / "node-registry.json").read_bytes() == (fleet.registry / f"{host}.json").read_bytes()


def test_the_secret_keys_are_in_no_output_and_in_no_other_file(fleet: Fleet, first: Run) -> None:
    for host in HOSTS:
        path = fleet.root / host / "iroh-secret-key"
        key = bytes.fromhex(path.read_text())
        shown = {key.hex(), key.hex().upper(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()}
        shown |= {base64.b32encode(key).decode().rstrip("="), repr(key), str(list(key))}

        assert path.stat().st_mode & 0o777 == 0o600
        assert not [form for form in shown if form.rstrip("=") in first.output]
        for name, content in fleet.files().items():
            if content is not None and not name.endswith("iroh-secret-key"):
                assert key not in content
                assert key.hex().encode() not in content


def test_a_second_run_changes_nothing_and_looks_at_each_host_twice(fleet: Fleet) -> None:
    before = fleet.files()

    run = fleet.play("site", "-vvv")

    assert run.code == 0, run.output
    assert run.changed == dict.fromkeys(HOSTS, 0)
    after = fleet.files()
    logs = {f"{host}/agent.log" for host in HOSTS}
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {"report.json", *logs}
    # One look and one check of each host, and no module at all.
    on_hosts = re.findall(r"<(node\d)> EXEC .* -m blixard\.fleet\.host (look|check) ", run.output)
    assert sorted(on_hosts) == [(host, what) for host in sorted(HOSTS) for what in ("check", "look")]
    modules = {Path(path).stem for path in re.findall(r"Using module file (\S+)", run.output)}
    assert modules == set()


def test_check_mode_on_a_converged_fleet_foresees_nothing(fleet: Fleet) -> None:
    run = fleet.play("site", "--check", "--diff")

    assert (run.code, run.changed) == (0, dict.fromkeys(HOSTS, 0)), run.output


def test_a_killed_node_fails_the_check_which_names_it_and_exactly_the_edges_to_it(fleet: Fleet) -> None:
    fleet.kill("node2")

    page = fleet.root / "mesh.html"
    run = fleet.play("check", "-e", "blixard_check_timeout=3", "-e", f"blixard_report_html={page}")

    assert run.code != 0
    assert _edges(fleet, reached=False) == {(1, 2), (3, 2)}
    # The page knows the report before this one, in which that node was up.
    assert "</span> node2 is down.</h1>" in page.read_text()
    assert re.search(r'id="changes".*node2.*went down', page.read_text(), re.DOTALL)
    message = run.words[run.words.index("fatal: ") :]
    assert "node2 (node 2): its node is not running" in message
    for origin in ("node1", "node3"):
        assert re.search(rf"{origin} → node2: timeout: [^→]*; [1-9]\d* attempts? in [0-9.]+ s", message)
    assert message.count(" → ") == 2
    validate_text("connectivity-report", (fleet.root / "report.json").read_bytes())

    healed = fleet.play("site")
    assert healed.code == 0, healed.output
    assert healed.changed == {"node1": 0, "node2": 1, "node3": 0}
    assert _edges(fleet, reached=True) == EVERY_EDGE


def test_a_run_limited_to_one_host_keeps_the_others_entries_to_the_byte(fleet: Fleet) -> None:
    before = {path.name: path.read_bytes() for path in fleet.registry.iterdir()}
    pids = {host: fleet.pid(host) for host in HOSTS}
    fleet.hosts["node3"]["blixard_bind"] = f"127.0.0.1:{free_ports(1)[0]}"

    foreseen = fleet.play("site", "--limit", "node3", "--check", "--diff")
    assert foreseen.code == 0, foreseen.output
    assert "+0 −0 ~1 peers" in foreseen.output
    assert {path.name: path.read_bytes() for path in fleet.registry.iterdir()} == before

    run = fleet.play("site", "--limit", "node3", "--diff")
    assert run.code == 0, run.output
    assert "+0 −0 ~1 peers" in run.output
    assert re.search(r"~ node3 \(node 3\) addresses −127\.0\.0\.1:\d+ \+127\.0\.0\.1:\d+", run.output)
    after = {path.name: path.read_bytes() for path in fleet.registry.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"node3.json"}
    assert fleet.pid("node3") != pids["node3"]

    # The others hear of it in the next run of all, and nobody is restarted for that.
    whole = fleet.play("site")
    assert whole.code == 0, whole.output
    assert whole.changed == {"node1": 1, "node2": 1, "node3": 0}
    assert {host: fleet.pid(host) for host in ("node1", "node2")} == {host: pids[host] for host in ("node1", "node2")}


def test_the_peers_file_is_made_again_on_the_controller_alone_and_drift_fails_the_gate(fleet: Fleet) -> None:
    written = fleet.peers_file.read_bytes()

    assert fleet.play("peers", "--check", "--diff").code == 0
    fleet.peers_file.write_bytes(format_peers(read_peers(fleet.peers_file)[1:]))
    drift = fleet.play("peers", "--check", "--diff")
    assert drift.code != 0
    assert "+1 −0 ~0 peers" in drift.output
    assert "+ node1 (node 1)" in drift.output
    assert "run playbooks/peers.yml" in drift.output
    assert fleet.peers_file.read_bytes() != written

    again = fleet.play("peers", "-vvv")
    assert again.code == 0, again.output
    assert fleet.peers_file.read_bytes() == written
    assert not re.findall(r"<node\d> EXEC", again.output)


def test_a_cloned_identity_is_refused_by_name_and_nothing_is_written(fleet: Fleet) -> None:
    original, clone = (fleet.root / host / "iroh-secret-key" for host in ("node1", "node9"))
    before = {path.name: path.read_bytes() for path in fleet.registry.iterdir()}
    fleet.hosts["node9"] = {"blixard_node_id": 9, "blixard_bind": f"127.0.0.1:{free_ports(1)[0]}"}
    clone.parent.mkdir(mode=0o700)
    clone.write_bytes(original.read_bytes())
    clone.chmod(0o600)
    try:
        run = fleet.play("site")
    finally:
        del fleet.hosts["node9"]
        clone.unlink()

    assert run.code != 0
    assert "refused, nothing was written:" in run.output
    assert re.search(
        r"node1 and node9 have the same Iroh id [0-9a-f]{10}: a cloned machine needs a new key", run.output
    )
    assert {path.name: path.read_bytes() for path in fleet.registry.iterdir()} == before
    assert not (clone.parent / "agent.log").exists()


def test_changed_settings_restart_that_node_alone_and_say_why(fleet: Fleet) -> None:
    pids = {host: fleet.pid(host) for host in HOSTS}
    fleet.hosts["node1"]["blixard_log_level"] = "debug"

    run = fleet.play("site")

    assert run.code == 0, run.output
    assert run.changed["node2"] == run.changed["node3"] == 0
    assert "node1: node-config.json is not as wanted; the node runs with other settings" in run.words
    assert {host for host in HOSTS if fleet.pid(host) != pids[host]} == {"node1"}
    assert json.loads((fleet.root / "node1" / "node-config.json").read_bytes())["log_level"] == "debug"


def test_a_restart_that_an_interrupted_run_left_undone_is_made_by_the_next_run(fleet: Fleet) -> None:
    pid = fleet.pid("node2")
    fleet.hosts["node2"]["blixard_log_level"] = "warning"
    # As if the run had ended between the two tasks: the settings are there, the node still has the old ones.
    config = fleet.root / "node2" / "node-config.json"
    config.write_text(config.read_text().replace('"log_level": "info"', '"log_level": "warning"'))

    run = fleet.play("site")

    assert run.code == 0, run.output
    assert "the node runs with other settings" in run.words
    assert fleet.pid("node2") != pid
    assert fleet.play("site").changed == dict.fromkeys(HOSTS, 0)
