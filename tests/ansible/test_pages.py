# SPDX-License-Identifier: MIT
"""README.md, docs/life.md and docs/ci.md tell one story: their commands do what they say on one inventory.

The hosts are on this machine, as in the other tests here; all else of the inventory is as the pages say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.ansible.fleet import BIN, GROUP, PROJECT, Fleet
from tests.ansible.pages import block, commands
from tests.integration.nodes import eventually
from tests.ports import free_ports

from blixard.agent.control_client import ask
from blixard.documents.peers_file import read_peers
from blixard.trust.peers_signature import parse_sig

FIRST = ("berlin1", "berlin2", "berlin3", "office1")
LINKS = ("action_plugins", "ansible.cfg", "collections", "filter_plugins", "library", "playbooks", "roles", ".venv")
HERE = ("blixard_cluster", "blixard_report_file")


class Story:
    """A checkout in which the commands of the pages are run, by a person or by a job."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.home = root / "home"
        self.inventory = self.root / "inventories" / "prod"
        self.kept = self.inventory / ".blixard"
        self.ports = free_ports(5)
        self.exports: list[str] = []
        self.home.mkdir()
        (self.root / "inventories").mkdir(parents=True)
        for name in LINKS:
            (self.root / name).symlink_to(PROJECT / name)
        shutil.copytree(PROJECT / "inventories" / "example", self.root / "inventories" / "example")

    def person(self, page: str, name: str) -> str:
        """Run the commands of a block, each of which must succeed, and return what they print."""
        said = ""
        for command in commands(page, name):
            if command.startswith("export "):
                self.exports.append(command)
            else:
                said += self.shell("".join([*self.exports, command]), code=0)
        return said

    def job(self, step: str, **variables: str) -> str:
        """Run a step of docs/ci.md with a job's variables alone; it must succeed."""
        job = {"INVENTORY": "inventories/prod", "CLUSTER": "example", "BUILD": "17", **variables}
        return self.shell(block("docs/ci.md", step), code=0, **job)

    def shell(self, script: str, *, code: int, **variables: str) -> str:
        """Run a script in the checkout and return what it prints."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "BLIXARD_"))}
        environment = {**own, "HOME": str(self.home), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000", **variables}
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{script}\n{done.stdout}"
        return done.stdout

    def name_hosts(self, *hosts: str) -> None:
        """Write the inventory's hosts down, with what makes them processes on this machine."""
        here = {name: value for name, value in GROUP.items() if name not in HERE}
        # Root becomes root without a word; anybody else cannot, and is who runs the nodes.
        here |= {"ansible_become": os.geteuid() == 0, "blixard_data_dir": f"{self.root}/{{{{ inventory_hostname }}}}"}
        entries = {
            f"{host}.example.org": {
                **here,
                "blixard_node_id": number,
                "blixard_bind": f"127.0.0.1:{self.ports[number - 1]}",
            }
            for number, host in enumerate(hosts, start=1)
        }
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump({"blixard": {"hosts": entries}}))

    def set_here(self, name: str, text: str) -> None:
        """Append to a file of the group's variables."""
        with (self.inventory / "group_vars" / "blixard" / name).open("a") as file:
            file.write(text)

    def keep_secret(self, name: str, text: str) -> None:
        """Give the inventory a secret, encrypted by itself."""
        encrypt = f".venv/bin/ansible-vault encrypt_string --stdin-name {name}"
        secrets = self.inventory / "group_vars" / "blixard" / "secrets.yml"
        self.shell("".join([*self.exports, f"printf %s '{text}' | {encrypt} >>{secrets}\n"]), code=0)

    def members(self) -> list[int]:
        """Return the members that the peers file has."""
        return [peer.node_id for peer in read_peers(self.kept / "discovery-peers.json")]

    def signed_by(self) -> str:
        """Return the id of the key that signed the peers file."""
        return parse_sig((self.kept / "discovery-peers.json.sig").read_bytes())[2].hex

    def git(self, *arguments: str) -> str:
        """Run git in the checkout."""
        return subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A copy of the example with hosts of its own, rolled out as README.md says."""
    story = Story(tmp_path_factory.mktemp("story"))
    copy, *rollout = commands("README.md", "rollout")
    story.shell(copy, code=0)
    story.name_hosts(*FIRST)
    try:
        for command in rollout:
            story.shell(command, code=0)
        yield story
    finally:
        Fleet(story.root).stop()


@pytest.fixture(scope="module")
def story(rolled_out: Story) -> Story:
    """The same fleet with a fleet key in its vault, as docs/life.md says."""
    story = rolled_out
    (story.home / ".vault-password").write_text("a password for this test\n")
    (signer,) = re.findall(r"\b[0-9a-f]{64}\b", story.person("docs/life.md", "key"))
    story.keep_secret("ansible_become_password", "a word")
    story.set_here("main.yml", block("docs/life.md", "signers").replace("…the id…", signer))
    story.person("docs/life.md", "batches")
    assert story.signed_by() == signer
    return story


def test_hosts_join_and_leave_and_keys_change_as_the_page_says(story: Story) -> None:
    assert story.members() == [1, 2, 3, 4]
    story.name_hosts(*FIRST, "office2")
    story.person("docs/life.md", "join")
    assert story.members() == [1, 2, 3, 4, 5]

    story.person("docs/life.md", "leave")
    story.name_hosts(*FIRST)
    assert story.members() == [1, 2, 3, 4]

    before = read_peers(story.kept / "discovery-peers.json")
    story.person("docs/life.md", "rotate")
    after = read_peers(story.kept / "discovery-peers.json")
    assert [old.node_id for old, new in zip(before, after, strict=True) if old != new] == [4]


def test_the_pipeline_takes_the_same_inventory_without_a_vault_password(story: Story) -> None:
    secret, signer = (story.root / "fleet-key").read_text().strip(), story.signed_by()
    for name, value in (("user.name", "job"), ("user.email", "job@example.org"), ("init.defaultBranch", "main")):
        story.shell(f"git config --global {name} {value}", code=0)
    story.shell("git init --quiet && git add inventories/prod && git commit --quiet -m fleet", code=0)

    story.job("gate", FLEET_SIGNER=signer)
    story.job("sign", FLEET_SIGNER=signer, BLIXARD_FLEET_KEY=secret)
    assert "nothing to change" in story.job("change")

    (story.kept / "discovery-peers.json").unlink()
    story.shell(block("docs/ci.md", "gate"), code=2, INVENTORY="inventories/prod")
    story.job("sign", FLEET_SIGNER=signer, BLIXARD_FLEET_KEY=secret)
    assert "nothing to change" in story.job("change"), "the same bytes again"


def test_the_fleet_key_changes_hands_through_the_pipeline_as_the_page_says(story: Story) -> None:
    old = story.signed_by()
    story.shell(".venv/bin/blixard key generate --out fleet-key-new", code=0)
    new = story.shell(".venv/bin/blixard key show fleet-key-new", code=0).strip()
    secret = (story.root / "fleet-key-new").read_text().strip()

    story.set_here("main.yml", f"blixard_trusted_signers: [{old}, {new}]\n")
    story.person("docs/life.md", "join")
    story.keep_secret("blixard_fleet_key", secret)
    story.job("sign", FLEET_SIGNER=new, BLIXARD_FLEET_KEY=secret)
    assert story.signed_by() == new
    story.job("gate", FLEET_SIGNER=new)
    story.set_here("main.yml", f"blixard_trusted_signers: [{new}]\n")
    story.person("docs/life.md", "join")


def test_files_of_an_older_release_are_moved_by_the_command_of_the_page(story: Story) -> None:
    for name in ("registry", "discovery-peers.json", "discovery-peers.json.sig"):
        (story.kept / name).rename(story.inventory / name)

    story.person("docs/life.md", "move")

    story.job("gate", FLEET_SIGNER=story.signed_by())


def test_two_nodes_without_a_fleet_find_each_other_as_the_first_page_says(tmp_path: Path) -> None:
    first, second = free_ports(2)
    path = f"{BIN}:{os.environ['PATH']}"

    def run(command: str) -> int:
        placed = command.strip().replace("7001", str(first)).replace("7002", str(second))
        # In the background, where the page has a terminal for each.
        script = f"{placed} --detach" if placed.startswith("blixard node") else placed
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, check=False)
        return done.returncode

    *nodes, status, check = commands("README.md", "node")
    try:
        assert [run(each) for each in nodes] == [0, 0]
        eventually(lambda: ask(tmp_path / "data" / "node1", "status")["peers"])
        assert [run(status), run(check)] == [0, 0]
    finally:
        for number in (1, 2):
            run(f"blixard stop --data-dir data/node{number}")
