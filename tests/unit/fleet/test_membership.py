# SPDX-License-Identifier: MIT
"""Who belongs to the fleet, whatever its group is called and whatever the run is limited to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import attested
from tests.unit.fleet.host_views import by_name

from blixard.documents.registry_file import write_registry
from blixard.errors import InputError
from blixard.fleet.host_view import HostView
from blixard.fleet.membership import (
    fleet_hosts,
    left_out,
    names,
    pattern,
    refuse_leaving,
    refuse_left_out,
    refuse_unknown,
    strangers,
    untold,
)
from blixard.model.entry import NodeRegistryEntry


def missing(record: Path, **more: Any) -> list[str]:
    given: dict[str, Any] = {"fleet": [], "inventory": present("one", "two", "new"), "playing": ["two"]}
    return left_out(str(record), **{**given, **more})


def present(*hosts: str) -> dict[str, HostView]:
    return by_name(*map(HostView, hosts))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    gone = NodeRegistryEntry.from_json({**attested(3).to_json(), "state": "absent"})
    for name, member in (("one", attested(1)), ("two", attested(2)), ("gone", gone), ("lost", attested(4))):
        write_registry(tmp_path / f"{name}.json", member)
    return tmp_path


def test_names_are_a_list_or_a_text_with_commas() -> None:
    assert names("node1, node2,") == ["node1", "node2"]
    assert names(["node1"]) == ["node1"]
    assert names('["node1", "node2"]') == ["node1", "node2"]
    assert names("[ab]*,node1") == ["[ab]*", "node1"]
    assert names(7) == ["7"]
    assert names("") == names([]) == names(None) == []


def test_hosts_by_name_are_a_pattern_and_no_hosts_match_nothing() -> None:
    assert pattern(["a", "b"]) == pattern("a, b") == "a,b"
    assert pattern("") == pattern([]) == pattern(None) == "all:!all"


def test_a_member_that_a_limit_leaves_out_is_named_whatever_its_group_is_called(record: Path) -> None:
    assert missing(record) == ["one"]
    assert missing(record, playing=["one", "two"]) == []


def test_who_is_no_member_of_the_record_is_a_stranger(record: Path) -> None:
    assert strangers(["one", "new", "gone", "two"], str(record)) == ["gone", "new"]
    assert strangers(["one"], str(record / "none yet")) == ["one"]


def test_a_host_that_the_pattern_names_is_missed_though_no_record_has_it(record: Path) -> None:
    assert missing(record, fleet=["two", "new"], playing=["one", "two"]) == ["new"]
    assert missing(record / "none yet", fleet=["two", "new"]) == ["new"]


def test_who_has_left_or_leaves_now_or_has_no_host_is_not_missed(record: Path) -> None:
    assert missing(record, inventory=present("one", "two", "gone")) == ["one"], "lost has no host, gone has left"
    assert missing(record, inventory=by_name(HostView("one", state="absent"))) == []
    assert missing(record, leaving=["one"]) == []


def test_the_fleet_is_what_was_chosen_or_else_a_group_that_there_is() -> None:
    def everybody(pattern: str, limit: str) -> list[str]:
        return ["a", "b"]

    assert fleet_hosts("cluster", "", ["all", "cluster"], everybody) == "cluster"
    assert fleet_hosts(["a", "b"], "", ["all"], everybody) == "a,b"
    assert fleet_hosts(None, "", ["all", "blixard"], everybody) == "blixard"
    assert fleet_hosts(["blixard"], "", ["all"], everybody) == "blixard", "a host may be called so"
    for default in (None, "blixard", ["blixard"]):
        with pytest.raises(InputError, match=r"there is no group blixard.*-e blixard_hosts=GROUP"):
            fleet_hosts(default, "", ["all"], lambda pattern, limit: [])


def test_a_run_that_no_host_takes_part_in_is_refused() -> None:
    def only_a(pattern: str, limit: str) -> list[str]:
        return ["a"] if pattern == "cluster" and limit in ("", "a") else []

    assert fleet_hosts("cluster", "a", ["cluster"], only_a) == "cluster"
    with pytest.raises(InputError, match=r'no host is in "nosuch"; set blixard_hosts'):
        fleet_hosts("nosuch", "", ["cluster"], only_a)
    with pytest.raises(InputError, match=r"--limit router leaves no host of the fleet; the fleet is \"cluster\""):
        fleet_hosts("cluster", "router", ["cluster"], only_a)


def test_a_change_that_some_would_not_hear_of_is_refused_with_their_names() -> None:
    assert refuse_left_out([], "a new key", "blixard_rotate") is None
    assert refuse_left_out(["n2", "n3"], "a new key", "blixard_rotate") == (
        "n2, n3: not in this run, and everybody must hear of a new key; run this without --limit and choose with -e"
        " blixard_rotate=node3"
    )


def test_who_leaves_is_named_and_nobody_joins_through_it() -> None:
    assert refuse_leaving(["a", "b"], ["c"]) is None
    assert "-e blixard_decommission=" in str(refuse_leaving([], ["c"]))
    assert str(refuse_leaving(["a", "b"], ["b", "c"])).startswith("b: others join through it")


def test_who_leaves_is_a_member_of_the_record() -> None:
    assert refuse_unknown(["a"], ["b", "a"], "/record") is None
    assert refuse_unknown(["a", "x"], ["b", "a"], "/record") == "x: not in /record; it has a, b"


def test_who_may_still_let_a_departed_node_in_is_named_with_the_reason() -> None:
    def told(name: str, **answer: Any) -> HostView:
        said = {"peers": [1, 2], "problems": [], "running": True, **answer}
        return HostView(name, variables={"__blixard_told": said})

    hosts = [
        told("good"),
        told("knows", peers=[1, 9]),
        told("refuses", problems=["does not take its peers file: it is unsigned"]),
        HostView("dead", variables={"__blixard_told": {"unreachable": True, "msg": "no route"}}),
        HostView("silent"),
        HostView("rust", managed=False),
        HostView("left", state="absent"),
    ]
    assert untold(hosts, [9]) == [
        "knows: its node still knows node 9",
        "refuses: does not take its peers file: it is unsigned",
        "dead: no route",
        "silent: could not be reached",
    ]
