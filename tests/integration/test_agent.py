# SPDX-License-Identifier: MIT
"""Nodes as their users run them: real processes, real connections, and whatever can go wrong."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.nodes import MakeNode, Node, are_meshed, blixard, eventually, give_peers, killed_afterwards
from tests.ports import free_port

from blixard.agent.control_client import SOCKET_NAME
from blixard.agent.own_entry import key_path
from blixard.documents.peers_file import build_peers, write_peers
from blixard.documents.registry_file import read_registry
from blixard.documents.schemas import validate


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three nodes, started by the seed's own commands."""
    room = tmp_path_factory.mktemp("mesh")
    nodes = [Node(number, room) for number in (1, 2, 3)]
    with killed_afterwards(nodes):
        nodes[0].start()
        nodes[1].start("--join", "data/node1/node-registry.json")
        registries = "data/node1/node-registry.json,data/node2/node-registry.json"
        nodes[2].start(env={"BLIXARD_NODE_REGISTRIES": registries})
        yield nodes


def test_the_seeds_own_commands_form_a_mesh_of_three(mesh: list[Node]) -> None:
    eventually(lambda: are_meshed(mesh))
    for node in mesh:
        status = blixard("status", "--data-dir", node.data_dir, "--json").document
        validate("node-status", status)
        assert status["node_id"] == node.number
        assert [peer["state"] for peer in status["peers"]] == ["connected", "connected"]
        assert {peer["path"] for peer in status["peers"]} == {"direct"}


def test_status_is_a_page_for_people_too(mesh: list[Node]) -> None:
    eventually(lambda: are_meshed(mesh))
    page = blixard("status", "--data-dir", mesh[0].data_dir).out.splitlines()
    assert page[0] == "node 1 of cluster blixard, admission open: 2 connected"
    assert [line.split()[:2] for line in page[2:4]] == [["2", "connected"], ["3", "connected"]]
    assert all(" direct " in line for line in page[2:4])


def test_a_member_checks_every_edge_and_all_are_well(mesh: list[Node]) -> None:
    eventually(lambda: are_meshed(mesh))
    ended = blixard("check", "--data-dir", mesh[0].data_dir, "--json")
    assert ended.code == 0
    validate("connectivity-report", ended.document)
    assert [(edge["from"], edge["to"], edge["admitted"]) for edge in ended.document["edges"]] == [
        (1, 2, True),
        (1, 3, True),
    ]
    assert all(edge["attempts"] == 1 and edge["rtt_ms"] > 0 for edge in ended.document["edges"])


def test_a_stranger_reaches_every_node_and_is_let_in_by_none(mesh: list[Node]) -> None:
    words = [word for node in mesh for word in ("--registry", node.registry)]
    ended = blixard("check", *words, "--json")
    assert ended.code == 0
    validate("connectivity-report", ended.document)
    edges = ended.document["edges"]
    assert [(edge["from"], edge["to"]) for edge in edges] == [(None, 1), (None, 2), (None, 3)]
    assert {(edge["reached"], edge["id_matched"], edge["admitted"]) for edge in edges} == {(True, True, False)}
    assert {edge["error"]["kind"] for edge in edges} == {"refused"}
    assert mesh[0].status()["refused_callers"]["unknown"] >= 1


def test_a_second_node_in_the_same_data_directory_is_refused_and_the_first_goes_on(mesh: list[Node]) -> None:
    ended = blixard("node", "--id", 1, "--bind", "127.0.0.1:0", "--data-dir", mesh[0].data_dir)
    assert ended.code == 2
    where = mesh[0].data_dir
    assert ended.err == f"blixard: {where}: another node runs here; stop it first: blixard stop --data-dir {where}\n"
    assert mesh[0].status()["node_id"] == 1


def test_identity_and_registry_file_survive_a_restart_byte_for_byte(node: MakeNode) -> None:
    one = node(1).start()
    identity, registry = one.status()["iroh_node_id"], one.registry.read_bytes()
    validate("node-registry", json.loads(registry))
    assert one.stop() == 0
    one.start()
    assert one.status()["iroh_node_id"] == identity
    assert one.registry.read_bytes() == registry


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_end_leaves_nothing_behind(node: MakeNode, number: signal.Signals) -> None:
    one, two = node(1).start(), node(2)
    two.start("--join", one.registry)
    eventually(lambda: are_meshed([one, two]))
    two.signal(number)
    assert two.process is not None
    assert two.process.wait(30) == 0
    assert not (two.data_dir / SOCKET_NAME).exists()
    lines = two.log.splitlines()
    assert lines
    assert all(line.startswith("time=") for line in lines)
    assert not [line for line in lines if " level=error " in line or " level=warning " in line]
    eventually(lambda: one.state_of(two) != "connected", within=5)  # it was told, and did not have to find out


