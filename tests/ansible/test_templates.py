# SPDX-License-Identifier: MIT
"""The role's templates give what the package's own writers give, and what the schemas and systemd accept."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from tests.ansible.fleet import BIN, PROJECT
from tests.ansible.rendering import render
from tests.unit.documents.samples import attested
from tests.unit.model.strategies import entries, peer_lists

from blixard.agent.node_config import parse_config
from blixard.documents.entry_states import FIELDS
from blixard.documents.json_bytes import pretty_bytes
from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.registry_file import format_registry
from blixard.documents.schemas import validate_text
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry


@settings(max_examples=40)
@given(peer_lists)
def test_the_peers_template_gives_the_bytes_of_the_packages_own_writer(peers: list[DiscoveredPeer]) -> None:
    known = [DiscoveredPeer(*peer.content(), peer.source, peer.discovered_at) for peer in peers]
    written = format_peers(known)

    assert render("discovery-peers.json.j2", __blixard_record={"peers": json.loads(written)}) == written


@pytest.mark.parametrize("upstream_compat", [False, True])
def test_the_peers_template_gives_the_same_bytes_for_attested_peers_and_both_time_forms(upstream_compat: bool) -> None:
    written = format_peers(build_peers([attested(1), attested(2)]), upstream_compat=upstream_compat)

    assert render("discovery-peers.json.j2", __blixard_record={"peers": json.loads(written)}) == written


@settings(max_examples=40)
@given(entries)
def test_the_registry_template_writes_the_known_fields_as_the_packages_own_writer(entry: NodeRegistryEntry) -> None:
    known = dataclasses.replace(entry, extra={})

    assert render("node-registry.json.j2", __blixard_entry=entry.to_json()) == format_registry(known)


def test_the_registry_template_leaves_out_what_only_the_record_keeps() -> None:
    entry = attested(1)
    recorded = {**entry.to_json(), **dict.fromkeys(FIELDS, "x")}

    assert render("node-registry.json.j2", __blixard_entry=recorded) == format_registry(entry)


def test_the_settings_template_gives_settings_that_fit_the_schema_and_that_the_node_reads() -> None:
    written = render(
        "node-config.json.j2",
        inventory_hostname="node2",
        blixard_node_id=18446744073709551615,
        blixard_bind="[::]:7002",
        blixard_advertise_exclude=["10.0.0.0/8"],
        blixard_join=["node1", "node2"],
        blixard_relay_url="https://relay.example.org",
        blixard_metrics="127.0.0.1:9000",
    )

    validate_text("node-config", written)
    config = parse_config(written, file="settings")
    assert config.node_id == 18446744073709551615
    assert config.join == ("/var/lib/blixard/registry.d/node1.json",)
    assert config.admission == "known"
    assert written == pretty_bytes(json.loads(written))


def test_the_report_template_gives_the_report_as_all_documents_are_written() -> None:
    report = {"cluster": "blixard", "nodes": [{"name": "ü"}], "edges": [], "summary": {"nodes": 1}}

    text = json.dumps(report, indent=2, ensure_ascii=False)
    assert render("connectivity-report.json.j2", __blixard_report=text) == pretty_bytes(report)


def test_the_facts_template_gives_what_ansible_has_as_facts_of_a_host(tmp_path: Path) -> None:
    text = render("blixard.fact.j2", blixard_node_id=7, blixard_cluster='{{ "x" }}', blixard_metrics="127.0.0.1:9464")
    (tmp_path / "blixard.fact").write_bytes(text)

    options = f"filter=ansible_local fact_path={tmp_path}"
    python = f"ansible_python_interpreter={sys.executable}"
    command: list[str | Path] = [
        BIN / "ansible",
        "-i",
        "localhost,",
        "-c",
        "local",
        "localhost",
        "-e",
        python,
        "-m",
        "setup",
        "-a",
        options,
    ]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.partition("=>")[2])["ansible_facts"]["ansible_local"]["blixard"]
    assert said == json.loads(text)
    assert (said["node_id"], said["cluster"], said["metrics"]) == (7, '{{ "x" }}', "127.0.0.1:9464")
    assert said["service"] == "blixard"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_hardened_and_systemd_understands_every_line(tmp_path: Path) -> None:
    # A program and an account that every host has, since systemd-analyze looks for both.
    unit = render("blixard.service.j2", blixard_node_id=1, blixard_user="daemon", blixard_group="daemon").decode()
    path = tmp_path / "blixard.service"
    path.write_text(unit.replace("/opt/blixard/venv/bin/blixard", "/bin/true"))

    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", path], capture_output=True, text=True, check=False
    )
    verify = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)

    level = re.search(r"Overall exposure level for blixard\.service: ([0-9.]+)", security.stdout)
    assert level, security.stderr
    assert float(level[1]) <= 1.5
    assert re.search(r"^MemoryMax=[1-9]", unit, re.MULTILINE)
    assert re.search(r"^TasksMax=[1-9]", unit, re.MULTILINE)
    assert str(path) not in verify.stderr, verify.stderr
