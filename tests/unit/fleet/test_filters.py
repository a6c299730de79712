# SPDX-License-Identifier: MIT
"""What the filter plugin itself does: it reads Ansible's variables, and words errors as Ansible shows them."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.browser.reports import one_way, report
from tests.plugins import find_collection

from blixard.pages.mesh_page import mesh_page

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = Path(__file__).resolve().parents[3] / "filter_plugins" / "blixard.py"

Filters = dict[str, "Callable[..., Any]"]


@pytest.fixture(scope="module")
def filters() -> Filters:
    find_collection()
    spec = importlib.util.spec_from_file_location("blixard_filters", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Filters = module.FilterModule().filters()
    return found


def test_each_filter_is_documented_in_a_file_of_its_name(filters: Filters) -> None:
    assert sorted(path.stem for path in PLUGIN.parent.glob("*.yml")) == sorted(filters)


def test_a_filter_takes_the_arguments_that_its_documentation_names(filters: Filters) -> None:
    taken, documented = {}, {}
    for name, function in filters.items():
        text = yaml.safe_load((PLUGIN.parent / f"{name}.yml").read_text())["DOCUMENTATION"]
        _, *arguments = inspect.signature(function).parameters.values()
        taken[name] = [(each.name, each.default is not inspect.Parameter.empty) for each in arguments]
        options = {each: not spec.get("required", False) for each, spec in text["options"].items() if each != "_input"}
        documented[name] = list(options.items())
        assert text.get("positional", "").split(", ") == [each.name for each in arguments] or not arguments

    assert documented == taken


def test_what_the_inventory_says_of_hosts_is_read_in_each_of_its_spellings(filters: Filters) -> None:
    hosts = {
        "one": {"blixard_node_id": "7", "blixard_node_manage": "no", "blixard_state": "draining"},
        "two": {"blixard_node_id": 8},
        "router": {},
    }

    assert filters["nodes"](hosts) == {
        "one": {"managed": False, "node_id": 7, "state": "draining"},
        "two": {"managed": True, "node_id": 8},
        "router": {"managed": True},
    }


def test_a_number_that_is_none_is_named_with_its_host_in_one_line_of_ansible_s(filters: Filters) -> None:
    from ansible.errors import AnsibleFilterError

    with pytest.raises(AnsibleFilterError, match='blixard_node_id of two: "x" is no number; give each host its own'):
        filters["nodes"]({"two": {"blixard_node_id": "x"}})


def test_a_host_that_returns_variables_of_the_run_as_facts_is_refused(
    filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible import constants as C
    from ansible.errors import AnsibleFilterError

    hosts = {"bad": {"ansible_facts": {"blixard_voters": [], "os": "x"}}, "good": {}}
    monkeypatch.setattr(C, "INJECT_FACTS_AS_VARS", True)

    assert filters["gathered"](hosts, ["good"]) == {}
    with pytest.raises(AnsibleFilterError, match=r"bad: returned variables of this run as facts \(blixard_voters\)"):
        filters["gathered"](hosts, list(hosts))

    monkeypatch.setattr(C, "INJECT_FACTS_AS_VARS", False)
    assert filters["gathered"](hosts, list(hosts)) == {}


def test_a_report_leaves_out_hosts_that_have_left_and_names_those_that_were_not_reached(filters: Filters) -> None:
    hosts = {
        "a": {"blixard_node_id": 1},
        "gone": {"blixard_node_id": 3, "blixard_state": "absent"},
        "rust": {"blixard_node_id": 4, "blixard_node_manage": False},
    }

    report = json.loads(filters["report"](hosts, list(hosts), "test"))

    assert [(node["name"], node["agent"]) for node in report["nodes"]] == [("a", "not asked")]
    assert report["nodes"][0]["error"] == "it left the run before the check"


def test_a_host_whose_look_failed_is_no_trouble_for_the_report_of_the_others(filters: Filters) -> None:
    hosts: dict[str, Any] = {"bad": {"blixard_node_id": 1, "__blixard_look": {"failed": True, "msg": "\x1b[2J"}}}

    report = json.loads(filters["report"](hosts, [], "test", ["bad"]))
    hosts["bad"]["__blixard_connectivity"] = {"msg": "\x1b[2J"}
    asked = json.loads(filters["report"](hosts, ["bad"], "test"))

    assert report["nodes"] == []
    assert asked["nodes"][0]["error"] == r"\x1b[2J"


def test_a_host_joins_through_others_that_stay(filters: Filters) -> None:
    hosts = {"a": {}, "b": {"blixard_state": "draining"}, "c": {"blixard_state": "present"}}

    assert filters["join_files"](["a", "b", "c", "elsewhere"], hosts, "a", "/var/lib/blixard") == {
        "c": "/var/lib/blixard/registry.d/c.json",
        "elsewhere": "/var/lib/blixard/registry.d/elsewhere.json",
    }


def test_what_the_next_keys_gave_is_there_for_the_hosts_that_made_one(filters: Filters) -> None:
    hosts = {"a": {"__blixard_next_key": {"entry": {"x": 1}, "announcement": None}}, "b": {}}

    assert filters["next"](hosts, list(hosts), "entry") == {"a": {"x": 1}}
    assert filters["next"](hosts, list(hosts), "announcement") == {}


def test_who_is_asked_about_a_rotation_is_asked_with_the_smallest_batch_that_a_host_names(filters: Filters) -> None:
    due = {"__blixard_key_state": {"due": True}}
    hosts = {"a": {**due, "blixard_rotate_batch": 3}, "b": {**due, "blixard_rotate_batch": 2}, "c": due | {}}
    hosts["c"] = {**due, "blixard_rotate_batch": "2"}

    assert filters["rotation"](hosts, list(hosts), [], 60)["batches"] == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("chosen", "limit", "pattern"),
    [
        (None, "", "blixard"),
        ("web", "one", "web"),
        ("web", "!two", "web"),
        ("all:!router", "all:!one", "all:!router"),
        (["one", "two"], "", "one,two"),
        ("web:!two", "", "web:!two"),
        ("~tw.*", "web:&blixard", "~tw.*"),
    ],
)
def test_the_fleet_is_the_hosts_that_a_pattern_of_ansible_s_matches(
    filters: Filters, chosen: object, limit: str, pattern: str
) -> None:
    groups = {"all": ["one", "two", "router"], "ungrouped": ["router"], "web": ["one", "two"], "blixard": ["two"]}
    assert filters["hosts"](chosen, groups, limit) == pattern


@pytest.mark.parametrize(
    ("chosen", "limit"),
    [
        ("nosuch", ""),
        ("web:!web", ""),
        ("router:&web", ""),
        (None, "router"),
        (None, "!two"),
        (None, "web:!two"),
        ("web", "nosuch"),
    ],
)
def test_a_pattern_that_leaves_no_host_is_refused(filters: Filters, chosen: object, limit: str) -> None:
    from ansible.errors import AnsibleFilterError

    groups = {"all": ["one", "two", "router"], "ungrouped": ["router"], "web": ["one", "two"], "blixard": ["two"]}
    with pytest.raises(AnsibleFilterError, match="no host"):
        filters["hosts"](chosen, groups, limit)


ROLE_SPECS = """\
argument_specs: {main: {options: {
  blixard_node_id: {type: int, required: true},
  blixard_service_manager: {type: str, choices: [auto, systemd]}}}}
