# SPDX-License-Identifier: MIT
"""Who votes, who of them is down as this run knows it, and which batches and departures that allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import attested
from tests.unit.fleet.host_views import by_name, down, up

from blixard.documents.registry_file import write_registry
from blixard.errors import InputError
from blixard.fleet import voters as module
from blixard.fleet.host_view import HostView
from blixard.fleet.quorum import Plan, Voters
from blixard.fleet.voters import batch_risk, leaving_risk, rolling, rotation_risk, who_votes
from blixard.model.entry import NodeRegistryEntry

RESTARTS: dict[str, Any] = {"pending": ("the node runs with other settings",)}


def declared(*numbers: int) -> Voters:
    return Voters({f"n{number}": number for number in numbers}, declared=True)


def checked(agent: str, *edges: dict[str, Any]) -> dict[str, Any]:
    return {"__blixard_connectivity": {"report": {"nodes": [{"agent": agent}], "edges": list(edges)}}}


def test_a_batch_that_endangers_the_quorum_is_refused_with_the_number_that_is_safe() -> None:
    hosts = by_name(*(up(f"n{number}", number, **RESTARTS) for number in range(1, 6)))
    voters = declared(1, 2, 3, 4, 5)

    assert batch_risk(voters, hosts, ["n1", "n2"]) is None
    assert "blixard_serial to 2 or less" in str(batch_risk(voters, hosts, ["n1", "n2", "n3"]))


def test_who_is_down_already_counts_and_starting_a_node_is_always_safe() -> None:
    hosts = by_name(*(up(f"n{number}", number, **RESTARTS) for number in range(1, 5)), down("n5", 5))
    voters = declared(1, 2, 3, 4, 5)
    assert batch_risk(voters, hosts, ["n1"]) is None
    assert "while n5 is down already" in str(batch_risk(voters, hosts, ["n1", "n2"]))

    hosts["n4"] = HostView("n4", 4)

    assert "bring those back first, with --limit n4,n5" in str(batch_risk(voters, hosts, ["n1"]))
    assert batch_risk(voters, hosts, ["n5"]) is None


@pytest.mark.parametrize(("connected", "away"), [((2, 3), None), ((2,), "while n3 is down already")])
def test_a_voter_outside_of_the_run_counts_as_its_peers_see_it(connected: tuple[int, ...], away: str | None) -> None:
    risk = batch_risk(declared(1, 2, 3), by_name(up("n1", 1, connected, **RESTARTS)), ["n1"])

    assert risk is None if away is None else away in str(risk)


def test_what_the_check_of_a_batch_found_counts_more_than_what_was_seen_before() -> None:
    found = checked("running", {"to": 2, "reached": True}, {"to": 3, "reached": False})
    hosts = by_name(up("n1", 1, (2, 3), **found), up("n4", 4, (2, 3), **RESTARTS))

    assert "while n3 is down already" in str(batch_risk(declared(1, 3, 4), hosts, ["n4"]))


def test_after_a_sampled_check_connections_of_hosts_that_checked_others_count_beside_the_edges() -> None:
    reached, others = checked("running", {"to": 9, "reached": True}), checked("running", {"to": 3, "reached": True})
    hosts = by_name(up("n1", 1, **reached), up("n2", 2, (9,), **others), up("n3", 3, **RESTARTS))
    assert batch_risk(declared(1, 2, 3, 9), hosts, ["n3"]) is None

    hosts["n1"] = up("n1", 1, **checked("running", {"to": 9, "reached": False}))
    assert "while n9 is down already" in str(batch_risk(declared(1, 2, 3, 9), hosts, ["n3"]))


def test_the_word_of_one_host_alone_makes_no_voter_alive_where_others_could_say_so_too() -> None:
    voters = declared(1, 2, 3, 4, 5)
    hosts = by_name(up("n1", 1, (2, 3, 4, 5), **RESTARTS), up("n2", 2, **RESTARTS), up("n3", 3, **RESTARTS))
    assert "while n4, n5 are down already" in str(batch_risk(voters, hosts, ["n2"]))

    hosts["n2"] = up("n2", 2, (1, 3, 4, 5), **RESTARTS)

    assert batch_risk(voters, hosts, ["n3"]) is None


def test_a_node_that_this_run_brought_up_is_up_and_one_that_was_checked_without_running_is_not() -> None:
    voters = declared(1, 2, 3)
    hosts = by_name(up("n1", 1, **RESTARTS), down("n2", 2, **checked("running")), down("n3", 3, **checked("running")))
    assert batch_risk(voters, hosts, ["n1"]) is None

    hosts["n3"] = down("n3", 3, **checked("not running"))

    assert "n3 is down already" in str(batch_risk(voters, hosts, ["n1"]))


def test_a_node_of_another_implementation_is_up_when_its_peers_reach_it_whatever_was_looked_at() -> None:
    foreign = HostView("n3", 3, managed=False, variables={"__blixard_look": {"agent": {"state": "not running"}}})

    assert module.down(declared(1, 3), by_name(up("n1", 1, (3,)), foreign)) == []
    assert module.down(declared(1, 3), by_name(up("n1", 1), foreign)) == ["n3"]


def test_a_rollout_goes_in_batches_that_the_quorum_bears_and_waits_for_nobody_who_is_not_restarted() -> None:
    hosts = by_name(*(up(f"n{number}", number, **RESTARTS) for number in range(1, 6)))
    voters = declared(1, 2, 3, 4, 5)
    assert rolling(voters, hosts).serial == 2
    assert "3 of 5 voters" in str(rolling(voters, hosts, 3).risk)

    still = by_name(*(up(f"n{number}", number) for number in range(1, 6)))

    assert rolling(voters, still).serial == "100%"


def test_who_leaves_must_leave_the_voters_a_quorum() -> None:
    hosts = by_name(up("n1", 1), up("n2", 2), up("n3", 3))

    assert leaving_risk(declared(1, 2, 3), hosts, ["n3"]) is None
    assert "one after the other" in str(leaving_risk(declared(1, 2, 3), hosts, ["n2", "n3"]))


def test_a_rotating_batch_spares_the_quorum_where_there_is_something_to_spare() -> None:
    five, two = declared(0, 1, 2, 3, 4), declared(0, 1)

    assert rotation_risk(five, [["n0", "n1"], ["n2", "n3"]]) is None
    assert "set blixard_rotate_batch to 2" in str(rotation_risk(five, [["n0", "n1", "n2"]]))
    assert rotation_risk(two, [["n0"], ["n1"]]) is None
    assert "set blixard_rotate_batch to 1" in str(rotation_risk(two, [["n0", "n1"]]))


def test_who_votes_is_who_was_named_or_every_present_member_of_the_record(tmp_path: Path) -> None:
    draining = NodeRegistryEntry.from_json({**attested(2).to_json(), "state": "draining"})
    for name, member in (("one", attested(1)), ("two", draining)):
        write_registry(tmp_path / f"{name}.json", member)

    assert who_votes(["all"], {}, str(tmp_path)) == Voters({"one": 1}, declared=False)
    assert who_votes(["all"], {}, str(tmp_path / "none yet")) == Voters({}, declared=False)
    assert who_votes(["a"], by_name(up("a", 7)), str(tmp_path)) == Voters({"a": 7}, declared=True)
    assert who_votes([], {}, str(tmp_path)) == Voters({}, declared=True)


def test_on_a_fresh_controller_whose_record_is_lost_the_nodes_that_run_vote(tmp_path: Path) -> None:
    hosts = by_name(up("a", 7), up("b", 8), HostView("new", number=9), HostView("rust", number=10, managed=False))
    assert who_votes(["all"], hosts, str(tmp_path / "lost")).ids == {"a": 7, "b": 8}
    write_registry(tmp_path / "a.json", attested(7))
    assert who_votes(["all"], hosts, str(tmp_path)).ids == {"a": 7, "b": 8}
    gone = NodeRegistryEntry.from_json({**attested(8).to_json(), "state": "absent"})
    write_registry(tmp_path / "b.json", gone)
    assert who_votes(["all"], hosts, str(tmp_path)).ids == {"a": 7}


def test_a_play_of_somebody_s_own_is_told_of_its_own_serial() -> None:
    hosts = by_name(*(up(f"n{number}", number, **RESTARTS) for number in (1, 2, 3)))

    at_once = rolling(declared(1, 2, 3), hosts, None, ["n1", "n2"])
    assert "give the play `serial: 1`, or run blixard.fleet.site" in str(at_once.risk)
    assert "blixard_serial" not in str(at_once.risk)
    assert rolling(declared(1, 2, 3), hosts, None, ["n2"]) == Plan("100%")
    assert "give the play `serial: 1`" in str(
        rolling(Voters({"n1": 1, "n2": 2}, False), hosts, None, ["n1", "n2"]).risk
    )


def three_up() -> list[HostView]:
    return [up("n1", 1), up("n2", 2), up("n3", 3)]


def test_a_voter_that_is_no_host_or_has_no_number_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="blixard_voters: no such host: b"):
        who_votes(["a", "b"], by_name(up("a", 7)), str(tmp_path))
    with pytest.raises(InputError, match="blixard_node_id of c: is not set"):
        who_votes(["c"], by_name(HostView("c")), str(tmp_path))


def test_where_two_hosts_can_be_asked_the_word_of_one_is_enough() -> None:
    hosts = by_name(up("n1", 1, (3,)), up("n2", 2))

    assert module.down(declared(1, 2, 3), hosts) == []
