# SPDX-License-Identifier: MIT
"""A host that was taken over answers whatever it likes: it is one lost host, and runs nothing on the controller."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.fleet import BIN, Fleet, Run

from blixard.documents.record import read_record

# Stands in for the Python in blixard_venv. `lie` is the body of a function that is given the honest answer, to an
# operation of blixard.fleet.host or of an Ansible module, and returns what is printed.
EVIL_PYTHON = """\
#!{python} -I
import json, subprocess, sys
REAL, CANARY = {python!r}, {canary!r}
PIPE = "{{{{ lookup('pipe', 'touch " + CANARY + "') }}}}"
arguments = sys.argv[1:]
is_module = "blixard.fleet.host" not in arguments
operation = "module" if is_module else arguments[arguments.index("blixard.fleet.host") + 1]
done = subprocess.run([REAL, *arguments], stdin=sys.stdin, stdout=subprocess.PIPE)
def lie(operation, said):
{lie}
said = lie(operation, json.loads(done.stdout.decode().splitlines()[-1]))
sys.stdout.write(said if isinstance(said, str) else json.dumps(said) + "\\n")
"""

# Everything that Ansible does something about in the result of an action, and templates wherever there is text.
ADD = """\
host = {"host_name": "planted", "groups": ["blixard"], "host_vars": {
    "ansible_connection": "ssh", "ansible_ssh_common_args": "-o ProxyCommand='touch " + CANARY + "'",
    "blixard_node_id": 9, "blixard_service_manager": PIPE}}
variables = {name: CANARY for name in (
    "blixard_peers_file", "blixard_report_file", "blixard_record_dir", "blixard_registry_dir", "blixard_fleet_dir",
    "blixard_build_dir", "blixard_fleet_key_file", "blixard_data_dir", "ansible_playbook_python",
    "ansible_python_interpreter")}
variables |= {"blixard_cluster": PIPE, "blixard_max_removals": 100, "blixard_drain_command": ["touch", CANARY],
    "blixard_serial": PIPE, "blixard_join": ["../../" + CANARY], "__blixard_run_tasks": {"process": CANARY}}
said |= {"add_host": host, "add_group": "blixard", "parent_groups": ["all"], "ansible_facts": variables,
    "ansible_included_var_files": [CANARY], "ansible_stats": {"data": {PIPE: PIPE}}, "_ansible_notify": [PIPE],
    "_ansible_facts_cacheable": True, "_ansible_delegated_vars": {"ansible_host": PIPE}, "include": CANARY,
    "invocation": {"module_args": PIPE}, "deprecations": [{"msg": PIPE}], "diff": {"prepared": PIPE}, PIPE: PIPE}
if operation == "look":
    said["version"] = PIPE
    said["agent"]["version"] = PIPE
    said["key"]["owner"] = PIPE
    for seen in said["files"].values():
        seen["path"] = CANARY
    if said["entry"]:
        said["entry"]["all"] = {"vars": {"blixard_cluster": PIPE}}
        said["entry"]["state"] = "absent"
if operation == "check":
    said["report"]["nodes"][0] |= {"version": PIPE, "name": "planted", "add_host": host}
    for edge in said["report"]["edges"]:
        edge |= {"from_name": PIPE, "state": "connected"}
return said
"""

# An honest start, and then edges of other nodes.
SPEAK_FOR_OTHERS = """\
if operation == "check":
    edges = said["report"]["edges"]
    said["report"]["edges"] = [{**edge, "from": 2, "reached": False} for edge in edges]
return said
"""

FLOOD = """\
if operation == "look":
    sys.stderr.write("\\x1b[2J" + PIPE + "\\n")
    return '{"entry": "' + "\\x1b]0;owned\\x07" * 500_000 + '"}\\n'
return said
"""

GROAN = """\
return {"failed": True, "msg": "\\x1b[2J\\x1b]0;owned\\x07" + PIPE + "\\n" + "line\\n" * 100_000, "skipped": True}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Give a fleet of three whose first host, whose variables count where a task runs once, was taken over."""
    fleet = Fleet.of(tmp_path, 3)
    venv = tmp_path / "taken"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "blixard").symlink_to(BIN / "blixard")
    fleet.hosts["node1"]["blixard_venv"] = str(venv)
    yield fleet
    fleet.stop()


def _canary(fleet: Fleet) -> Path:
    return fleet.root / "canary"


def _lie(fleet: Fleet, body: str) -> None:
    python = fleet.root / "taken" / "bin" / "python"
    lie = textwrap.indent(body, "    ")
    python.write_text(EVIL_PYTHON.format(python=sys.executable, canary=str(_canary(fleet)), lie=lie))
    python.chmod(0o755)


def _assert_nothing_ran(fleet: Fleet, run: Run) -> None:
    assert not _canary(fleet).exists()
    assert "planted" not in run.output.split("PLAY RECAP")[1]
    assert "\x1b" not in run.output
    assert "\x07" not in run.output
    assert "Traceback" not in run.output


def test_whatever_a_host_adds_to_its_answers_nothing_of_it_reaches_the_controller_or_other_hosts(fleet: Fleet) -> None:
    _lie(fleet, ADD)

    rolled_out = fleet.play("site", "--diff")

    _assert_nothing_ran(fleet, rolled_out)
    assert rolled_out.code == 0, rolled_out.output
    assert "node1: left out of its answer, as nobody asked for it: /add_host" in rolled_out.words
    record = read_record(fleet.registry)
    assert {name: dict(entry.extra) for name, entry in record.items()} == {"node1": {}, "node2": {}, "node3": {}}
    assert fleet.report()["summary"]["reached"] == 6
    assert {node["name"] for node in fleet.report()["nodes"]} == set(fleet.hosts)

    # From here on it lies about what is checked, and then about everything.
    _lie(fleet, SPEAK_FOR_OTHERS)
    checked = fleet.play("check")
    _assert_nothing_ran(fleet, checked)
    assert checked.code != 0
    assert "node1 (node 1): could not be asked: node1: its answer to check cannot be used: /report/edges/0/from" in (
        checked.words
    )
    edges = {(edge["from"], edge["to"]): edge["reached"] for edge in fleet.report()["edges"]}
    assert edges == dict.fromkeys([(2, 1), (2, 3), (3, 1), (3, 2)], True)

    for body, said in ((FLOOD, "node1: its answer to look cannot be used"), (GROAN, r"\x1b[2J\x1b]0;owned\x07")):
        _lie(fleet, body)
        record_before = read_record(fleet.registry)
        alone = fleet.play("site")
        _assert_nothing_ran(fleet, alone)
        assert alone.changed == {"node1": 0, "node2": 0, "node3": 0}
        assert said in alone.words[alone.words.index("fatal: [node1]") :]
        # The others go on to the end of the run, where the check says who is missing.
        assert "node1 (node 1): could not be asked: it left the run before the check" in alone.words
        edges = {(edge["from"], edge["to"]): edge["reached"] for edge in fleet.report()["edges"]}
        assert edges == dict.fromkeys([(2, 1), (2, 3), (3, 1), (3, 2)], True)
        assert len(alone.output) < 60_000
        assert read_record(fleet.registry) == record_before


def test_where_facts_are_variables_a_host_sets_none_since_no_module_runs_on_it(fleet: Fleet) -> None:
    _lie(fleet, ADD)

    run = fleet.play("site", environment={"ANSIBLE_INJECT_FACT_VARS": "true"})

    _assert_nothing_ran(fleet, run)
    assert run.code == 0, run.output
    assert set(read_record(fleet.registry)) == {"node1", "node2", "node3"}
    assert fleet.report()["summary"]["reached"] == 6
