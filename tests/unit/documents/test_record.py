# SPDX-License-Identifier: MIT
"""The record: a run changes what it reached, keeps the rest, and refuses what would harm the fleet."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import CLUSTER, NOW, attested, entry, key

from blixard.documents.entry_states import state_of
from blixard.documents.files import write_atomic
from blixard.documents.peers_file import build_peers
from blixard.documents.record import MergeResult, check_name, merge_record, read_record, write_record
from blixard.documents.registry_file import format_registry
from blixard.documents.schemas import validate
from blixard.errors import InputError
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest

Entries = Mapping[str, NodeRegistryEntry]
LATER = NOW + timedelta(hours=1)


def merge(record: Entries, gathered: Entries, **options: Any) -> MergeResult:
    return merge_record(record, gathered, **{"now": NOW, "max_removals": 1, **options})


def fleet(*numbers: int) -> dict[str, NodeRegistryEntry]:
    return {f"node{number}": attested(number) for number in numbers}


def changed(number: int, **changes: Any) -> NodeRegistryEntry:
    """Node `number`'s entry after a change, attested an hour later."""
    return attest(entry(number, **changes), key(number), cluster=CLUSTER, now=LATER, previous=attested(number))


def new_key(number: int, other: int, **changes: Any) -> NodeRegistryEntry:
    """Node `number`'s entry with the key of sample `other`."""
    one = entry(number, iroh_node_id=key(other).public().base64, **changes)
    return attest(one, key(other), cluster=CLUSTER, now=LATER)


def tombstone(one: NodeRegistryEntry) -> NodeRegistryEntry:
    return dataclasses.replace(one, extra={**one.extra, "state": "absent"})


def refused(record: Entries, gathered: Entries, **options: Any) -> str:
    result = merge(record, gathered, **options)
    assert result.record == record, "with a refusal nothing changes"
    assert (result.added, result.changed, result.removed) == ((), (), ())
    assert result.refused
    return "\n".join(result.refused)


def test_hosts_that_were_not_reached_keep_their_entries() -> None:
    record = fleet(1, 2, 3)
    moved = changed(3, direct_addresses=["10.0.0.3:7001"])
    result = merge(record, {"node3": moved})
    assert result.record == {**record, "node3": moved}
    assert (result.added, result.changed, result.removed, result.refused) == ((), ("node3",), (), ())


def test_the_same_entries_again_change_nothing() -> None:
    record = fleet(1, 2)
    result = merge(record, record)
    assert result.record == record
    assert (result.added, result.changed, result.removed) == ((), (), ())


def test_new_hosts_are_added() -> None:
    result = merge(fleet(1), fleet(2, 3))
    assert result.record == fleet(1, 2, 3)
    assert result.added == ("node2", "node3")


def test_an_entry_without_attestation_is_recorded_with_the_time_of_its_last_change() -> None:
    first = merge({}, {"rust": entry(1)}).record
    assert first["rust"].extra == {"recorded_at": "2026-01-15T09:30:00Z"}
    assert merge(first, {"rust": entry(1)}, now=LATER).changed == ()
    second = merge(first, {"rust": entry(1, relay_url=None)}, now=LATER)
    assert second.record["rust"].extra == {"recorded_at": "2026-01-15T10:30:00Z"}
    assert second.changed == ("rust",)


def test_an_attested_entry_is_recorded_without_a_time_since_it_says_so_itself() -> None:
    record = merge({}, {"node1": entry(1)}).record
    assert merge(record, fleet(1)).record == fleet(1)


def test_what_the_record_keeps_for_itself_is_not_taken_from_a_host() -> None:
    claims = {"state": "absent", "recorded_at": "2000-01-01T00:00:00Z", "retired_ids": [], "announcements": [{}]}
    result = merge({}, {"node1": attested(1, extra=claims)})
    assert result.record["node1"].extra == {}


HOSTILE = {"all": {"vars": {"blixard_cluster": "{{ lookup('pipe', 'id') }}"}}, "zone": "b", "\x1b[2J": 1}


