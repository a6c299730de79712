# SPDX-License-Identifier: MIT
"""Checks without a running node, against real endpoints: as a stranger, and from a node's files."""

from __future__ import annotations

from pathlib import Path

from tests.integration.party import Party, StartParty
from tests.unit.agent.settings import settings

from blixard.agent.connectivity import check_as_stranger, check_from_files
from blixard.agent.own_entry import key_path
from blixard.discovery_manager import DiscoverySource
from blixard.documents.peers_file import write_peers
from blixard.documents.registry_file import write_registry
from blixard.documents.schemas import validate
from blixard.model.entry import NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.transport.hello import Hello, Welcome
from blixard.trust.keys import create_secret_key


def registry_of(party: Party, path: Path, *addresses: str) -> Path:
    """Write the registry file of node 2, which is `party`, with these addresses."""
    entry = NodeRegistryEntry(2, party.key.public().base64, addresses, None, addresses[0])
    write_registry(path, entry)
    return path


async def test_a_peer_that_also_lists_the_address_of_another_node_is_reached(
    start_party: StartParty, tmp_path: Path
) -> None:
    wanted, impostor = await start_party(), await start_party()
    path = registry_of(wanted, tmp_path / "two.json", impostor.address, wanted.address)
    report = await check_as_stranger([DiscoverySource.NodeRegistry([path])])
    validate("connectivity-report", report)
    assert [(edge["to"], edge["reached"], edge["admitted"]) for edge in report["edges"]] == [(2, True, True)]


async def test_another_node_at_the_only_address_is_named_with_the_address(
    start_party: StartParty, tmp_path: Path
) -> None:
    wanted, impostor = await start_party(), await start_party()
    path = registry_of(wanted, tmp_path / "two.json", impostor.address)
    report = await check_as_stranger([DiscoverySource.NodeRegistry([path])], timeout=1)
    (edge,) = report["edges"]
    assert (edge["reached"], edge["id_matched"]) == (False, False)
    assert edge["error"] == {"kind": "wrong_id", "message": f"another node answers at {impostor.address}"}


async def test_a_node_that_does_not_run_checks_from_its_files_with_its_own_key_and_writes_nothing(
    start_party: StartParty, tmp_path: Path
) -> None:
    told: list[str] = []

    def judge(hello: Hello, caller: EndpointId) -> Welcome:
        told.append(f"{hello.node_id} {caller}")
        return Welcome(admitted=True)

    peer = await start_party(judge)
    config = settings(tmp_path, peers_file=tmp_path / "peers.json")
    own = create_secret_key(key_path(tmp_path)).public()
    write_peers(config.peers_file, [peer.as_peer(node_id=2)])
    before = _content(tmp_path)
    report = await check_from_files(config)
    validate("connectivity-report", report)
    assert report["summary"] == {"nodes": 1, "edges": 1, "reached": 1, "failed": 0, "untold": 0, "not_admitted": 0}
    assert report["nodes"][0] == {
        "node_id": 1,
        "iroh_node_id": own.base64,
        "agent": "not running",
        "sample": None,
        "problems": [],
    }
    assert told == [f"1 {own}"]
    assert _content(tmp_path) == before


async def test_a_source_that_failed_is_a_problem_of_the_report_since_its_peers_are_missing_from_it(
    start_party: StartParty, tmp_path: Path
) -> None:
    path = registry_of(wanted := await start_party(), tmp_path / "two.json", wanted.address)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "three.json").write_text("{")
    bad = [tmp_path / "nowhere.json", tmp_path / "bad"]
    report = await check_as_stranger([DiscoverySource.NodeRegistry([path, *bad])])
    validate("connectivity-report", report)
    assert report["summary"]["failed"] == 0
    assert [problem.partition(": ")[0] for problem in report["nodes"][0]["problems"]] == [
        f"source registry:{tmp_path}/nowhere.json failed",
        f"source registry:{tmp_path}/bad",
    ]


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