def test_a_node_in_the_background_starts_answers_and_stops(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    started = blixard("node", "--id", 1, "--bind", "127.0.0.1:0", "--data-dir", data_dir, "--detach")
    assert started.code == 0
    assert started.out.startswith("node 1 runs as process ")
    assert blixard("status", "--data-dir", data_dir).code == 0
    assert blixard("stop", "--data-dir", data_dir).out == f"node in {data_dir} stopped\n"
    assert blixard("stop", "--data-dir", data_dir).out == f"node in {data_dir} was not running\n"
    gone = blixard("status", "--data-dir", data_dir)
    assert (gone.code, gone.err) == (1, f"blixard: no node runs in {data_dir}: No such file or directory\n")


def fails_to_start(*words: object) -> str:
    """Run a node that cannot start; return its one line."""
    ended = blixard("node", "--id", 1, *words)
    assert ended.code == 2
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    return ended.err


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        line = fails_to_start("--bind", f"127.0.0.1:{port}", "--data-dir", tmp_path)
    assert line.startswith(f"blixard: /bind: cannot bind 127.0.0.1:{port}: ")
    assert "ss -lunp" in line


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = fails_to_start("--bind", "127.0.0.1:0", "--data-dir", tmp_path / "file" / "data")
    assert line.startswith(f"blixard: {tmp_path}/file/data: cannot be made: Not a directory; ")


def spoil_mode(path: Path) -> None:
    path.chmod(0o644)


def shorten(path: Path) -> None:
    path.write_text("ab" * 31)


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * 65)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_mode, "has mode 0644, which lets others use it; chmod 0600 "),
        (shorten, "is not a secret key"),
        (fill_with_garbage, "is not a secret key"),
    ],
)
def test_a_key_that_cannot_be_used_is_one_line_and_is_not_replaced(
    tmp_path: Path, node: MakeNode, spoil: Callable[[Path], None], reason: str
) -> None:
    one = node(1)
    one.make_identity()
    spoil(key_path(one.data_dir))
    before = key_path(one.data_dir).read_bytes()
    line = fails_to_start("--bind", "127.0.0.1:0", "--data-dir", one.data_dir)
    assert line.startswith(f"blixard: {key_path(one.data_dir)}: {reason}")
    assert before.decode(errors="replace").strip() not in line
    assert key_path(one.data_dir).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ('{"node_id": 1,', "is not JSON: it ends in the middle"),
        ('{"node_id": 1, "bind": "127.0.0.1:70001"}', '/bind: "127.0.0.1:70001" is no address to bind; write IP:PORT'),
        ('{"node_id": 1, "bind": "127.0.0.1:0", "colour": "blue"}', "/colour: is not a known field here"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    config = tmp_path / "node-config.json"
    config.write_text(text)
    ended = blixard("node", "--config", config)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"blixard: {config}: {reason}")
    assert len(ended.err.splitlines()) == 1


def test_a_registry_that_cannot_be_written_stops_the_start_and_leaves_no_socket(tmp_path: Path) -> None:
    (tmp_path / "node-registry.json").mkdir()
    line = fails_to_start("--bind", "127.0.0.1:0", "--data-dir", tmp_path)
    assert line.startswith(f"blixard: {tmp_path}/node-registry.json: is a folder, not a file; ")
    assert not (tmp_path / SOCKET_NAME).exists()


def test_a_killed_peer_is_named_by_the_check_noticed_and_taken_back_when_it_returns(node: MakeNode) -> None:
    one, two, three = node(1).start(), node(2), node(3)
    two.start("--join", one.registry)
    three.start("--join", one.registry)
    eventually(lambda: one.state_of(two) == one.state_of(three) == "connected")
    two.kill()
    ended = blixard("check", "--data-dir", one.data_dir, "--timeout", "3", "--json")
    assert ended.code == 1
    validate("connectivity-report", ended.document)
    edges = {edge["to"]: edge for edge in ended.document["edges"]}
    assert edges[3]["reached"]
    assert not edges[2]["reached"]
    assert edges[2]["attempts"] >= 1
    assert 0 < edges[2]["waited_s"] <= 4
    assert edges[2]["error"]["kind"] == "timeout"
    eventually(lambda: one.state_of(two) in ("connecting", "backing_off", "open"))
    eventually(lambda: one.peers()[2]["last_error"])
    two.start("--join", one.registry)
    eventually(lambda: one.state_of(two) == two.state_of(one) == "connected")
    page = blixard("check", "--data-dir", one.data_dir)
    assert page.code == 0
    assert page.out.endswith("2 of 2 peers reached, 0 do not let this node in\n")


