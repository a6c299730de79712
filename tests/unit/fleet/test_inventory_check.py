# SPDX-License-Identifier: MIT
"""What an inventory says is held against what a run can do, for all hosts at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, attested

from blixard.fleet.inventory_check import troubles
from blixard.model.entry import NodeRegistryEntry

DEFAULTS = {
    "blixard_cluster": "blixard",
    "blixard_prune": False,
    "blixard_voters": ["all"],
    "blixard_fleet_dir": "{{ a template }}",
}
SIGNER = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, 7.1, test 1


def of(hosts: dict[str, dict[str, Any]], **more: Any) -> list[str]:
    hosts = {name: {"blixard_node_id": number, **each} for number, (name, each) in enumerate(hosts.items(), start=1)}
    given: dict[str, Any] = {
        "playing": list(hosts),
        "inventory": list(hosts),
        "members": {},
        "cluster": CLUSTER,
        **more,
    }
    return troubles(hosts, defaults=DEFAULTS, **given)


def both(**variables: Any) -> dict[str, dict[str, Any]]:
    """Two hosts that say the same, each under a number of its own."""
    return {name: {"blixard_node_id": number, **variables} for number, name in enumerate(("one", "two"), start=1)}


def test_an_inventory_that_makes_sense_is_not_spoken_of() -> None:
    assert of({}) == []
    assert of({"one": {}}) == []
    good = both(
        blixard_bind="[::]:7001",
        blixard_relay_url="",
        blixard_advertise_include="10.0.0.0/8, fd00::/8",
        blixard_advertise_extra=["192.0.2.1:7001"],
        blixard_refresh_interval="30",
        blixard_metrics="",
        blixard_trusted_signers=SIGNER,
        blixard_voters="one,two",
        blixard_join=["one"],
        blixard_state="draining",
    )
    assert of(good) == []


@pytest.mark.parametrize(
    ("variable", "one", "two"),
    [
        ("blixard_record_dir", "/berlin/registry", "/office/registry"),
        ("blixard_fleet_dir", "/berlin", "/office"),
        ("blixard_peers_file", "/berlin/peers.json", "/office/peers.json"),
        ("blixard_report_file", "/berlin/report.json", "/office/report.json"),
        ("blixard_cluster", "berlin", "office"),
        ("blixard_admission", "open", "known"),
        ("blixard_voters", "one", "two"),
        ("blixard_max_removals", "1", "2"),
        ("blixard_fleet_key_file", "/berlin/key", "/office/key"),
    ],
)
def test_two_values_of_what_a_fleet_has_one_of_are_named_with_their_hosts(variable: str, one: str, two: str) -> None:
    hosts = both()
    hosts["one"][variable], hosts["two"][variable] = one, two
    (line,) = of(hosts)
    assert line.startswith(f"{variable} is not the same for all hosts: {one} on one, {two} on two; ")


def test_a_host_that_a_limit_leaves_out_counts_for_what_the_fleet_has_one_of_and_not_for_the_run() -> None:
    hosts = {"one": {"blixard_record_dir": "/a", "blixard_package": "x"}, "two": {"blixard_record_dir": "/b"}}
    assert [line.split()[0] for line in of(hosts, playing=["one"])] == ["blixard_record_dir"]
    assert [line.split()[0] for line in of(hosts)] == ["blixard_record_dir", "blixard_package"]


def test_a_value_on_one_host_and_none_on_another_differ_unless_it_is_the_default() -> None:
    assert of({"one": {"blixard_cluster": "blixard"}, "two": {}}) == []
    assert of({"one": {"blixard_voters": "all"}, "two": {}}) == []
    (line,) = of({"one": {"blixard_fleet_dir": "/a"}, "two": {}})
    assert "/a on one, not set on two" in line


def test_spellings_of_one_value_are_one_value() -> None:
    assert of({"one": {"blixard_voters": "one,two"}, "two": {"blixard_voters": ["one", "two"]}}) == []
    assert of({"one": {"blixard_max_removals": "1"}, "two": {"blixard_max_removals": 1}}) == []


def test_values_that_differ_only_where_a_line_has_no_room_differ() -> None:
    signers = ["x" * 300 + letter + "x" * 300 for letter in "ab"]
    (line, *_) = of({"one": {"blixard_fleet_dir": f"/{signers[0]}"}, "two": {"blixard_fleet_dir": f"/{signers[1]}"}})
    assert line.startswith("blixard_fleet_dir is not the same for all hosts")


def test_a_key_is_not_shown_where_it_differs() -> None:
    (line,) = of({"one": {"blixard_fleet_key": "5ec4e7"}, "two": {"blixard_fleet_key": "5ec4e8"}, "three": {}})
    assert "one value on one, another on two, another on three" in line
    assert "5ec4e" not in line


@pytest.mark.parametrize("name", ["a b", "fd00::1", "büro", "-x", ".x", "a/b", "x" * 201])
def test_a_name_that_the_record_cannot_take_is_refused_with_the_place_for_an_address(name: str) -> None:
    (line,) = of({name: {"blixard_node_id": 1}})
    assert "cannot be the name of a host in the record" in line
    assert line.endswith("an address goes into ansible_host")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("blixard_node_id", 0, "must be at least 1"),
        ("blixard_node_id", -1, "must be at least 1"),
        ("blixard_node_id", 2**64, "must be at most"),
        ("blixard_node_id", 2**53, "must be at most 9007199254740991 to be signed"),
        ("blixard_node_id", "x", "must be an integer"),
        ("blixard_cluster", "", "must not be empty"),
        ("blixard_bind", "node1:7001", "no address to bind; write IP:PORT"),
        ("blixard_bind", "0.0.0.0:70000", "no address to bind; write IP:PORT"),
        ("blixard_relay_url", "relay", "is not a relay URL; write"),
        ("blixard_advertise_include", "10.0.0.0/8,x", "'x' is not a network; write a CIDR"),
        ("blixard_advertise_extra", ["192.0.2.1"], "write"),
        ("blixard_refresh_interval", "soon", "must be a number"),
        ("blixard_admission", "closed", "must be one of open, known"),
        ("blixard_trusted_signers", "abc", "is not an Iroh node id"),
        ("blixard_metrics", "9101", "no address to bind; write IP:PORT"),
        ("blixard_log_level", "loud", "must be one of debug"),
        ("blixard_state", "gone", "state"),
        ("blixard_data_dir", "blixard", '"blixard" is no absolute path on the host; begin it with /'),
        ("blixard_venv", "~/venv", '"~/venv" is no absolute path on the host; begin it with /'),
        ("blixard_serial", "half", '"half" is no size of a batch; set a number'),
        ("blixard_serial", [1, "x"], '"x" is no size of a batch'),
        ("blixard_check_sample", "many", '"many" is no sample of nodes; write auto, all, or how many, at most 50000'),
        ("blixard_check_sample", -1, '"-1" is no sample of nodes; write auto, all, or how many, at most 50000'),
        ("blixard_max_removals", "-1", '"-1" is not a whole number from 0'),
        ("blixard_max_removals", True, '"True" is not a whole number from 0'),
        ("blixard_rotate_batch", 0, '"0" is not a whole number from 1'),
        ("blixard_rotate_min_age", "1d", '"1d" is not a whole number from 0'),
        ("blixard_announced", {"one": "abc"}, 'one: "abc" is not an Iroh node id'),
    ],
)
def test_a_value_that_a_node_cannot_take_is_named_with_its_hosts(variable: str, value: object, words: str) -> None:
    hosts = both(**{variable: value})
    lines = [line for line in of(hosts) if line.startswith(f"{variable} of one, two: ")]
    assert len(lines) == 1, of(hosts)
    assert words in lines[0]


def test_of_many_hosts_with_one_trouble_some_are_named() -> None:
    hosts: dict[str, dict[str, Any]] = {f"n{number}": {"blixard_bind": "x"} for number in range(1, 101)}
    (line,) = of(hosts)
    assert line.startswith("blixard_bind of n1, n2, n3, n4, n5 and 95 more: ")


def test_a_number_that_two_hosts_have_is_refused_unless_one_of_them_is_leaving_for_good() -> None:
    hosts = both()
    hosts["two"]["blixard_node_id"] = "1"
    (line,) = of(hosts)
    assert line.startswith("blixard_node_id of one, two is 1: give each host its own number; if one is the former name")
    for each in hosts.values():
        each["blixard_decommission"] = "two"
    assert of(hosts) == []
    hosts["two"]["blixard_state"] = "absent"
    assert of(hosts) == []


@pytest.mark.parametrize("number", [None, ""])
def test_a_host_that_takes_part_has_a_number_unless_it_leaves(number: object) -> None:
    lines = of(both(blixard_node_id=number))
    assert len(lines) == 1
    assert lines[0].startswith("blixard_node_id of one, two: ")
    assert of(both(blixard_node_id=None), playing=["two"])[0].startswith("blixard_node_id of two: is not set")
    assert of(both(blixard_node_id=None, blixard_state="absent")) == []
    assert of(both(blixard_node_id=None), numbered=False) == []


@pytest.mark.parametrize("variable", ["blixard_voters", "blixard_join", "blixard_rotate", "blixard_decommission"])
def test_names_that_are_no_host_are_refused_wherever_hosts_are_named(variable: str) -> None:
    for names in (["one", "n,1"], "one,n,1", "n,1"):
        (line,) = of(both(**{variable: names}))
        unknown = "n,1" if isinstance(names, list) else "n, 1"
        assert line == f"{variable}: no such host: {unknown}; name hosts as the inventory has them"
    assert of(both(**{variable: "two , one"})) == []


@pytest.mark.parametrize("everybody", ["all", ["all"]])
def test_all_means_all_hosts_wherever_hosts_are_named_but_nobody_leaves_without_a_name(everybody: object) -> None:
    for variable in ("blixard_voters", "blixard_join", "blixard_rotate"):
        assert of(both(**{variable: everybody})) == []
    assert of(both(blixard_decommission=everybody))[0].startswith("blixard_decommission: no such host: all")


def test_a_member_that_the_inventory_has_lost_can_still_be_named_to_leave() -> None:
    assert of(both(blixard_decommission="lost"), members={"lost": attested(9)}) == []
    assert of(both(blixard_announced={"lost": SIGNER}), members={"lost": attested(9)}) == []
    assert len(of(both(blixard_voters="lost"), members={"lost": attested(9)})) == 1


def test_a_record_that_is_another_cluster_s_is_refused_with_what_to_set() -> None:
    members = {"one": attested(1), "two": attested(2)}
    assert of({}, members=members, cluster=CLUSTER) == []
    (line,) = of({}, members=members, cluster="stage")
    assert line.startswith(f'the record has one, two of cluster "{CLUSTER}", and this run is for "stage"; give each')
    gone = NodeRegistryEntry.from_json({**attested(1).to_json(), "state": "absent"})
    assert of({}, members={"one": gone}, cluster="stage") == []


def test_voters_in_raft_are_named_one_by_one() -> None:
    for voters in ([], ["all"]):
        (line,) = of(both(blixard_raft="yes", blixard_voters=voters))
        assert line.startswith("blixard_raft of one, two: needs to know who votes")
    assert of(both(blixard_raft=True, blixard_voters=["one"])) == []
    assert of(both(blixard_raft=False)) == []