@given(st.sets(st.sampled_from(sorted(HOSTILE))), st.sampled_from(["present", "draining", "absent"]), st.booleans())
def test_whatever_a_host_brings_the_record_has_the_fields_of_its_schema(
    names: set[str], state: str, signs: bool
) -> None:
    brought = (attested if signs else entry)(1, extra={name: HOSTILE[name] for name in names})
    first = merge({}, {"node1": brought}).record
    second = merge(first, {"node1": brought}, states={"node1": state}, max_removals=1).record
    for recorded in (*first.values(), *second.values()):
        validate("record-entry", recorded.to_json())


def test_a_state_is_kept_until_another_is_asked_for() -> None:
    draining = merge(fleet(1, 2), {}, states={"node1": "draining"})
    assert draining.changed == ("node1",)
    again = merge(draining.record, {"node1": changed(1, relay_url=None)})
    assert state_of(again.record["node1"]) == "draining"
    back = merge(again.record, {}, states={"node1": "present"})
    assert back.record["node1"].extra == {}
    assert merge(back.record, {}, states={"node1": "present", "unknown": "draining"}).changed == ()


def test_a_removed_host_leaves_a_tombstone_and_no_peer() -> None:
    result = merge(fleet(1, 2), fleet(1, 2), states={"node2": "absent"})
    assert result.removed == ("node2",)
    assert result.changed == ()
    assert state_of(result.record["node2"]) == "absent"
    assert [peer.node_id for peer in build_peers(result.record.values())] == [1]
    again = merge(result.record, fleet(2), states={"node2": "absent"}, max_removals=0)
    assert (again.removed, again.refused) == ((), ())


def test_an_old_copy_of_its_registry_does_not_bring_a_removed_node_back() -> None:
    record = {**fleet(1), "node2": tombstone(attested(2))}
    assert "was retired (node2.json" in refused(record, fleet(2))
    assert "was retired (node2.json" in refused(record, {"other": attested(2)})
    assert "was retired (node2.json" in refused(
        record, {"node2": changed(2, relay_url=None)}, states={"node2": "present"}
    )
    asked = merge(record, {}, states={"node2": "present"})
    assert asked.record == record, "a word alone does not raise it"


def test_a_host_that_was_removed_comes_back_with_a_new_key_and_its_old_id_stays_retired() -> None:
    record = {**fleet(1), "node2": tombstone(attested(2))}
    result = merge(record, {"node2": new_key(2, 12)})
    assert result.added == ("node2",)
    assert result.record["node2"].extra == {"retired_ids": [key(2).public().base64]}
    assert "was retired" in refused(result.record, {"node3": attested(2, cluster_node_id=3)})


def test_a_host_may_get_a_new_name_in_one_run() -> None:
    record = {**fleet(1), "old": dataclasses.replace(attested(2), extra={"state": "draining"})}
    result = merge(record, {"new": attested(2)}, states={"old": "absent"}, max_removals=0)
    assert result.refused == ()
    assert set(result.record) == {"node1", "new"}
    assert result.record["new"].extra == {"state": "draining"}
    assert (result.added, result.removed) == (("new",), ("old",))


def test_two_hosts_with_one_key_are_refused_by_name() -> None:
    text = refused(fleet(1), {"node2": attested(2), "clone": attested(2, cluster_node_id=3)})
    assert f"clone and node2 have the same Iroh id {key(2).public().short}" in text
    assert "node1 and other have the same Iroh id" in refused(fleet(1), {"other": attested(1, cluster_node_id=9)})


def test_one_node_id_under_two_names_is_refused() -> None:
    assert "node1 and node2 have the same node id 1" in refused(fleet(1), {"node2": attested(2, cluster_node_id=1)})


def test_swapped_node_ids_are_refused() -> None:
    text = refused(fleet(1, 2), {"node1": changed(1, cluster_node_id=2), "node2": changed(2, cluster_node_id=1)})
    assert "node1: its node id changed from 1 to 2" in text
    assert "node2: its node id changed from 2 to 1" in text


def test_a_new_key_is_taken_only_when_it_was_announced() -> None:
    rotated = new_key(1, 11)
    text = refused(fleet(1), {"node1": rotated})
    assert f"changed from {key(1).public().short} to {key(11).public().short} and nobody announced" in text
    assert f"""run site.yml with -e '{{"blixard_announced": {{"node1": "{key(11).public().hex}"}}}}'""" in text
    refused(fleet(1), {"node1": rotated}, announced={"node1": key(12).public()})
    result = merge(fleet(1), {"node1": rotated}, announced={"node1": key(11).public()})
    assert result.changed == ("node1",)
    assert result.record["node1"].extra == {"retired_ids": [key(1).public().base64]}
    assert "was retired" in refused(result.record, fleet(1), announced={"node1": key(1).public()})