def test_a_peers_file_that_comes_later_is_picked_up_and_a_bad_one_over_it_loses_nobody(node: MakeNode) -> None:
    one, two = node(1), node(2)
    entries = [one.make_identity(), two.make_identity()]
    one.start("--admission", "known")
    two.start("--admission", "known")
    assert one.peers() == two.peers() == {}
    give_peers([one, two], entries)
    eventually(lambda: are_meshed([one, two]), within=15)
    one.peers_file.write_text("[{")
    error = eventually(
        lambda: next((each["error"] for each in one.status()["sources"] if each["error"]), ""), within=15
    )
    assert error.startswith("data/node1/discovery-peers.json: is not JSON")
    assert one.state_of(two) == "connected"
    assert error in blixard("status", "--data-dir", one.data_dir).out
    give_peers([one], entries)
    eventually(lambda: all(source["state"] == "found" for source in one.status()["sources"]), within=15)


def test_a_node_of_another_cluster_is_refused_counted_and_told(node: MakeNode, tmp_path: Path) -> None:
    one, two = node(1).start(), node(2)
    unsigned = tmp_path / "unsigned.json"
    unsigned.write_text(json.dumps({**json.loads(one.registry.read_bytes()), "attestation": None}))
    two.start("--join", unsigned, "--cluster", "another")
    eventually(lambda: two.state_of(one) == "refused")
    error = two.peers()[1]["last_error"]
    assert (error["kind"], error["message"]) == ("wrong_cluster", "this node is not of cluster 'another'")
    assert one.status()["refused_callers"]["wrong_cluster"] >= 1
    assert one.peers() == {}


def test_a_registry_that_was_signed_for_another_cluster_is_not_even_dialled(node: MakeNode) -> None:
    one, two = node(1).start(), node(2)
    two.start("--join", one.registry, "--cluster", "another")
    said = [line for source in two.status()["sources"] for line in (*source["problems"], source["error"]) if line]
    assert any('attested for cluster "blixard", not "another"' in line for line in said)
    assert two.peers() == one.status()["refused_callers"] == {}


def test_a_stranger_is_reached_by_known_admission_and_the_report_says_that_it_is_not_let_in(node: MakeNode) -> None:
    one = node(1).start("--admission", "known")
    ended = blixard("check", "--registry", one.registry, "--json")
    assert ended.code == 0
    (edge,) = ended.document["edges"]
    assert (edge["reached"], edge["admitted"]) == (True, False)
    assert one.status()["refused_callers"] == {"unknown": 1}


def test_discover_asks_the_running_node_which_also_knows_whom_it_dials(node: MakeNode, tmp_path: Path) -> None:
    one, two = node(1), node(2)
    entries = [one.make_identity(), two.make_identity()]
    give_peers([one], entries)
    (tmp_path / "broken.json").write_text("{")
    one.start("--registries", tmp_path / "broken.json")
    ended = blixard("discover", "--data-dir", one.data_dir, "--json")
    validate("discovery-findings", ended.document)
    assert ended.code == 1
    assert f"{tmp_path}/broken.json: is not JSON" in ended.err
    (peer,) = ended.document["peers"]
    assert (peer["node_id"], peer["wanted"]) == (2, True)
    assert peer["addresses"][0]["sources"] == ["data/node1/discovery-peers.json"]
    assert blixard("discover", "--data-dir", one.data_dir).out.splitlines()[1].startswith("2 ")


def test_a_check_of_nobody_is_input_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("[]\n")
    ended = blixard("check", "--peers", tmp_path / "empty.json")
    assert (ended.code, ended.out) == (2, "")
    assert "no peer is named there" in ended.err


def test_a_config_file_is_reloaded_on_sighup_or_kept_as_it_was(node: MakeNode, tmp_path: Path) -> None:
    one, two = node(1).start(), node(2)
    config = tmp_path / "two.json"
    whole: dict[str, Any] = {"node_id": 2, "bind": f"127.0.0.1:{two.port}", "data_dir": str(two.data_dir)}
    config.write_text(json.dumps(whole))
    two.start("--config", config)
    digest = two.status()["config_sha256"]

    config.write_text("{")
    two.signal(signal.SIGHUP)
    eventually(lambda: "configuration not reloaded" in two.log)
    assert two.status()["config_sha256"] == digest

    config.write_text(json.dumps(whole | {"cluster": "another", "join": [str(one.registry)]}))
    two.signal(signal.SIGHUP)
    eventually(lambda: "cluster cannot be changed while the node runs" in two.log)
    assert two.status()["config_sha256"] == digest
    assert two.peers() == {}

    config.write_text(json.dumps(whole | {"join": [str(one.registry)], "log_format": "json", "admission": "known"}))
    two.signal(signal.SIGHUP)
    eventually(lambda: are_meshed([one, two]))
    status = two.status()
    assert status["config_sha256"] != digest
    assert status["admission"] == "known"
    assert json.loads(two.log.splitlines()[-1])["level"] == "info"
    assert two.stop() == 0
    assert "Traceback" not in two.log


