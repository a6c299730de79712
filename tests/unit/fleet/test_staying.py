# SPDX-License-Identifier: MIT
"""A machine that has another name now, or another key, is not taken for one that leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import RUN, attested, key
from tests.unit.fleet.host_views import by_name

from blixard.fleet.host_view import HostView
from blixard.fleet.registry import Update, update_record
from blixard.fleet.staying import changed_keys, refuse_staying

RECORD = {"node1": attested(1), "node3": attested(3)}
SSH = {"plugin": "ssh", "host": "192.0.2.3", "port": 22, "data_dir": "/var/lib/blixard"}


def host(name: str, number: int | None, key_of: int | None = None, state: str | None = None, **place: Any) -> HostView:
    """Return a host; one that was looked at and showed the key of the node `key_of`, where there is one."""
    look = {"entry": attested(key_of).to_json()} if key_of else {}
    variables = {"__blixard_look": look, "__blixard_place": place and {**SSH, **place}}
    return HostView(name, number, state, variables=variables)


def _id_of(number: int) -> str:
    return key(number).public().base64


def test_a_host_of_its_own_may_leave_whether_the_inventory_still_has_it_or_not() -> None:
    one = host("node1", 1, 1, host="192.0.2.1")

    assert refuse_staying(["node3"], by_name(one), RECORD) is None
    assert refuse_staying(["node3"], by_name(one, host("node3", 3, 3, host="192.0.2.3")), RECORD) is None
    assert refuse_staying(["node3"], by_name(one, host("node3", 3, host="192.0.2.3")), RECORD) is None, "it is dead"


@pytest.mark.parametrize("old", [[], [host("node3", 3, 3)], [host("node3", 3)]])
def test_the_former_name_of_a_node_that_stays_does_not_leave(old: list[HostView]) -> None:
    """The inventory may have lost that name, and the old name may still lead to the machine."""
    new = host("alpha", 4, 3)

    assert refuse_staying(["node3"], by_name(host("node1", 1, 1), new, *old), RECORD) == (
        "node3: has the Iroh id of alpha, which stays; if node3 is its former name, or that of a machine which it"
        " replaced, keep node3 in the inventory with blixard_state: absent, and run site.yml, with -e"
        " blixard_max_removals=1 if the machine was replaced"
    )


def test_a_running_node_is_known_by_the_key_that_it_runs_with() -> None:
    running = HostView("alpha", 4, variables={"__blixard_look": {"agent": {"iroh_node_id": _id_of(3)}}})

    assert "the Iroh id of alpha" in str(refuse_staying(["node3"], by_name(running), RECORD))


def test_a_host_that_says_nothing_is_known_by_its_node_id() -> None:
    assert "has the node id of alpha" in str(refuse_staying(["node3"], by_name(host("alpha", 3)), RECORD))
    numbered = by_name(host("old", 5), host("alpha", 5))
    assert "has the node id of alpha" in str(refuse_staying(["old"], numbered, RECORD))


@pytest.mark.parametrize(
    ("place", "is_same"),
    [
        ({}, True),
        ({"plugin": "paramiko"}, True),
        ({"data_dir": "/var/lib/./blixard/"}, True),
        ({"port": 2222}, False),
        ({"host": "192.0.2.4"}, False),
        ({"data_dir": "/srv/blixard"}, False),
        ({"plugin": "docker"}, False),
    ],
)
def test_a_machine_is_known_by_its_address_and_the_data_directory(place: dict[str, Any], is_same: bool) -> None:
    hosts = by_name(host("node3", 3, port=22), host("alpha", 4, **{"port": 22, **place}))

    reason = refuse_staying(["node3"], hosts, RECORD)

    assert (reason is not None and "has the address and the data directory of alpha" in reason) == is_same


def test_who_leaves_too_or_is_absent_does_not_stay() -> None:
    assert refuse_staying(["node3", "alpha"], by_name(host("alpha", 3)), RECORD) is None
    assert refuse_staying(["node3"], by_name(host("alpha", 3, state="absent")), RECORD) is None


@pytest.fixture
def record(tmp_path: Path) -> Path:
    update_record(tmp_path, {name: entry.to_json() for name, entry in RECORD.items()}, **RUN)
    return tmp_path


def _remove(record: Path, gathered: dict[str, Any], nodes: dict[str, int], **more: Any) -> Update:
    known = {name: {"node_id": number} for name, number in nodes.items()}
    removal: dict[str, Any] = {"states": {"node3": "absent"}, "max_removals": 1, "nodes": known, **more}
    return update_record(record, gathered, **{**RUN, **removal})


@pytest.mark.parametrize("how", [{}, {"states": {}, "prune": True, "hosts": ["node1", "alpha"]}])
def test_an_old_name_is_not_retired_while_a_host_with_its_node_id_is_left_out(record: Path, how: Any) -> None:
    left_out = _remove(record, {}, {"node1": 1, "alpha": 3}, **how)

    assert left_out.refused == (
        "node3: would leave, and alpha has its node id 3 and was not asked who it is; if it is the same machine under"
        " another name, run this without --limit, so that alpha takes part",
    )
    taking_part = _remove(record, {"alpha": attested(3).to_json()}, {"node1": 1, "alpha": 3}, **how)
    assert (taking_part.refused, taking_part.merged.added, taking_part.merged.removed) == ((), ("alpha",), ("node3",))
    assert "node3" not in taking_part.merged.record, "no tombstone: the key goes on"


def test_a_host_that_is_nobody_else_is_retired_whoever_takes_part(record: Path) -> None:
    assert _remove(record, {}, {"node1": 1, "alpha": 4}).merged.removed == ("node3",)


def test_a_key_is_the_recorded_one_or_the_next_one_of_a_rotation_or_it_is_named_with_the_option() -> None:
    def keyed(name: str, **state: Any) -> HostView:
        return HostView(name, variables={"__blixard_key_state": state})

    good = by_name(keyed("node1", old=_id_of(1), new=None), keyed("node3", old=_id_of(8), new=_id_of(3)))
    assert changed_keys(good, RECORD) == []
    assert changed_keys(by_name(keyed("fresh", old=_id_of(7)), HostView("rust", managed=False)), RECORD) == []

    (line,) = changed_keys(by_name(keyed("node1", old=_id_of(9), new=None)), RECORD)
    assert line == (
        f"node1: its Iroh id changed from {key(1).public().short} to {key(9).public().short} and nobody announced that;"
        f""" if that is meant, run site.yml with -e '{{"blixard_announced": {{"node1": "{key(9).public().hex}"}}}}'"""
    )