def test_an_older_entry_is_refused() -> None:
    record = {"node1": changed(1, relay_url=None)}
    text = refused(record, fleet(1))
    assert "node1: its entry is older than the recorded one" in text


def test_two_entries_under_one_sequence_number_are_refused() -> None:
    other = attest(entry(1, relay_url=None), key(1), cluster=CLUSTER, now=NOW)
    assert "two different entries were attested under sequence number" in refused(fleet(1), {"node1": other})


def test_an_entry_that_lost_its_attestation_is_refused() -> None:
    assert "was attested before and is not now" in refused(fleet(1), {"node1": entry(1)})


def test_more_removals_than_allowed_are_refused() -> None:
    record = fleet(*range(1, 11))
    text = refused(record, {}, states={"node3": "absent", "node4": "absent"}, max_removals=1)
    assert "2 hosts would be removed (node3, node4), at most 1" in text
    result = merge(record, {}, states={"node3": "absent", "node4": "absent"}, max_removals=2)
    assert result.removed == ("node3", "node4")


def test_all_refusals_are_told_at_once() -> None:
    result = merge(
        fleet(1, 2, 3), {"node1": new_key(1, 11), "x": attested(2)}, states={"node3": "absent"}, max_removals=0
    )
    assert len(result.refused) == 4


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "-x", "a b", "a\n", "ä", "x" * 201, "a\0"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    for act in (
        lambda: check_name(name),
        lambda: merge({}, {name: attested(1)}),
        lambda: merge({}, {}, states={name: "absent"}),
        lambda: write_record(tmp_path / "record", {}, {name: attested(1)}),
    ):
        with pytest.raises(InputError, match="cannot be the name of a host"):
            act()
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="must be one of present, draining, absent"):
        merge({}, {}, states={"node1": "gone"})


