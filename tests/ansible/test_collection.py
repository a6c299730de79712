# SPDX-License-Identifier: MIT
"""The collection: what it holds, that it installs, and that a repository elsewhere rolls a fleet out with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.ansible.collection import COLLECTION, Controller, galaxy
from tests.ansible.fleet import PROJECT
from tests.ports import free_ports

SETTINGS = """\
[defaults]
inventory = hosts.yml
collections_path = collections
"""
GROUP = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "blixard_service_manager": "process",
    "blixard_data_dir": "{{ inventory_dir }}/{{ inventory_hostname }}",
    "blixard_config_file": "{{ blixard_data_dir }}/node-config.json",
    "blixard_venv": "{{ inventory_dir }}/venv",
    "blixard_python": "{{ ansible_playbook_python }}",
    # The hosts are one machine, with one environment.
    "blixard_runtime_manage": "{{ inventory_hostname == 'node1' }}",
}
OWN_PLAY = """\
- hosts: blixard
  gather_facts: false
  roles:
    - blixard.fleet.blixard
"""
BY_NAME = """\
- hosts: node1
  gather_facts: false
  module_defaults:
    group/blixard.fleet.node:
      python: "{{ blixard_venv }}/bin/python"
      data_dir: "{{ blixard_data_dir }}"
  tasks:
    - blixard.fleet.iroh_node_info:
        config: "{{ lookup('file', blixard_config_file) }}"
      register: node
    - blixard.fleet.iroh_identity:
        path: "{{ inventory_dir }}/another-key"
      check_mode: true
      vars:
        ansible_python_interpreter: "{{ blixard_venv }}/bin/python"
      register: identity
    - blixard.fleet.blixard_refresh:
      register: refresh
    - blixard.fleet.blixard_put:
        src: hosts.yml
        name: inventory.yml
        mode: "0600"
      check_mode: true
      register: put
    - blixard.fleet.blixard_rotation:
        config: "{{ lookup('file', blixard_config_file) }}"
      check_mode: true
      register: rotation
    - blixard.fleet.blixard_connectivity:
      register: check
    - blixard.fleet.blixard_registry:
        path: "{{ inventory_dir }}/.blixard/registry"
        cluster: blixard
      delegate_to: localhost
      register: record
    - blixard.fleet.blixard_signature:
        path: "{{ inventory_dir }}/.blixard/discovery-peers.json"
        cluster: blixard
      register: signature
    - blixard.fleet.schema_template:
        src: entry.json.j2
        schema: node-registry
        dest: "{{ blixard_data_dir }}/other-registry.json"
        data_dir: "{{ blixard_data_dir }}"
        python: "{{ blixard_venv }}/bin/python"
        mode: "0644"
      register: template
    - ansible.builtin.copy:
        dest: "{{ inventory_dir }}/answers.json"
        mode: "0600"
        content: "{{ {'entry': node.entry.cluster_node_id, 'identity': identity is changed, 'peers': refresh.peers,
          'put': put is changed, 'rotation': rotation.due, 'reached': check.report.summary.reached,
          'record': record.record | sort, 'signer': signature.signer, 'template': template is changed,
          'names': 'node3, node1' | blixard.fleet.names} | to_json }}"
"""


@pytest.fixture(scope="module")
def collections(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the collection was installed from its repository."""
    folder = tmp_path_factory.mktemp("installed")
    galaxy("install", "--offline", f"git+file://{tree}", "-p", folder, at=folder)
    return folder


