# SPDX-License-Identifier: MIT
"""Parts of a run: steps by their tags, and hosts by --limit, on a fleet whose group has a name of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.ansible.fleet import PROJECT, Fleet, Run

from blixard.documents.record import read_record
from blixard.trust.keys import KEY_FILE_NAME, read_secret_key

HOSTS = ("node1", "node2")


class NamedFleet(Fleet):
    """A fleet whose group is not called blixard."""

    def write_inventory(self) -> Path:
        inventory = self.root / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"cluster": {"vars": self.group, "hosts": self.hosts}}))
        return inventory

    def run(self, playbook: str | Path, *arguments: str) -> Run:
        """Run a playbook with the group named on the command line, as whoever has such a fleet does."""
        return self.play(playbook, "-e", "blixard_hosts=cluster", *arguments)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedFleet]:
    """Two hosts on which nothing is rolled out yet."""
    fleet = NamedFleet.of(tmp_path_factory.mktemp("fleet"), 2)
    assert isinstance(fleet, NamedFleet)
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def by_steps(bare: NamedFleet) -> list[tuple[Run, set[str]]]:
    """The rollout, tag after tag; each run with the files that are there after it."""
    tags = ("gather", "identity", "publish", "node")
    return [(bare.run("site", "--tags", tag), set(bare.files())) for tag in tags]


@pytest.fixture
def fleet(bare: NamedFleet, by_steps: list[tuple[Run, set[str]]]) -> NamedFleet:
    assert [run.code for run, _ in by_steps] == [0] * 4, "\n".join(run.output for run, _ in by_steps)
    return bare


def _ran(run: Run) -> set[str]:
    """The files' subjects of the tasks that at least one host carried out."""
    tasks = re.findall(r"^TASK \[(?:[\w.]+ : )?(\w+) \|.*\n(?:.*\n)?(?:ok|changed):", run.output, re.MULTILINE)
    return set(tasks)


def _ids(fleet: Fleet) -> dict[str, str]:
    return {host: read_secret_key(fleet.root / host / KEY_FILE_NAME).public().base64 for host in HOSTS}


def test_each_step_by_its_tag_brings_a_fleet_as_far_as_its_name_says(
    fleet: NamedFleet, by_steps: list[tuple[Run, set[str]]]
) -> None:
    key, peers, socket = "node1/iroh-secret-key", "node1/discovery-peers.json", "node1/agent.sock"
    known = [{name for name in (key, peers, socket) if name in left} for _, left in by_steps]

    assert known == [set(), {key}, {key, peers}, {key, peers, socket}]
    assert fleet.report()["summary"]["reached"] == 2, "nodes that were started are checked"


def test_a_check_by_its_tag_looks_at_no_host_and_skipping_it_checks_nothing(fleet: NamedFleet) -> None:
    alone = fleet.run("site", "--tags", "check")
    assert alone.code == 0, alone.output
    assert _ran(alone) == {"Preflight", "Places", "Connectivity"}

    rest = fleet.run("site", "--skip-tags", "check,publish")
    assert rest.code == 0, rest.output
    assert "Look" in _ran(rest)
    assert _ran(rest).isdisjoint({"Connectivity", "Publish", "Record"})


@pytest.mark.parametrize(
    ("playbook", "selection", "line"),
    [
        ("site", ("--tags", "peers"), "--tags peers: this playbook has no such step; its steps are install, gather,"),
        ("site", ("--skip-tags", "peers"), "--skip-tags peers: this playbook has no such step"),
        ("site", ("--skip-tags", "gather"), "--skip-tags gather: identity, publish, node cannot do without it"),
        ("site", ("--tags", "untagged"), "--tags untagged: nothing is left to do"),
        ("check", ("--tags", "peers"), "--tags peers: this playbook has no such step; it runs as a whole"),
        ("peers", ("--tags", "publish"), "--tags publish: this playbook has no such step; it runs as a whole"),
        ("rotate", ("--tags", "node"), "--tags node: this playbook has no such step; it runs as a whole"),
        ("decommission", ("--tags", "peers"), "--tags peers: this playbook has no such step; it runs as a whole"),
    ],
)
def test_tags_that_would_not_do_what_they_say_are_refused_in_one_line(
    fleet: NamedFleet, playbook: str, selection: tuple[str, str], line: str
) -> None:
    before = fleet.files()

    run = fleet.run(playbook, *selection)

    assert run.code != 0
    assert line in run.words
    assert fleet.settled().keys() == {name for name in before if not name.endswith(("agent.log", "report.json"))}