def test_the_record_is_written_and_read_and_only_what_differs_is_touched(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    assert write_record(folder, {}, fleet(1, 2, 3)) == ["node1", "node2", "node3"]
    assert read_record(folder) == fleet(1, 2, 3)
    before = {path.name: path.stat() for path in folder.iterdir()}
    after = {"node1": attested(1), "node2": changed(2, relay_url=None)}
    assert write_record(folder, fleet(1, 2, 3), after) == ["node2", "node3"]
    assert read_record(folder) == after
    assert (folder / "node1.json").stat() == before["node1.json"]
    assert (folder / "node1.json").read_bytes() == format_registry(attested(1))


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    write_record(tmp_path, {}, fleet(1))
    for name in (".hidden.json", "README.md", ".node1.json.abc.part"):
        (tmp_path / name).write_text("x")
    assert read_record(tmp_path) == fleet(1)


def test_a_record_that_cannot_be_read_is_refused_with_its_file(tmp_path: Path) -> None:
    assert read_record(tmp_path / "missing", missing_ok=True) == {}
    with pytest.raises(InputError, match="missing: does not exist"):
        read_record(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be read"):
        read_record(tmp_path / "file")
    for name, data, reason in [
        ("node1.json", b"{", "node1.json: is not JSON"),
        ("a b.json", format_registry(attested(1)), r"a b\.json: .*cannot be the name"),
        ("node1.json", format_registry(attested(1, extra={"state": "gone"})), "node1.json: /state: must be one of"),
        ("node1.json", format_registry(attested(1, extra={"retired_ids": 1})), "/retired_ids: must be a list"),
        ("node1.json", format_registry(attested(1, extra={"retired_ids": ["x"]})), "/retired_ids/0: .*not an Iroh"),
    ]:
        write_atomic(tmp_path / name, data)
        with pytest.raises(InputError, match=reason):
            read_record(tmp_path)
        (tmp_path / name).unlink()


class Model:
    """Ten hosts that change, move, rotate, leave and come back, and what the record must say of them: plain dicts."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.keys = dict.fromkeys(range(1, 11), 0)  # how many keys each host had before this one
        self.relays = dict.fromkeys(self.keys, 0)
        self.names = {number: f"host{number}" for number in self.keys}
        self.gone: set[int] = set()
        self.expected: dict[str, tuple[int, str, str]] = {}
        self.last: dict[int, NodeRegistryEntry] = {}
        self.record: Entries = {}

    def gather(self, number: int, step: int) -> NodeRegistryEntry:
        secret = key(number + 100 * self.keys[number])
        relay = f"https://relay{self.relays[number]}.example.org"
        one = entry(number, iroh_node_id=secret.public().base64, relay_url=relay)
        now = NOW + timedelta(hours=step)
        self.last[number] = attest(one, secret, cluster=CLUSTER, now=now, previous=self.last.get(number))
        return self.last[number]

    def run(self, step: int) -> None:
        """One run: something happens to one host, some hosts are reached, the record is merged."""
        number = self.rng.choice(sorted(self.keys))
        name = self.names[number]
        reached = set(self.rng.sample(sorted(self.keys), self.rng.randint(0, 10)))
        states: dict[str, str] = {}
        announced = {}
        act = self.rng.choice(["change", "rotate", "rename", "remove", "nothing"])
        if number in self.gone:
            # Set up anew, with a new key: the only way back.
            self.keys[number] += 1
            self.gone.discard(number)
        elif act == "change":
            self.relays[number] += 1
        elif act == "rotate":
            self.keys[number] += 1
            announced[name] = key(number + 100 * self.keys[number]).public()
            reached.add(number)
        elif act == "rename":
            states[name] = "absent"
            self.expected.pop(name, None)
            self.names[number] += "x"
            reached.add(number)
        elif act == "remove" and name in self.expected:
            states[name] = "absent"
            del self.expected[name]
            self.gone.add(number)
        reached -= self.gone
        gathered = {self.names[one]: self.gather(one, step) for one in reached}
        result = merge(self.record, gathered, states=states, announced=announced)
        assert result.refused == ()
        self.expected |= {name: (one.node_id, one.iroh_node_id, str(one.relay_url)) for name, one in gathered.items()}
        self.record = result.record

    def check(self) -> None:
        living = {name: one for name, one in self.record.items() if state_of(one) != "absent"}
        said = {name: (one.node_id, one.iroh_node_id, str(one.relay_url)) for name, one in living.items()}
        assert said == self.expected
        peers = build_peers(self.record.values())
        assert [(peer.node_id, peer.iroh_node_id, peer.relay_url) for peer in peers] == sorted(self.expected.values())


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_any_few_partial_runs_come_to_what_a_plain_model_says(seed: int, runs: int) -> None:
    model = Model(seed)
    for step in range(runs):
        model.run(step)
        model.check()


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_partial_runs_come_to_what_a_plain_model_says(seed: int) -> None:
    model = Model(seed)
    for step in range(100):
        model.run(step)
        model.check()


def test_a_host_that_signs_nothing_is_updated_in_run_after_run(tmp_path: Path) -> None:
    record: Entries = {}
    for hour in range(4):
        relay = f"https://relay{hour // 2}.example.org"
        result = merge(record, {"rust": entry(1, relay_url=relay)}, now=NOW + timedelta(hours=hour))
        assert result.refused == ()
        assert (result.changed, result.added) == (("rust",) if hour == 2 else (), ("rust",) if hour == 0 else ())
        write_record(tmp_path, record, result.record)
        record = read_record(tmp_path)
    assert record["rust"].extra == {"recorded_at": "2026-01-15T11:30:00Z"}


def test_one_host_too_many_is_spoken_of_as_one() -> None:
    assert refused(fleet(1), {}, states={"node1": "absent"}, max_removals=0).startswith("1 host would be removed")


def test_a_record_has_a_number_of_entries_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path / "new" / "record", {}, fleet(1, 2, 3))
    monkeypatch.setattr("blixard.documents.record.MAX_RECORD_ENTRIES", 3)
    assert len(read_record(tmp_path / "new" / "record")) == 3
    monkeypatch.setattr("blixard.documents.record.MAX_RECORD_ENTRIES", 2)
    with pytest.raises(InputError, match="2"):
        read_record(tmp_path / "new" / "record")
