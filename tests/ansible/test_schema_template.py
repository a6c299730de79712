# SPDX-License-Identifier: MIT
"""schema_template: what breaks its schema goes nowhere, what fits goes the way of ansible.builtin.copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import Fleet, Run
from tests.unit.documents.samples import attested

ENTRY = json.dumps(attested(1).to_json(), indent=2) + "\n"


class Stage:
    """Runs schema_template tasks against one host."""

    def __init__(self, fleet: Fleet, room: Path) -> None:
        self.fleet = fleet
        self.room = room
        self.dest = fleet.root / "document.json"

    def run(self, *tasks: dict[str, Any], arguments: tuple[str, ...] = ()) -> Run:
        playbook = self.room / "play.yml"
        steps = [step for task in tasks for step in (task, {"ansible.builtin.debug": {"var": "done"}})]
        playbook.write_text(yaml.safe_dump([{"hosts": "blixard", "gather_facts": False, "tasks": steps}]))
        return self.fleet.play(playbook, *arguments)

    def task(self, template: str, **options: Any) -> dict[str, Any]:
        """A task that renders `template`."""
        number = len(list(self.room.glob("*.j2")))
        source = self.room / f"document{number}.json.j2"
        source.write_text(template)
        given = {"src": str(source), "dest": str(self.dest), "schema": "node-registry", "mode": "0640", **options}
        return {"schema_template": given, "register": "done"}


@pytest.fixture
def stage(new_fleet: NewFleet, tmp_path: Path) -> Stage:
    return Stage(new_fleet(1), tmp_path)


@pytest.mark.parametrize(
    ("template", "place"),
    [
        (ENTRY.replace('"cluster_node_id": 1', '"cluster_node_id": "one"'), "/cluster_node_id: "),
        (ENTRY.replace("192.168.1.1:7001", "host.example.org:7001", 1), "/direct_addresses/0: "),
        (ENTRY.replace('"relay_url"', '"relay_url": null, "relay_url"'), "relay_url"),
        ("{{ 'not JSON' }}", "document.json: "),
    ],
)
def test_a_document_that_is_no_good_is_refused_by_place_and_nothing_is_written(
    stage: Stage, template: str, place: str
) -> None:
    run = stage.run(stage.task(template))

    assert run.code != 0
    assert "gives no good node-registry: " in run.output
    assert place in run.output
    assert "Traceback" not in run.output
    assert stage.fleet.files() == {}


def test_a_good_document_is_written_once_with_mode_diff_and_backup_as_copy_does(stage: Stage) -> None:
    would = stage.run(stage.task(ENTRY), arguments=("--check", "--diff"))
    assert (would.code, would.changed) == (0, {"node1": 1}), would.output
    assert '+  "cluster_node_id": 1,' in would.output
    assert stage.fleet.files() == {}

    moved = ENTRY.replace('"relay_url": "https://relay.example.org"', '"relay_url": null')
    unsigned = json.dumps({name: value for name, value in json.loads(moved).items() if name != "attestation"}) + "\n"
    run = stage.run(stage.task(ENTRY), stage.task(ENTRY), stage.task(unsigned, backup=True), arguments=("--diff",))

    assert (run.code, run.changed) == (0, {"node1": 2}), run.output
    assert stage.dest.read_text() == unsigned
    assert stage.dest.stat().st_mode & 0o777 == 0o640
    assert [path.read_text() for path in stage.fleet.root.glob("document.json.*~")] == [ENTRY]


def test_what_is_observed_to_be_there_is_not_sent_again(stage: Stage) -> None:
    stage.dest.write_text(ENTRY)
    stage.dest.chmod(0o640)
    observed = "{{ '" + str(stage.dest) + "' | blixard.fleet.observe }}"

    same = stage.run(stage.task(ENTRY, observed=observed), arguments=("-vvv",))
    assert (same.code, same.changed) == (0, {"node1": 0}), same.output
    assert "Using module file" not in same.output

    other_mode = stage.run(stage.task(ENTRY, observed=observed, mode="0600"))
    assert other_mode.changed == {"node1": 1}
    assert stage.dest.stat().st_mode & 0o777 == 0o600


def test_a_schema_of_ones_own_is_given_by_path_and_includes_are_found_beside_the_template(stage: Stage) -> None:
    schema = stage.room / "own.schema.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"size": {"type": "integer", "maximum": 9}}}))
    (stage.room / "size.j2").write_text("{{ size }}")
    template = '{"size": {% include "size.j2" %}}'

    good = {**stage.task(template, schema=str(schema)), "vars": {"size": 9}}
    bad = {**stage.task(template, schema=str(schema)), "vars": {"size": 10}}
    run = stage.run(good, bad)

    assert run.code != 0
    assert f"gives no good {schema}: " in run.output
    assert "/size: " in run.output
    assert stage.dest.read_text() == '{"size": 9}'


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"schema": "no-such-schema"}, "no schema is called"),
        ({"schema": None}, "missing required arguments: schema"),
        ({"src": "missing.json.j2"}, "missing.json.j2"),
        ({"content": "x"}, "content"),
    ],
)
def test_a_task_that_is_written_wrong_is_told_so(stage: Stage, options: dict[str, Any], reason: str) -> None:
    task = stage.task(ENTRY, **options)
    task["schema_template"] = {name: value for name, value in task["schema_template"].items() if value is not None}

    run = stage.run(task)

    assert run.code != 0
    assert reason in run.output
    assert stage.fleet.files() == {}