def test_as_a_part_of_another_playbook_it_leaves_the_tags_of_others_alone_and_follows_its_own(
    fleet: NamedFleet, tmp_path: Path
) -> None:
    plays = [
        {"import_playbook": str(PROJECT / "playbooks" / "site.yml"), "tags": ["fleet"]},
        {"hosts": "cluster", "gather_facts": False, "tasks": [{"name": "Web", "debug": {}, "tags": ["web"]}]},
    ]
    (tmp_path / "all.yml").write_text(yaml.safe_dump(plays))

    others = fleet.run(tmp_path / "all.yml", "--tags", "web")
    own = fleet.run(tmp_path / "all.yml", "--tags", "fleet")

    assert others.code == own.code == 0, others.output + own.output
    assert _ran(others) == {"Preflight", "Places"}
    assert {"Look", "Record", "Connectivity"} <= _ran(own)


def test_nodes_that_go_down_in_batches_are_not_restarted_without_the_check_between_them(fleet: NamedFleet) -> None:
    run = fleet.run("site", "--skip-tags", "check", "-e", "blixard_serial=1")

    assert run.code != 0
    assert "each batch is checked before the next; leave out --skip-tags check" in run.words


def test_a_limit_keeps_a_change_that_everybody_must_hear_of_from_beginning(fleet: NamedFleet) -> None:
    for host in HOSTS:
        os.utime(fleet.root / host / KEY_FILE_NAME, (1, 1))
    before, ids = fleet.settled(), _ids(fleet)

    rotation = fleet.run("rotate", "--limit", "node2")
    # Here the pattern is what leaves a host out, and the record alone knows better.
    by_pattern = fleet.play("rotate", "-e", '{"blixard_hosts": ["node2"]}')
    leaving = fleet.run("decommission", "-e", "blixard_decommission=node2", "--limit", "node2")

    assert all(run.code != 0 for run in (rotation, by_pattern, leaving))
    heard = "node1: not in this run, and everybody must hear of"
    assert f"{heard} a new key; run this without --limit and choose with -e blixard_rotate=node3" in rotation.words
    assert f"{heard} a new key" in by_pattern.words
    assert f"{heard} who leaves; run this without --limit and choose with -e blixard_decommission" in leaving.words
    assert (fleet.settled(), _ids(fleet)) == (before, ids)


def test_a_rotation_of_a_fleet_with_another_name_tells_every_host(fleet: NamedFleet) -> None:
    before = _ids(fleet)

    run = fleet.run("rotate", "-e", "blixard_rotate=node2")

    assert run.code == 0, run.output
    after = _ids(fleet)
    assert (after["node1"], after["node2"] != before["node2"]) == (before["node1"], True)
    assert {name: entry.iroh_node_id for name, entry in read_record(fleet.registry).items()} == after
    assert fleet.report()["summary"]["reached"] == 2


@pytest.mark.parametrize("playbook", ["site", "check", "peers", "rotate", "decommission"])
def test_without_the_name_of_the_group_nothing_ends_green(fleet: NamedFleet, playbook: str) -> None:
    run = fleet.play(playbook)

    assert run.code != 0
    assert "there is no group blixard; set blixard_hosts to the group that is the fleet" in run.words
