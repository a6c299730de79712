# SPDX-License-Identifier: MIT
"""Who belongs to the fleet, whatever its group is called and whatever the run is limited to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import attested

from blixard.documents.registry_file import write_registry
from blixard.errors import InputError
from blixard.fleet.membership import fleet_hosts, left_out, names, pattern
from blixard.model.entry import NodeRegistryEntry


def missing(record: Path, **more: Any) -> list[str]:
    given: dict[str, Any] = {"fleet": [], "states": {}, "inventory": ["one", "two", "new"], "playing": ["two"]}
    return left_out(str(record), **{**given, **more})


@pytest.fixture
def record(tmp_path: Path) -> Path:
    gone = NodeRegistryEntry.from_json({**attested(3).to_json(), "state": "absent"})
    for name, member in (("one", attested(1)), ("two", attested(2)), ("gone", gone), ("lost", attested(4))):
        write_registry(tmp_path / f"{name}.json", member)
    return tmp_path


def test_names_are_a_list_or_a_text_with_commas() -> None:
    assert names("node1, node2,") == ["node1", "node2"]
    assert names(["node1"]) == ["node1"]
    assert names("") == names([]) == []


def test_hosts_by_name_are_a_pattern_and_no_hosts_match_nothing() -> None:
    assert pattern(["a", "b"]) == pattern("a, b") == "a,b"
    assert pattern("") == pattern([]) == pattern(None) == "all:!all"


def test_a_member_that_a_limit_leaves_out_is_named_whatever_its_group_is_called(record: Path) -> None:
    assert missing(record) == ["one"]
    assert missing(record, playing=["one", "two"]) == []


def test_a_host_that_the_pattern_names_is_missed_though_no_record_has_it(record: Path) -> None:
    assert missing(record, fleet=["two", "new"], playing=["one", "two"]) == ["new"]
    assert missing(record / "none yet", fleet=["two", "new"]) == ["new"]


def test_who_has_left_or_leaves_now_or_has_no_host_is_not_missed(record: Path) -> None:
    assert missing(record, inventory=["one", "two", "gone"]) == ["one"], "lost has no host, gone has left"
    assert missing(record, states={"one": "absent"}) == []
    assert missing(record, leaving=["one"]) == []


def test_the_fleet_is_what_was_chosen_or_else_a_group_that_there_is() -> None:
    groups: dict[str, list[str]] = {"all": ["a", "b"], "cluster": ["a", "b"]}
    assert fleet_hosts("cluster", groups) == "cluster"
    assert fleet_hosts(["a", "b"], groups) == ["a", "b"]
    assert fleet_hosts(None, {**groups, "blixard": ["a"]}) == "blixard"
    assert fleet_hosts(["blixard"], {"all": ["blixard"]}) == "blixard", "a host may be called so"
    for default in (None, "blixard", ["blixard"]):
        with pytest.raises(InputError, match=r"there is no group blixard.*-e blixard_hosts=GROUP"):
            fleet_hosts(default, groups)
