# SPDX-License-Identifier: MIT
"""What the role's filters decide: whom a rolling run waits for, who is next for a key, who was not told."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.plugins import find_collection
from tests.unit.documents.samples import attested

from blixard.documents.registry_file import write_registry
from blixard.errors import InputError
from blixard.model.entry import NodeRegistryEntry

PLUGIN = Path(__file__).resolve().parents[3] / "filter_plugins" / "blixard.py"


@pytest.fixture(scope="module")
def filters() -> Any:
    find_collection()
    spec = importlib.util.spec_from_file_location("blixard_filters", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module, ModuleType)
    return module


def up(node_id: int, connected: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    look = {"agent": {"state": "running", "connected": list(connected)}}
    return {"blixard_node_id": node_id, "__blixard_look": look, **more}


def down(node_id: int, **more: Any) -> dict[str, Any]:
    return {"blixard_node_id": node_id, "__blixard_look": {"agent": {"state": "not running"}}, **more}


REPORT: dict[str, Any] = {"__blixard_connectivity": {"report": {"edges": []}}}


def test_a_report_leaves_out_hosts_that_have_left_and_names_those_that_were_not_reached(filters: Any) -> None:
    hosts = {"a": up(1), "gone": up(3, blixard_state="absent"), "rust": up(4, blixard_node_manage=False)}
    report = filters.report(hosts, list(hosts), {1: "a"}, "test")
    assert [(node["name"], node["agent"]) for node in report["nodes"]] == [("a", "not asked")]


def test_a_batch_that_endangers_the_quorum_is_refused_with_the_number_that_is_safe(filters: Any) -> None:
    hosts = {f"n{number}": up(number, __blixard_restarts=True) for number in range(1, 6)}
    everybody = list(hosts)
    voters = filters.voters(everybody, hosts, "nowhere")
    assert filters.rolling_risk(hosts, voters, everybody, ["n1", "n2"]) is None
    assert "blixard_serial to 2 or less" in filters.rolling_risk(hosts, voters, everybody, ["n1", "n2", "n3"])
    hosts["n5"] = down(5, __blixard_restarts=False)
    assert filters.rolling_risk(hosts, voters, everybody, ["n1"]) is None
    assert "while n5 is down already" in filters.rolling_risk(hosts, voters, everybody, ["n1", "n2"])
    hosts["n4"] = {"blixard_node_id": 4}
    assert "bring those back first, with --limit n4,n5" in filters.rolling_risk(hosts, voters, everybody, ["n1"])
    assert filters.rolling_risk(hosts, voters, everybody, ["n5"]) is None, "starting a node is always safe"


def test_a_voter_outside_of_the_run_counts_as_its_peers_see_it(filters: Any) -> None:
    hosts = {"n1": up(1, (2, 3), __blixard_restarts=True), "n2": {"blixard_node_id": 2}, "n3": {"blixard_node_id": 3}}
    voters = filters.voters(list(hosts), hosts, "nowhere")
    assert filters.rolling_risk(hosts, voters, ["n1"], ["n1"]) is None
    hosts["n1"] = up(1, (2,), __blixard_restarts=True)
    assert "while n3 is down already" in filters.rolling_risk(hosts, voters, ["n1"], ["n1"])


def test_what_the_check_of_a_batch_found_counts_more_than_what_was_seen_before(filters: Any) -> None:
    edges = [{"to": 2, "reached": True}, {"to": 3, "reached": False}]
    found = {"report": {"nodes": [{"agent": "running"}], "edges": edges}}
    hosts = {"n1": up(1, (2, 3), __blixard_connectivity=found), "n2": {"blixard_node_id": 2}}
    hosts |= {"n3": {"blixard_node_id": 3}, "n4": up(4, (2, 3), __blixard_restarts=True)}
    voters = filters.voters(["n1", "n3", "n4"], hosts, "nowhere")
    assert "while n3 is down already" in filters.rolling_risk(hosts, voters, ["n1", "n4"], ["n4"])


def test_the_word_of_one_host_alone_makes_no_voter_alive_where_others_could_say_so_too(filters: Any) -> None:
    hosts = {f"n{number}": up(number, __blixard_restarts=True) for number in (1, 2, 3)}
    hosts |= {"n4": {"blixard_node_id": 4}, "n5": {"blixard_node_id": 5}}
    voters, asked = filters.voters(list(hosts), hosts, "nowhere"), ["n1", "n2", "n3"]
    hosts["n1"] = up(1, (2, 3, 4, 5), __blixard_restarts=True)
    assert "while n4, n5 are down already" in filters.rolling_risk(hosts, voters, asked, ["n2"])
    hosts["n2"] = up(2, (1, 3, 4, 5), __blixard_restarts=True)
    assert filters.rolling_risk(hosts, voters, asked, ["n3"]) is None


def test_who_votes_is_who_was_named_or_every_present_member_of_the_record(filters: Any, tmp_path: Path) -> None:
    draining = NodeRegistryEntry.from_json({**attested(2).to_json(), "state": "draining"})
    for name, member in (("one", attested(1)), ("two", draining)):
        write_registry(tmp_path / f"{name}.json", member)

    assert filters.voters(["all"], {}, str(tmp_path)) == {"ids": {"one": 1}, "declared": False}
    assert filters.voters(["all"], {}, str(tmp_path / "none yet")) == {"ids": {}, "declared": False}
    assert filters.voters(["a"], {"a": up(7)}, str(tmp_path)) == {"ids": {"a": 7}, "declared": True}
    assert filters.voters([], {}, str(tmp_path)) == {"ids": {}, "declared": True}
    with pytest.raises(InputError, match="blixard_voters: no such host: b"):
        filters.voters(["a", "b"], {"a": up(7)}, str(tmp_path))


def test_a_node_that_this_run_brought_up_is_up_and_one_that_was_checked_without_running_is_not(filters: Any) -> None:
    came = {"__blixard_connectivity": {"report": {"nodes": [{"agent": "running"}], "edges": []}}}
    not_there = {"__blixard_connectivity": {"report": {"nodes": [{"agent": "not running"}], "edges": []}}}
    hosts = {"n1": up(1, __blixard_restarts=True), "n2": down(2, **came), "n3": down(3, **came)}
    voters = filters.voters(list(hosts), hosts, "nowhere")
    assert filters.rolling_risk(hosts, voters, list(hosts), ["n1"]) is None
    hosts["n3"] = down(3, **not_there)
    assert "n3 is down already" in filters.rolling_risk(hosts, voters, list(hosts), ["n1"])


def test_the_play_that_rolls_out_learns_its_batches_from_any_host_that_knows(filters: Any) -> None:
    assert filters.batch_size({"a": {}, "b": {"__blixard_rolling": {"serial": 2}}}) == 2
    assert filters.batch_size({"a": {}}) == "100%"


def test_a_rotation_finishes_what_is_half_through_and_then_goes_on_in_batches(filters: Any) -> None:
    def state(**values: Any) -> dict[str, Any]:
        return {
            "__blixard_key_state": {"due": False, "new": None, "restart": False, **values},
            "blixard_rotate_batch": 2,
        }

    hosts = {
        "a": state(),
        "b": state(due=True),
        "c": state(due=True),
        "swapped": state(restart=True),
        "made": state(due=True, new="id"),
        "d": state(due=True),
    }
    order = filters.rotation_order(hosts, list(hosts), [])
    assert (order["begun"], order["due"]) == (["swapped", "made"], ["b", "c", "d"])
    assert order["batches"] == [["swapped", "made"], ["b", "c"], ["d"]]
    assert filters.rotation_order(hosts, list(hosts), ["d"])["all"] == ["swapped", "made", "d"]


def test_a_rotating_batch_spares_the_quorum_where_there_is_something_to_spare(filters: Any) -> None:
    five = [f"n{number}" for number in range(5)]

    def risks(names: list[str], *batches: list[str]) -> list[str]:
        voters = filters.voters(names, {name: up(number) for number, name in enumerate(names)}, "nowhere")
        return list(filters.rotation_risks(voters, {"batches": batches}))

    assert risks(five, five[:2], five[2:4]) == []
    assert "set blixard_rotate_batch to 2" in risks(five, five[:3])[0]
    assert risks(five[:2], ["n0"], ["n1"]) == []
    assert "set blixard_rotate_batch to 1" in risks(five[:2], ["n0", "n1"])[0]


def test_who_may_still_let_a_departed_node_in_is_named_with_the_reason(filters: Any) -> None:
    def told(**answer: Any) -> dict[str, Any]:
        return {"__blixard_told": {"peers": [1, 2], "problems": [], "running": True, **answer}}

    hosts = {
        "good": told(),
        "knows": told(peers=[1, 9]),
        "refuses": told(problems=["does not take its peers file: it is unsigned"]),
        "dead": {"__blixard_told": {"unreachable": True, "msg": "no route"}},
        "silent": {},
        "rust": {"blixard_node_manage": False},
        "left": {"blixard_state": "absent"},
    }
    assert filters.untold(hosts, list(hosts), [9]) == [
        "knows: its node still knows node 9",
        "refuses: does not take its peers file: it is unsigned",
        "dead: no route",
        "silent: could not be reached",
    ]


def test_two_entries_are_the_same_when_they_say_the_same_of_their_node(filters: Any) -> None:
    one = attested(1).to_json()

    assert filters.same_entry(one, {**one, "zone": "b", "state": "draining"})
    assert not filters.same_entry(one, {**one, "address": "192.0.2.9:7001"})
    assert not filters.same_entry(one, {**one, "attestation": None})


def test_a_host_whose_look_failed_is_no_trouble_for_the_report_of_the_others(filters: Any) -> None:
    hosts: dict[str, Any] = {"bad": {"blixard_node_id": 1, "__blixard_look": {"failed": True, "msg": "\x1b[2J"}}}

    report = filters.report(hosts, [], {1: "bad"}, "test", ["bad"])
    hosts["bad"]["__blixard_connectivity"] = {"msg": "\x1b[2J"}
    asked = filters.report(hosts, ["bad"], {}, "test")

    assert report["nodes"] == []
    assert asked["nodes"][0]["error"] == r"\x1b[2J"
