# SPDX-License-Identifier: MIT
"""The pipelines of docs/ci.md: their commands are those that the page explains, and they do what it says."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ansible.fleet import PROJECT, Fleet
from tests.ansible.pages import block
from tests.unit.documents.samples import key

from blixard.documents.peers_file import read_peers
from blixard.documents.registry_file import write_registry
from blixard.model.entry import NodeRegistryEntry
from blixard.model.times import EPOCH
from blixard.trust.attestation import attest
from blixard.trust.keys import create_secret_key

PAGE = "docs/ci.md"
STEPS = ("gate", "sign", "change")


def _scripts(pipeline: Any) -> list[str]:
    """Every shell script in a pipeline of either kind, in order."""
    if isinstance(pipeline, dict):
        own = [pipeline["run"]] if isinstance(pipeline.get("run"), str) else []
        return own + [script for value in pipeline.values() for script in _scripts(value)]
    if isinstance(pipeline, list):
        return [script for value in pipeline for script in ([value] if isinstance(value, str) else _scripts(value))]
    return []


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_a_pipeline_runs_the_steps_that_are_explained_and_tested(name: str) -> None:
    scripts = _scripts(yaml.safe_load(block(PAGE, name)))
    plain = [textwrap.dedent(script.strip().removeprefix("(").removesuffix(")")).strip() for script in scripts]

    for step in STEPS:
        assert block(PAGE, step).strip() in plain, step


class Checkout:
    """A clone of a project with a fleet's inventory, its origin, and the environment of a job."""

    def __init__(self, root: Path, tmp: Path) -> None:
        self.root = root
        self.key_file = tmp / "fleet-key"
        self.signer = create_secret_key(self.key_file).public().hex
        self.inventory = root / "inventories" / "prod"
        self.kept = self.inventory / ".blixard"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def run(self, step: str, **more: str) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "BLIXARD_"))}
        job = {"INVENTORY": "inventories/prod", "CLUSTER": "test", "FLEET_SIGNER": self.signer, "BUILD": "17"}
        environment = {**own, **job, "TMPDIR": str(self.root.parent), **more}
        return subprocess.run(
            ["sh", "-c", block(PAGE, step)], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def sign(self) -> subprocess.CompletedProcess[str]:
        return self.run("sign", BLIXARD_FLEET_KEY=self.key_file.read_text().strip())

    def record(self, number: int, address: str) -> None:
        entry = NodeRegistryEntry(number, key(number).public().base64, [address], None, address)
        write_registry(
            self.kept / "registry" / f"node{number}.json", attest(entry, key(number), cluster="test", now=EPOCH)
        )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    tmp = tmp_path_factory.mktemp("ci")
    root = tmp / "work"
    root.mkdir()
    for name in (
        "action_plugins",
        "ansible.cfg",
        "collections",
        "filter_plugins",
        "library",
        "playbooks",
        "roles",
        ".venv",
    ):
        (root / name).symlink_to(PROJECT / name)
    checkout = Checkout(root, tmp)
    (checkout.kept / "registry").mkdir(parents=True)
    fleet = Fleet.of(checkout.inventory, 3)
    del fleet.group["blixard_report_file"]
    group = {**fleet.group, "blixard_trusted_signers": [checkout.signer]}
    hosts = {"blixard": {"vars": group, "hosts": fleet.hosts}}
    (checkout.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    for number in (1, 2):
        checkout.record(number, f"192.0.2.{number}:7001")
    subprocess.run(["git", "init", "--quiet", "--bare", tmp / "origin"], check=True)
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.git("config", "user.name", "job")
    checkout.git("config", "user.email", "job@example.org")
    checkout.git("remote", "add", "origin", str(tmp / "origin"))
    checkout.git("add", "inventories")
    checkout.git("commit", "--quiet", "-m", "A record without a peers file")
    checkout.git("push", "--quiet", "origin", "main")
    return checkout


def test_the_commands_regenerate_check_sign_and_open_a_change(checkout: Checkout) -> None:
    drift = checkout.run("gate")
    assert drift.returncode != 0
    assert "+2 −0 ~0 peers" in drift.stdout

    signed = checkout.sign()
    assert signed.returncode == 0, signed.stdout + signed.stderr
    assert [peer.node_id for peer in read_peers(checkout.kept / "discovery-peers.json")] == [1, 2]
    assert checkout.run("gate").returncode == 0

    change = checkout.run("change")
    assert change.returncode == 0, change.stderr
    assert checkout.git("branch", "--show-current") == "peers-17"
    assert set(checkout.git("diff", "--name-only", "main").splitlines()) == {
        "inventories/prod/.blixard/discovery-peers.json",
        "inventories/prod/.blixard/discovery-peers.json.sig",
        "inventories/prod/.blixard/registry/MANIFEST",
    }
    assert "peers-17" in checkout.git("ls-remote", "--heads", "origin")


def test_a_second_signing_changes_nothing_and_no_key_is_left_behind_or_shown(checkout: Checkout) -> None:
    again = checkout.sign()
    change = checkout.run("change")

    assert again.returncode == 0, again.stdout
    assert (change.returncode, "nothing to change" in change.stdout) == (0, True)
    secret = checkout.key_file.read_text().strip()
    assert secret not in again.stdout + again.stderr
    folder = checkout.root.parent
    assert [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()] == [
        checkout.key_file
    ]


def test_the_gate_fails_on_a_moved_host_until_it_is_signed_and_on_what_was_altered_by_hand(checkout: Checkout) -> None:
    checkout.record(2, "192.0.2.77:7001")
    moved = checkout.run("gate")
    assert moved.returncode != 0
    assert "addresses −192.0.2.2:7001 +192.0.2.77:7001" in moved.stdout
    assert checkout.sign().returncode == 0
    assert checkout.run("gate").returncode == 0

    path = checkout.kept / "registry" / "node1.json"
    path.write_bytes(path.read_bytes().replace(b"192.0.2.1:7001", b"192.0.2.66:7001"))
    altered = checkout.run("gate")
    assert altered.returncode != 0
    assert "node1.json in the record" in altered.stdout
    checkout.git("checkout", "--", str(path))

    (checkout.kept / "discovery-peers.json.sig").unlink()
    unsigned = checkout.run("gate")
    assert unsigned.returncode != 0
    assert "is not signed" in unsigned.stdout + unsigned.stderr