@pytest.fixture
def repository(collections: Path, tmp_path: Path) -> Iterator[Path]:
    """A user's repository with three hosts, an ansible.cfg and an inventory of its own; its nodes end with the test."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "collections").symlink_to(collections)
    (folder / "ansible.cfg").write_text(SETTINGS)
    ports = enumerate(free_ports(3), start=1)
    hosts = {f"node{it}": {"blixard_node_id": it, "blixard_bind": f"127.0.0.1:{port}"} for it, port in ports}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"blixard": {"vars": GROUP, "hosts": hosts}}))
    yield folder
    for running in folder.glob("*/agent.pid"):
        stop: list[str | Path] = [folder / "venv" / "bin" / "blixard", "stop", "--data-dir", running.parent]
        subprocess.run(stop, check=True, capture_output=True)


def _files(folder: Path) -> dict[str, bytes | str]:
    """All files below `folder` by path: contents, or where a link leads."""
    paths = [each for each in folder.rglob("*") if each.is_symlink() or each.is_file()]
    found = {each.relative_to(folder).as_posix(): each for each in paths}
    return {name: str(it.readlink()) if it.is_symlink() else it.read_bytes() for name, it in sorted(found.items())}


def test_repository_and_tarball_install_the_same_files_and_only_those_that_ansible_or_a_reader_wants(
    release: Path, collections: Path, tmp_path: Path
) -> None:
    (tarball,) = release.glob("blixard-fleet-*.tar.gz")
    galaxy("install", "--offline", tarball, "-p", tmp_path / "empty", at=tmp_path)

    installed = _files(tmp_path / "empty" / COLLECTION)
    assert installed == _files(collections / COLLECTION)
    assert {name.partition("/")[0] for name in installed} == {
        "CHANGELOG.md", "FILES.json", "LICENSES", "MANIFEST.json", "README.md", "SECURITY.md", "action_plugins",
        "bindep.txt", "docs", "filter_plugins", "library", "meta", "monitoring", "playbooks", "plugins",
        "requirements.txt", "roles",
    }  # fmt: skip
    assert "roles/blixard/files/requirements.lock" in installed
    assert not [name for name in installed if name.endswith((".pyc", ".tar.gz"))]


def test_an_execution_environment_gets_the_collection_and_what_the_collection_asks_for(
    collections: Path, tmp_path: Path
) -> None:
    builder = Path(sys.executable).with_name("ansible-builder")
    create: list[str | Path] = [
        "create",
        "--file",
        PROJECT / "execution-environment.yml",
        "--context",
        tmp_path / "context",
    ]
    subprocess.run([builder, *create], check=True, capture_output=True)
    asked = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())
    assert asked == {"collections": [{"name": "blixard.fleet"}]}

    # In the image, ansible-builder asks this of the collection that it has installed there.
    found = subprocess.run([builder, "introspect", collections], check=True, capture_output=True, text=True).stdout
    needed = {kind: [line.split("  #")[0] for line in lines] for kind, lines in yaml.safe_load(found).items()}
    version = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"]
    assert needed == {
        "python": [f"blixard[controller]=={version}"],
        "system": ["openssh-clients [platform:rpm]", "openssh-client [platform:dpkg]"],
    }


def test_a_repository_elsewhere_rolls_a_fleet_out_and_lives_with_it_by_full_names(
    repository: Path, wheel: Path, tmp_path: Path
) -> None:
    controller = Controller.make(tmp_path / "controller")
    controller.install(wheel)

    site = controller.play(repository, "blixard.fleet.site", "-e", f"blixard_package={wheel}")
    assert site.code == 0, site.output
    assert "6 of 6 edges reached between 3 nodes of blixard" in site.output
    assert list((repository / "venv").glob("lib/python*/site-packages/blixard/agent"))

    # A play of the user's own has nothing more to do.
    (repository / "own.yml").write_text(OWN_PLAY)
    own = controller.play(repository, "own.yml", "-e", f"blixard_package={wheel}")
    assert own.code == 0, own.output
    assert own.changed == {"node1": 0, "node2": 0, "node3": 0}

    entry = json.loads((repository / ".blixard" / "registry" / "node1.json").read_text())
    (repository / "entry.json.j2").write_text(json.dumps(entry, indent=2) + "\n")
    (repository / "by-name.yml").write_text(BY_NAME)
    by_name = controller.play(repository, "by-name.yml")
    assert by_name.code == 0, by_name.output
    assert json.loads((repository / "answers.json").read_text()) == {
        "entry": 1, "identity": True, "peers": [2, 3], "put": True, "rotation": False, "reached": 2,
        "record": ["node1", "node2", "node3"], "signer": None, "template": True, "names": ["node3", "node1"],
    }  # fmt: skip

    rotate = controller.play(repository, "blixard.fleet.rotate", "-e", "blixard_rotate=node3 blixard_rotate_min_age=0")
    assert rotate.code == 0, rotate.output
    changed = json.loads((repository / ".blixard" / "registry" / "node3.json").read_text())
    assert changed["iroh_node_id"] in (repository / ".blixard" / "discovery-peers.json").read_text()

    leave = controller.play(repository, "blixard.fleet.decommission", "-e", "blixard_decommission=node3")
    assert leave.code == 0, leave.output
    peers = json.loads((repository / ".blixard" / "discovery-peers.json").read_text())
    assert [peer["node_id"] for peer in peers] == [1, 2]

    drift = controller.play(repository, "blixard.fleet.peers", "--check", "--diff")
    assert drift.code == 0, drift.output
    check = controller.play(repository, "blixard.fleet.check", "--limit", "!node3")
    assert check.code == 0, check.output
    assert "2 of 2 edges reached between 2 nodes of blixard" in check.output


def test_without_a_source_tree_hosts_get_the_controllers_version_of_the_package(
    repository: Path, wheel: Path, tmp_path: Path
) -> None:
    controller = Controller.make(tmp_path / "controller")
    controller.install(wheel)

    run = controller.play(repository, "blixard.fleet.site", "--check", "--limit", "node1")

    assert run.code == 0, run.output
    version = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"]
    assert f"{repository}/venv would be installed with blixard=={version}" in run.output


@pytest.mark.parametrize("found", [None, "0.0.1"])
@pytest.mark.parametrize(
    "task",
    [
        "blixard.fleet.blixard_refresh: {python: /none, data_dir: /none}",
        "ansible.builtin.debug: {msg: \"{{ 'node1' | blixard.fleet.names }}\"}",
        "blixard.fleet.blixard_registry: {path: /none, cluster: blixard}",
    ],
)
def test_a_controller_without_the_right_package_is_told_what_to_run(
    repository: Path, tmp_path: Path, task: str, found: str | None
) -> None:
    controller = Controller.make(tmp_path / "controller")
    if found:
        controller.pretend(found)
    (repository / "play.yml").write_text(f"- hosts: localhost\n  gather_facts: false\n  tasks:\n    - {task}\n")

    run = controller.play(repository, "play.yml")

    version = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"]
    assert run.code != 0
    what = f"is version {found}" if found else "is missing"
    line = f"blixard.fleet {version} needs the Python package blixard {version}, which {what}"
    mend = rf"run: {re.escape(str(controller.python))} -m pip install 'blixard(\[controller\])?=={re.escape(version)}'"
    said = [each for each in run.output.splitlines() if each.startswith("[") and line in each]
    assert len(said) == 1, run.output
    assert re.search(mend, said[0])
    assert "Traceback" not in run.output
