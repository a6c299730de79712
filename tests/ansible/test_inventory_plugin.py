# SPDX-License-Identifier: MIT
"""`ansible-inventory` with the plugin `blixard.fleet.registry`: a real record, and a real node that lost a peer."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ansible.fleet import BIN, PROJECT, Run
from tests.integration.nodes import Node, are_meshed, eventually, give_peers, killed_afterwards
from tests.unit.documents.samples import entry

PLUGIN = "plugin: blixard.fleet.registry\n"


def inventory(config: Path, *words: str) -> Run:
    """Run ansible-inventory on a configuration; an inventory that cannot be read fails."""
    done = subprocess.run(
        [BIN / "ansible-inventory", "-i", config, *words],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr)


def listed(config: Path, *words: str) -> Any:
    run = inventory(config, "--list", *words)
    assert run.code == 0, run.output
    return json.loads(run.output, object_hook=lambda each: each.get("__ansible_unsafe", each))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give the place of a configuration beside a record of two members."""
    record = tmp_path / ".blixard" / "registry"
    record.mkdir(parents=True)
    for number in (1, 2):
        (record / f"node{number}.json").write_text(json.dumps(entry(number).to_json()))
    return tmp_path / "blixard.yml"


def test_members_become_hosts_with_what_is_constructed_of_them(config: Path) -> None:
    config.write_text(
        PLUGIN
        + "strict: true\n"
        + "compose: {ansible_host: inventory_hostname ~ '.example.org'}\n"
        + "groups: {first: blixard_node_id == 1}\n"
        + "keyed_groups: [{prefix: is, key: blixard_state}]\n"
    )
    found = listed(config)
    assert found["blixard"]["hosts"] == found["is_present"]["hosts"] == ["node1", "node2"]
    assert found["first"]["hosts"] == ["node1"]
    assert found["_meta"]["hostvars"]["node2"]["ansible_host"] == "node2.example.org"
    assert found["_meta"]["hostvars"]["node2"]["blixard_node_id"] == 2


def test_what_a_record_says_is_no_template(config: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pipe = f"{{{{ lookup('pipe', 'touch {canary}') }}}}"
    kept = tmp_path / ".blixard" / "registry" / "node1.json"
    said = json.loads(kept.read_text())
    for field, value in (("zone", pipe), ("state", pipe), ("direct_addresses", [pipe]), ("relay_url", pipe)):
        config.write_text(PLUGIN + "compose: {copy: vars}\nkeyed_groups: [{key: blixard_state}]\n")
        kept.write_text(json.dumps({**said, field: value}))
        run = inventory(config, "--list")
        assert "Traceback" not in run.output
        assert (run.code == 0) == (field == "zone"), field
        assert not canary.exists()


def test_a_member_named_as_a_template_or_a_broken_record_is_one_line(config: Path, tmp_path: Path) -> None:
    config.write_text(PLUGIN)
    broken = tmp_path / ".blixard" / "registry" / "node2.json"
    broken.write_text("{")
    run = inventory(config, "--list")
    assert run.code != 0
    assert f"{broken}: " in run.words
    assert "Traceback" not in run.output
    broken.rename(broken.with_name("{{ x }}.json"))
    (broken.parent / "{{ x }}.json").write_text((broken.parent / "node1.json").read_text())
    assert "cannot be the name of a host in the record" in inventory(config, "--list").words


def test_a_cache_keeps_the_hosts_until_it_is_told_to_look_again(config: Path, tmp_path: Path) -> None:
    config.write_text(
        PLUGIN + f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {tmp_path / 'kept'}\n"
    )
    assert listed(config)["blixard"]["hosts"] == ["node1", "node2"]
    (tmp_path / ".blixard" / "registry" / "node2.json").unlink()
    assert '"blixard_state": { "__ansible_unsafe": "present" }' in inventory(config, "--list").words
    assert listed(config)["blixard"]["hosts"] == ["node1", "node2"]
    assert listed(config, "--flush-cache")["blixard"]["hosts"] == ["node1"]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """Give three nodes that are meshed."""
    made = [Node(number, tmp_path) for number in (1, 2, 3)]
    with killed_afterwards(made):
        give_peers(made, [node.make_identity() for node in made])
        for node in made:
            node.start()
        eventually(lambda: are_meshed(made))
        yield made


def test_a_running_node_says_who_is_connected_and_who_is_lost(nodes: list[Node], tmp_path: Path) -> None:
    one, two, _ = nodes
    record = tmp_path / "record"
    record.mkdir()
    for node in nodes:
        (record / f"host{node.number}.json").write_bytes(node.registry.read_bytes())
    config = tmp_path / "blixard.yml"
    config.write_text(PLUGIN + f"record: record\ndata_dir: {one.data_dir.relative_to(tmp_path)}\n")
    two.kill()
    eventually(lambda: one.state_of(two) != "connected")

    found = listed(config)

    assert found["blixard_connected"]["hosts"] == ["host1", "host3"]
    assert found["blixard_lost"]["hosts"] == ["host2"]
    assert found["_meta"]["hostvars"]["host1"]["blixard_peer_state"] == "self"
    one.kill()
    run = inventory(config, "--list")
    assert f"no node runs in {one.data_dir}" in run.words
    assert "Traceback" not in run.output


def test_the_documentation_is_found_under_the_plugins_name() -> None:
    done = subprocess.run(
        [BIN / "ansible-doc", "-t", "inventory", "--json", "blixard.fleet.registry"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    options = json.loads(done.stdout)["blixard.fleet.registry"]["doc"]["options"]
    assert {"record", "data_dir", "keyed_groups", "compose", "cache"} <= options.keys()
