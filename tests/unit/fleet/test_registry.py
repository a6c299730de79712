# SPDX-License-Identifier: MIT
"""A run's answers merged into the record: verified, all or nothing, and nobody else's entry touched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, RUN, attested, entry, key, peer

from blixard.documents.peers_file import format_peers, parse_peers, write_peers
from blixard.documents.registry_file import format_registry, write_registry
from blixard.errors import InputError
from blixard.fleet.registry import Update, recorded_seq, says_same, update_record
from blixard.trust.attestation import attest
from blixard.trust.key_announcement import announce

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def _update(folder: Path, gathered: dict[str, Any], **changes: Any) -> Update:
    return update_record(folder, gathered, **{**RUN, **changes})


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_what_was_gathered_is_recorded_and_the_peers_follow_from_it(record: Path) -> None:
    update = _update(record, {"one": attested(1).to_json(), "two": attested(2).to_json()})

    assert update.touched
    assert update.merged.added == ("one", "two")
    assert set(_files(record)) == {"one.json", "two.json"}
    assert [item["node_id"] for item in update.peers] == [1, 2]
    assert str(update.diff) == "+2 −0 ~0 peers"


def test_a_run_that_reached_one_host_leaves_the_others_to_the_byte(record: Path) -> None:
    _update(record, {"one": attested(1).to_json(), "two": attested(2).to_json()})
    before = _files(record)
    moved = attest(
        entry(2, address="10.0.0.9:7001", direct_addresses=("10.0.0.9:7001",)), key(2), cluster=CLUSTER, now=LATER
    )

    update = _update(record, {"two": moved.to_json()})

    assert update.merged.changed == ("two",)
    assert str(update.diff) == "+2 −0 ~0 peers"
    assert _files(record)["one.json"] == before["one.json"]
    assert _files(record)["two.json"] == format_registry(moved)


def test_fields_that_the_record_does_not_keep_are_dropped_and_named_whoever_brought_them(record: Path) -> None:
    hostile = {"all": {"vars": {"blixard_cluster": "{{ lookup('pipe', 'id') }}"}}, "zone\x1b[2J": "b"}
    first = _update(record, {"one": {**attested(1).to_json(), **hostile}})

    assert first.dropped == (r"one: dropped what the record does not keep: all, zone\x1b[2J",)
    assert _files(record) == {"one.json": format_registry(attested(1))}
    assert not _update(record, {"one": {**attested(1).to_json(), **hostile}}).touched

    edited = {**attested(2, relay_url=None).to_json(), **hostile, "state": "draining"}
    (record / "two.json").write_text(json.dumps(edited))
    would = _update(record, {}, check=True)
    mended = _update(record, {})

    assert would.touched
    assert mended.touched
    assert would.dropped == mended.dropped
    assert mended.dropped == (r"two.json in the record: dropped what the record does not keep: all, zone\x1b[2J",)
    kept = json.loads(_files(record)["two.json"])
    assert kept == {**attested(2, relay_url=None).to_json(), "state": "draining"}
    assert _files(record)["one.json"] == format_registry(attested(1))
    assert not _update(record, {}).touched


def test_a_second_run_with_the_same_answers_touches_nothing(record: Path) -> None:
    gathered = {"one": attested(1).to_json(), "two": attested(2).to_json()}
    _update(record, gathered)
    before = _files(record)

    assert not _update(record, gathered, now=LATER).touched
    assert _files(record) == before


def test_check_mode_says_the_same_and_writes_nothing(record: Path) -> None:
    would = _update(record, {"one": attested(1).to_json()}, check=True)

    assert would.touched
    assert would.peers
    assert not record.exists()


def test_all_refusals_come_together_and_nothing_is_written(record: Path) -> None:
    forged = {**attested(1).to_json(), "direct_addresses": ["10.6.6.6:7001"]}
    foreign = attested(2).to_json()
    broken = {**entry(3).to_json(), "relay_url": "not a URL"}

    update = _update(record, {"one": forged, "two": foreign, "three": broken, "clone": foreign})

    assert len(update.refused) == 4
    assert update.refused[0].startswith("one: ")
    assert update.refused[1].startswith("three: /relay_url: ")
    assert update.refused[2].startswith("clone and two have the same Iroh id")
    assert update.refused[3].startswith("clone and two have the same node id")
    assert not update.touched
    assert not record.exists()


def test_an_entry_signed_for_another_cluster_is_refused(record: Path) -> None:
    update = _update(record, {"one": attested(1).to_json()}, cluster="other")

    assert len(update.refused) == 1
    assert update.refused[0].startswith("one: ")


@pytest.mark.parametrize(("minutes", "is_taken"), [(59, False), (61, True)])
def test_an_entry_is_recorded_only_when_its_attestation_holds_for_an_hour_yet(
    record: Path, minutes: int, is_taken: bool
) -> None:
    ends = NOW + timedelta(minutes=minutes)
    ending = attest(entry(1), key(1), cluster=CLUSTER, now=NOW, expires_at=ends)
    assert (_update(record, {"one": ending.to_json()}).refused == ()) == is_taken


def test_a_name_whose_node_has_left_may_have_another_number_in_the_inventory(record: Path) -> None:
    _update(record, {"one": attested(1).to_json(), "two": attested(2).to_json()})
    assert _update(record, {}, states={"one": "absent"}, max_removals=1).refused == ()
    nodes = {"one": {"node_id": 5}, "two": {"node_id": 2}}
    assert _update(record, {}, nodes=nodes).refused == ()
    nodes["two"] = {"node_id": 6}
    refused = _update(record, {}, nodes=nodes).refused
    assert refused == ("two: says that it is node 2, and the inventory has it as node 6",)


def test_a_member_leaves_only_when_no_other_host_that_stays_has_its_node_id(record: Path) -> None:
    _update(record, {"one": attested(1).to_json(), "two": attested(2).to_json()})
    nodes = {"one": {"node_id": 1}, "two": {"node_id": 2}, "alpha": {"node_id": 2}}
    leaving: dict[str, Any] = {"max_removals": 1, "nodes": nodes, "check": True}

    (refused,) = _update(record, {}, states={"two": "absent", "alpha": "present"}, **leaving).refused
    assert refused.startswith("two: would leave, and alpha has its node id 2 and was not asked who it is")
    assert _update(record, {}, states={"two": "absent", "alpha": "absent"}, **leaving).refused == ()


def test_the_states_of_the_inventory_count_where_the_run_is_told_no_others(record: Path) -> None:
    _update(record, {"one": attested(1).to_json(), "two": attested(2).to_json()})
    nodes = {"one": {"node_id": 1, "state": "draining"}, "two": {"node_id": 2}}

    assert not _update(record, {}, nodes=nodes, states={}).touched
    assert _update(record, {}, nodes=nodes, states=None).merged.changed == ("one",)
    assert "two.json" in _files(record)
    assert json.loads(_files(record)["one.json"])["state"] == "draining"


def test_a_refusal_names_twenty_members_of_many_and_counts_the_rest(record: Path) -> None:
    _update(record, {f"node{number:02}": attested(number).to_json() for number in range(1, 25)})

    (refused,) = _update(record, {}, hosts=["node01"], prune=True).refused
    assert refused.startswith("23 hosts would be removed (node02, node03, ")
    assert "node21 and 3 more), at most 0 may be at once" in refused


def test_a_tombstone_needs_no_attestation(record: Path) -> None:
    _update(record, {"one": attested(1).to_json()})
    kept = {"state": "absent", "attestation": None}
    (record / "two.json").write_text(json.dumps({**entry(2).to_json(), **kept}))
    assert _update(record, {}).refused == ()
    (record / "two.json").write_text(json.dumps({**entry(2).to_json(), **kept, "state": "present"}))
    said = "two.json in the record: node 2 has no attestation; "
    assert any(line.startswith(said) for line in _update(record, {}).refused)


def test_an_entry_without_a_signature_is_taken_from_a_node_that_is_not_ours(record: Path) -> None:
    update = _update(record, {"one": entry(1).to_json()})

    assert update.merged.added == ("one",)
    assert json.loads(_files(record)["one.json"])["recorded_at"] == "2026-01-15T09:30:00Z"


def test_the_difference_is_told_against_the_peers_file_by_host_name(record: Path, tmp_path: Path) -> None:
    peers_file = tmp_path / "discovery-peers.json"
    write_peers(peers_file, [peer(2), peer(7)])

    gathered = {"one": attested(1).to_json(), "two": attested(2).to_json()}
    update = _update(record, gathered, peers_file=peers_file, max_removals=1)

    assert str(update.diff) == "+1 −1 ~1 peers"
    assert [line.split(" ")[:2] for line in update.diff.lines()] == [["+", "one"], ["~", "two"], ["−", "node"]]


def test_a_peers_file_that_cannot_be_read_is_named(record: Path, tmp_path: Path) -> None:
    peers_file = tmp_path / "discovery-peers.json"
    peers_file.write_text("[{]")

    with pytest.raises(InputError, match=r"discovery-peers\.json"):
        _update(record, {"one": attested(1).to_json()}, peers_file=peers_file)


def test_the_peers_have_upstreams_form_of_time_when_that_is_asked_for(record: Path) -> None:
    update = _update(record, {"one": attested(1).to_json()}, upstream_compat=True)

    assert update.peers[0]["discovered_at"] == {
        "secs_since_epoch": int(NOW.timestamp()),
        "nanos_since_epoch": 0,
    }
    assert format_peers(parse_peers(json.dumps(update.peers).encode()))


def test_an_announced_id_is_taken_in_any_form(record: Path) -> None:
    _update(record, {"one": attested(1).to_json()})
    renewed = entry(1, iroh_node_id=key(9).public().base64)
    rotated = attest(renewed, key(9), cluster=CLUSTER, now=NOW)

    assert _update(record, {"one": rotated.to_json()}).refused

    announced = _update(record, {"one": rotated.to_json()}, announced={"one": key(9).public().hex})
    assert announced.merged.changed == ("one",)


def test_a_new_key_is_taken_when_the_old_and_the_new_one_announced_it(record: Path) -> None:
    _update(record, {"one": attested(1).to_json()})
    before = _files(record)
    renewed = entry(1, iroh_node_id=key(9).public().base64)
    rotated = {"one": attest(renewed, key(9), cluster=CLUSTER, now=NOW).to_json()}

    def refusal(said: Any) -> str:
        update = _update(record, rotated, announcements={"one": said})
        assert _files(record) == before
        return "\n".join(update.refused)

    good = announce(key(1), key(9), cluster=CLUSTER, node_id=1, now=NOW)
    assert "the old key" in refusal({**good, "node_id": 2})
    assert "not what the record has for it" in refusal(announce(key(8), key(9), cluster=CLUSTER, node_id=1, now=NOW))
    assert "not what the record has for it" in refusal(announce(key(1), key(9), cluster=CLUSTER, node_id=2, now=NOW))
    assert "nobody announced" in refusal(announce(key(1), key(8), cluster=CLUSTER, node_id=1, now=NOW))
    assert "announcement of one: /old: is missing" in refusal({n: v for n, v in good.items() if n != "old"})

    assert _update(record, rotated, announcements={"one": good}).merged.changed == ("one",)
    again = _update(record, rotated, announcements={"one": good})
    assert (again.touched, again.refused) == (False, ())


def test_what_somebody_altered_in_the_record_is_refused_until_it_is_gone(record: Path) -> None:
    good = {"one": attested(1).to_json(), "two": attested(2).to_json()}
    _update(record, good)
    path = record / "two.json"
    path.write_bytes(path.read_bytes().replace(b"192.168.1.2:7001", b"192.168.1.66:7001"))

    update = _update(record, {})

    assert len(update.refused) == 1
    assert update.refused[0].startswith("two.json in the record: node 2")
    assert _update(record, good).refused
    path.unlink()
    assert _update(record, good).merged.added == ("two",)


def test_every_byte_of_a_record_entry_flipped_in_turn_is_refused_but_for_the_value_of_address(record: Path) -> None:
    _update(record, {"one": attested(1).to_json()})
    path = record / "one.json"
    good = path.read_bytes()
    peers = _update(record, {}).peers
    start = good.index(b'"address": "') + len(b'"address": "')
    unsigned = range(start, good.index(b'"', start))

    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])
        try:
            update = _update(record, {})
        except InputError:
            continue  # it cannot be read any more
        refused = bool(update.refused)
        assert refused == (at not in unsigned), good[at - 10 : at + 10]
        assert refused or update.peers == peers


def test_a_member_without_a_host_stays_unless_pruning_is_asked_for_and_the_guard_allows_it(record: Path) -> None:
    members = {name: attested(number).to_json() for number, name in enumerate(("one", "two", "three"), start=1)}
    _update(record, members)
    before = _files(record)

    kept = _update(record, {}, hosts=["one", "other"])
    assert (kept.without_host, kept.touched, len(kept.peers)) == (("three", "two"), False, 3)
    refused = _update(record, {}, hosts=["one"], prune=True, max_removals=1)
    assert refused.refused == (
        "2 hosts would be removed (three, two), at most 1 may be at once; raise max_removals if that is meant",
    )
    lost = _update(record, {}, hosts=["one"], max_removals=1)
    assert lost.refused == (
        "2 members are not in the inventory (three, two), and at most 1 may leave at once; put them back, or raise"
        " max_removals if that is meant",
    )
    assert _files(record) == before
    assert not _update(record, {}, hosts=["one", "two"], max_removals=1).refused

    gone = _update(record, {}, hosts=["one"], prune=True, max_removals=2)
    assert (gone.merged.removed, gone.without_host) == (("three", "two"), ())
    again = _update(record, {}, hosts=["one"], prune=True)
    assert (again.touched, again.refused, again.without_host) == (False, (), ())


def test_a_host_with_another_name_in_the_inventory_is_a_rename_when_pruning(record: Path) -> None:
    _update(record, {"old": attested(1).to_json()})

    renamed = _update(record, {"new": attested(1).to_json()}, hosts=["new"], prune=True)

    assert set(_files(record)) == {"new.json"}
    assert renamed.merged.removed == ("old",)


def test_two_entries_are_the_same_when_they_say_the_same_of_their_node() -> None:
    one = attested(1).to_json()

    assert says_same(one, {**one, "zone": "b", "state": "draining"})
    assert not says_same(one, {**one, "address": "192.0.2.9:7001"})
    assert not says_same(one, {**one, "attestation": None})


def test_a_file_of_the_record_that_is_none_counts_as_number_zero(tmp_path: Path) -> None:
    entry = attested(1)
    assert entry.attestation is not None
    write_registry(tmp_path / "one.json", entry)
    (tmp_path / "broken.json").write_text("{")

    assert recorded_seq(str(tmp_path / "one.json")) == entry.attestation.seq > 0
    assert recorded_seq(str(tmp_path / "broken.json")) == 0
    assert recorded_seq(str(tmp_path / "none.json")) == 0
    write_registry(tmp_path / "unsigned.json", replace(entry, attestation=None))
    assert recorded_seq(str(tmp_path / "unsigned.json")) == 0
