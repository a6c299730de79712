# SPDX-License-Identifier: MIT
"""Files go into a data directory by the hand of its own account, in check mode and with --diff as people know them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import Fleet, Run
from tests.unit.documents.samples import attested

from blixard.fleet.host import too_old
from blixard.trust.keys import create_secret_key

ACCOUNT = 54321
ENTRY = json.dumps(attested(1).to_json(), indent=2) + "\n"


@pytest.fixture
def room() -> Iterator[Path]:
    # Not pytest's own folder, which no other account may enter.
    path = Path(tempfile.mkdtemp(prefix="blixard-put-"))
    path.chmod(0o755)
    (path / "data").mkdir(0o700)
    yield path
    shutil.rmtree(path)


class Stage:
    """Runs tasks on one host with a data directory."""

    def __init__(self, fleet: Fleet, room: Path) -> None:
        self.fleet = fleet
        self.room = room
        self.data_dir = room / "data"

    def run(self, *tasks: dict[str, Any], arguments: tuple[str, ...] = ()) -> Run:
        playbook = self.room / "play.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "blixard", "gather_facts": False, "tasks": list(tasks)}]))
        return self.fleet.play(playbook, *arguments)

    def put(self, content: str, **options: Any) -> dict[str, Any]:
        source = self.room / f"source{len(list(self.room.iterdir()))}"
        source.write_text(content)
        given = {
            "python": "{{ ansible_playbook_python }}",
            "data_dir": str(self.data_dir),
            "src": str(source),
            "name": "peers.json",
            "mode": "0644",
        }
        return {"blixard_put": {**given, **options}}


@pytest.fixture
def stage(new_fleet: NewFleet, room: Path) -> Stage:
    return Stage(new_fleet(1), room)


def test_a_file_is_put_once_and_shown_before(stage: Stage) -> None:
    put = stage.put("[1]\n")

    would = stage.run(put, arguments=("--check", "--diff"))
    assert (would.code, would.changed) == (0, {"node1": 1}), would.output
    assert "+[1]" in would.output
    assert list(stage.data_dir.iterdir()) == []

    run = stage.run(put, put, stage.put("[2]\n"), stage.put("[2]\n", mode="0600"), arguments=("--diff",))
    assert (run.code, run.changed) == (0, {"node1": 3}), run.output
    assert "-[1]" in run.output
    assert (stage.data_dir / "peers.json").read_text() == "[2]\n"
    assert (stage.data_dir / "peers.json").stat().st_mode & 0o7777 == 0o600


def test_a_host_with_an_older_package_is_told_to_get_the_newer_one_and_foreseen_to_change(stage: Stage) -> None:
    older = stage.room / "python"
    older.write_text("#!/bin/sh\necho 'Traceback (most recent call last):' >&2\necho \"KeyError: '$4'\" >&2\nexit 1\n")
    older.chmod(0o755)
    put = stage.put("[1]\n", python=str(older))

    run = stage.run(put)
    assert run.failed == {"node1"}
    assert "the package on this host is older than the role (put_packed); run site.yml first" in run.words
    would = stage.run(put, arguments=("--check",))
    assert (would.code, would.changed) == (0, {"node1": 1}), would.output

    # One that knows the words for it says so itself, whatever it is asked to do.
    said = json.dumps({"failed": True, "msg": too_old("$4")})
    older.write_text(f"#!/bin/sh\ncat <<END\n{said}\nEND\n")
    assert too_old("put_packed") in stage.run(put).words
    would = stage.run(put, arguments=("--check",))
    assert (would.code, would.changed) == (0, {"node1": 1}), would.output


def test_a_file_that_is_too_large_to_be_shown_is_not_shown_as_one_that_was_empty(stage: Stage) -> None:
    large = json.dumps(["x" * 300_000]) + "\n"
    run = stage.run(stage.put(large), arguments=("--diff",))
    assert run.code == 0, run.output
    assert "peers.json differs, and is too large to be shown" in run.words
    assert len(run.output) < 20_000
    assert (stage.data_dir / "peers.json").read_text() == large


@pytest.mark.parametrize(
    "said", ['{"changed": "yes"}', "[]", '{"changed": true, "failed": true, "msg": "no"}', "what?"]
)
def test_an_answer_that_is_none_fails(stage: Stage, said: str) -> None:
    fake = stage.room / "python"
    fake.write_text(f"#!/bin/sh\necho '{said}'\n")
    fake.chmod(0o755)

    assert stage.run(stage.put("[1]\n", python=str(fake))).failed == {"node1"}


def test_what_a_host_shows_as_the_file_before_sends_nothing_to_the_terminal(stage: Stage) -> None:
    (stage.data_dir / "peers.json").write_bytes(b"\x1b[2J{{ 1 + 1 }}\xff\n")
    run = stage.run(stage.put("[1]\n"), arguments=("--diff",))
    assert run.code == 0, run.output
    assert "\x1b[2J" not in run.output
    assert "{{ 1 + 1 }}" in run.output


@pytest.mark.root
def test_in_a_directory_of_another_account_files_become_that_accounts_and_links_are_replaced(stage: Stage) -> None:
    victim = stage.room / "victim"
    victim.write_text("as it was\n")
    victim.chmod(0o600)
    for name in ("peers.json", "node-config.json"):
        (stage.data_dir / name).symlink_to(victim)
    os.chown(stage.data_dir, ACCOUNT, ACCOUNT)
    template = stage.room / "entry.json.j2"
    template.write_text(ENTRY)
    rendered = {
        "schema_template": {
            "src": str(template),
            "dest": f"{stage.data_dir}/registry.d/node1.json",
            "schema": "node-registry",
            "python": "{{ ansible_playbook_python }}",
            "data_dir": str(stage.data_dir),
            "mode": "0640",
        }
    }

    run = stage.run(stage.put("[1]\n"), rendered, rendered)

    assert (run.code, run.changed) == (0, {"node1": 2}), run.output
    assert (victim.read_text(), victim.stat().st_uid, victim.stat().st_mode & 0o7777) == ("as it was\n", 0, 0o600)
    put = {"peers.json": 0o644, "registry.d/node1.json": 0o640}
    for name, mode in put.items():
        status = (stage.data_dir / name).lstat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (ACCOUNT, ACCOUNT, mode)
    assert (stage.data_dir / "registry.d" / "node1.json").read_text() == ENTRY


@pytest.mark.root
def test_a_data_directory_is_given_to_its_account_without_following_what_is_planted_there(stage: Stage) -> None:
    victim = stage.room / "victim"
    victim.write_text("as it was\n")
    create_secret_key(stage.data_dir / "iroh-secret-key")
    (stage.data_dir / "notes").symlink_to(victim)
    stage.data_dir.chmod(0o755)
    task = {
        "iroh_identity": {
            "path": f"{stage.data_dir}/iroh-secret-key",
            "owner": str(ACCOUNT),
            "group": str(ACCOUNT),
            "data_dir": True,
        }
    }

    would = stage.run(task, arguments=("--check", "--diff"))
    assert (would.code, would.changed) == (0, {"node1": 1}), would.output
    assert stage.data_dir.stat().st_uid == 0
    run = stage.run(task, task, arguments=("--diff",))

    assert (run.code, run.changed) == (0, {"node1": 1}), run.output
    assert "iroh-secret-key" in run.output
    assert victim.stat().st_uid == 0
    owners = {path.name: path.lstat().st_uid for path in (stage.data_dir, *stage.data_dir.iterdir())}
    assert owners == {"data": ACCOUNT, "iroh-secret-key": ACCOUNT, "notes": 0}

    (stage.data_dir / "discovery-peers.json").symlink_to(victim)
    os.chown(stage.data_dir / "discovery-peers.json", 1, 1, follow_symlinks=False)
    refused = stage.run(task)
    assert refused.failed == {"node1"}
    assert f"{stage.data_dir}/discovery-peers.json: is a link, not a file; it is not given away" in refused.words