"""


def test_everything_that_is_wrong_in_an_inventory_is_told_at_once(filters: Filters, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "one.json").write_text("<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n")
    for folder, text in (("defaults", "blixard_cluster: blixard"), ("meta", ROLE_SPECS)):
        (tmp_path / "role" / folder).mkdir(parents=True)
        (tmp_path / "role" / folder / ("main.yml" if folder == "defaults" else "argument_specs.yml")).write_text(text)
    hosts = {
        "one": {"blixard_node_id": 1, "blixard_cluster": "a"},
        "two": {"blixard_bind": "x"},
        "router": {"blixard_bind": "x"},
    }
    places = (str(tmp_path / "registry"), str(tmp_path / "peers.json"), str(tmp_path / "role"))

    lines = filters["refused_inventory"](hosts, ["one"], ["one", "two"], "a", *places).splitlines()

    assert lines[0].startswith(f"{tmp_path}/registry/one.json: has the marks of a merge conflict in it")
    assert lines[1].startswith("blixard_cluster is not the same for all hosts: a on one, blixard on two")
    assert lines[2].startswith('blixard_bind of two: "x" is no address to bind')
    assert len(lines) == 3
    (tmp_path / "registry" / "one.json").unlink()
    assert filters["refused_inventory"]({"one": {"blixard_node_id": 1}}, ["one"], ["one"], "blixard", *places) is None

    unlike = {
        name: {"blixard_node_id": number, "blixard_service_manager": "init"} for number, name in enumerate("ab", 1)
    }
    said = filters["refused_inventory"](unlike, ["a", "b"], ["a", "b"], "blixard", *places)
    assert said == "a, b: value of blixard_service_manager must be one of: auto, systemd, got: init"


def test_the_numbers_that_nodes_have_seen_are_those_of_the_hosts_that_are_asked_for(filters: Filters) -> None:
    said = [{"signer": None, "seq": 5}]
    hosts: dict[str, Any] = {
        "a": {"__blixard_look": {"seen": said}},
        "older package": {"__blixard_look": {"agent": {}}},
        "leaves": {"__blixard_look": {"seen": said}},
        "dead": {},
    }

    assert filters["seen"](hosts, ["a", "older package", "dead"]) == {"a": said}


def test_a_host_that_any_other_joins_through_may_not_leave_yet(filters: Filters) -> None:
    hosts = {"a": {"blixard_join": "b, c"}, "b": {}, "c": {"blixard_join": []}}
    assert filters["refused_leaving"](["d"], hosts, []) is None
    for name in ("b", "c"):
        assert filters["refused_leaving"]([name], hosts, []).startswith(f"{name}: others join through it")
    assert filters["refused_leaving"](["d"], hosts, ["d"]).startswith("d: others join through it")


def test_all_in_a_list_of_hosts_means_every_host_that_has_a_node(filters: Filters) -> None:
    hosts: dict[str, dict[str, Any]] = {"a": {"blixard_node_id": 1}, "b": {"blixard_node_id": 2}, "router": {}}
    assert list(filters["join_files"](["all"], hosts, "a", "/data")) == ["b"]
    due = {name: {**variables, "__blixard_key_state": {"due": True}} for name, variables in hosts.items()}
    assert filters["rotation"](due, ["a", "b"], ["all"], 60)["due"] == ["a", "b"]


@pytest.mark.parametrize("last", [None, "{ damaged", json.dumps(report(3))])
def test_the_page_of_a_report_tells_what_changed_where_the_last_report_can_be_read(
    filters: Filters, tmp_path: Path, last: str | None
) -> None:
    if last is not None:
        (tmp_path / "report.json").write_text(last)
    now, before = report(3, one_way(1, 2)), report(3) if last and "damaged" not in last else None
    page = filters["report_page"](json.dumps(now), str(tmp_path / "report.json"))
    assert page.encode() == mesh_page(now, before)