def test_a_reload_of_the_sources_keeps_the_connections_and_sends_guests_away_who_may_not_stay(
    node: MakeNode, tmp_path: Path
) -> None:
    one, two, guest = node(1).start(), node(2), node(3)
    config = tmp_path / "two.json"
    whole: dict[str, Any] = {"node_id": 2, "bind": f"127.0.0.1:{two.port}", "data_dir": str(two.data_dir)}
    config.write_text(json.dumps(whole | {"join": [str(one.registry)]}))
    two.start("--config", config)
    guest.start("--join", two.registry)
    eventually(lambda: (two.state_of(one), two.state_of(guest)) == ("connected", "connected"))

    members = tmp_path / "members.json"
    members.write_text("a mistake")
    config.write_text(json.dumps(whole | {"peers_file": str(members), "admission": "known"}))
    two.signal(signal.SIGHUP)
    eventually(lambda: two.status()["sources"][0]["state"] == "failed")
    eventually(lambda: two.state_of(guest) is None)
    assert two.state_of(one) == "connected"

    write_peers(members, build_peers([read_registry(one.registry)]))
    eventually(lambda: two.peers()[1]["sources"] == [f"static:{members}"])
    assert not [line for line in one.log.splitlines() if "disconnected" in line]
    eventually(lambda: guest.peers()[2]["state"] == "refused")


def test_nobody_answers_at_a_free_port(tmp_path: Path, node: MakeNode) -> None:
    entry = node(7).make_identity()
    (tmp_path / "seven.json").write_text(
        json.dumps({**entry.to_json(), "direct_addresses": [f"127.0.0.1:{free_port()}"], "attestation": None})
    )
    ended = blixard("check", "--registry", tmp_path / "seven.json", "--timeout", "1")
    assert ended.code == 1
    assert "NO" in ended.out
    assert "0 of 1 peers reached" in ended.out


def test_metrics_are_served_when_asked_for_and_count_what_happens(node: MakeNode) -> None:
    one, two = node(1), node(2)
    one.start("--metrics", "127.0.0.1:0")
    url = eventually(lambda: "".join(re.findall(r"url=(http://127\.0\.0\.1:[0-9]+/metrics)", one.log)))
    two.start("--join", one.registry)
    eventually(lambda: are_meshed([one, two]))
    text = scraped(url)
    assert 'blixard_peers{state="connected"} 1.0\n' in text
    assert 'blixard_connections{path="direct"} 1.0\n' in text
    assert "blixard_connections_made_total 1.0\n" in text
    assert 'blixard_peer_rtt_seconds{node_id="2"} 0.' in text
    blixard("check", "--registry", one.registry)
    # The text is written once a second at most.
    eventually(lambda: 'blixard_refused_callers_total{kind="unknown"} 1.0\n' in scraped(url))
    assert "metrics served" not in two.log


def scraped(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_a_page_of_the_node_is_served_beside_its_metrics_when_asked_for(node: MakeNode) -> None:
    one, two = node(1), node(2)
    one.start("--metrics", "127.0.0.1:0", "--page", "true")
    two.start("--join", one.registry)
    url = eventually(lambda: "".join(re.findall(r"url=(http://127\.0\.0\.1:[0-9]+/)metrics", one.log)))

    eventually(lambda: "Connected with 1 of 1 peer" in scraped(url))
    assert "<td>connected</td>" in scraped(url)
    assert "node 1 of blixard" in scraped(url)


@pytest.mark.parametrize("metrics", [(), ("--metrics", "0.0.0.0:0")], ids=["none", "everywhere"])
def test_a_page_that_other_hosts_could_ask_for_is_refused(tmp_path: Path, metrics: tuple[str, ...]) -> None:
    line = fails_to_start("--bind", "127.0.0.1:0", "--data-dir", tmp_path, "--page", "true", *metrics)
    assert line.startswith("blixard: /page: needs metrics on loopback; set metrics to an address such as")


def test_an_address_for_metrics_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = fails_to_start("--bind", "127.0.0.1:0", "--data-dir", tmp_path, "--metrics", f"127.0.0.1:{port}")
    assert line.startswith(f"blixard: /metrics: cannot listen at 127.0.0.1:{port}: ")
