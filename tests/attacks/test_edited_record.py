# SPDX-License-Identifier: MIT
"""Whoever can edit the record, the folder in version control, cannot edit it into another membership.

The same edits are tried with a fleet key, where the manifest holds them, and without one, where the peers file at hand
does; through the function behind the module and through the command line.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.run import blixard
from tests.unit.documents.samples import CLUSTER, NOW, RUN, attested, entry, key

from blixard.documents.peers_file import format_peers, parse_peers
from blixard.documents.record import read_record
from blixard.documents.registry_file import read_registry, write_registry
from blixard.errors import BlixardError
from blixard.fleet.registry import Update, update_record
from blixard.fleet.signature import keep_signature
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.key_announcement import announce

FLEET_KEY = key(100)
HOSTS = ["one", "two", "three", "four"]


@dataclass
class Repository:
    """The record, the peers file and what signs them, as they are in version control."""

    root: Path
    signs: bool
    now: datetime = NOW

    @property
    def record(self) -> Path:
        return self.root / "registry"

    @property
    def peers_file(self) -> Path:
        return self.root / "discovery-peers.json"

    def run(self, gathered: dict[str, NodeRegistryEntry] | None = None, **options: Any) -> Update:
        """A run of the role: merge, render, sign."""
        arguments = {
            **RUN,
            "now": self.now,
            "peers_file": self.peers_file,
            "hosts": HOSTS,
            "nodes": {},
            "signers": [FLEET_KEY.public().hex] if self.signs else [],
        }
        said = {name: each.to_json() for name, each in (gathered or {}).items()}
        update = update_record(self.record, said, **{**arguments, **options})
        if not update.refused:
            self.peers_file.write_bytes(format_peers(parse_peers(json.dumps(update.peers).encode())))
            self.sign()
        return update

    def sign(self) -> None:
        if self.signs:
            keep_signature(
                self.peers_file,
                key=FLEET_KEY,
                cluster=CLUSTER,
                signers=[FLEET_KEY.public().hex],
                now=self.now,
                sha256=None,
                check=False,
                record=self.record,
            )

    def file(self, name: str) -> Path:
        return self.record / f"{name}.json"

    def change(self, name: str, **fields: Any) -> None:
        """Edit fields of an entry, as a text editor would; None takes a field away."""
        document = json.loads(self.file(name).read_bytes()) | fields
        kept = {field: value for field, value in document.items() if value is not None or field == "relay_url"}
        self.file(name).write_text(json.dumps(kept, indent=2) + "\n")


@pytest.fixture(params=[True, False], ids=["with a fleet key", "with the peers file alone"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    """Three members, and `gone`, who has left for good."""
    made = Repository(tmp_path, signs=request.param)
    members = {"one": attested(1), "two": attested(2), "three": attested(3)}
    assert not made.run({**members, "gone": attested(7)}).refused
    assert not made.run(states={"gone": "absent"}, max_removals=1).refused
    made.now = NOW + timedelta(hours=1)
    return made


def _without_attestation(repository: Repository) -> None:
    repository.change("two", attestation=None, recorded_at="2026-01-15T09:30:00Z")


def _elsewhere(repository: Repository) -> None:
    _without_attestation(repository)
    repository.change("two", direct_addresses=["203.0.113.9:7001"])


def _another_id_unsigned(repository: Repository) -> None:
    repository.change("two", attestation=None, recorded_at="2026-01-15T09:30:00Z", iroh_node_id=key(66).public().base64)


def _another_self_signed(repository: Repository) -> None:
    other = attest(entry(2, iroh_node_id=key(66).public().base64), key(66), cluster=CLUSTER, now=NOW)
    write_registry(repository.file("two"), other)


def _another_that_claims_to_follow(repository: Repository) -> None:
    said = announce(key(66), key(67), cluster=CLUSTER, node_id=2, now=NOW)
    entry_of = attest(entry(2, iroh_node_id=key(67).public().base64), key(67), cluster=CLUSTER, now=NOW)
    extra = {"announcements": [said], "retired_ids": [key(2).public().base64]}
    write_registry(repository.file("two"), dataclasses.replace(entry_of, extra=extra))


def _an_old_announcement_of_another_node(repository: Repository) -> None:
    said = announce(key(1), key(67), cluster=CLUSTER, node_id=1, now=NOW)
    entry_of = attest(entry(2, iroh_node_id=key(67).public().base64), key(67), cluster=CLUSTER, now=NOW)
    write_registry(repository.file("two"), dataclasses.replace(entry_of, extra={"announcements": [said]}))


def _file_deleted(repository: Repository) -> None:
    repository.file("two").unlink()


def _absent_by_hand(repository: Repository) -> None:
    repository.change("two", state="absent")


def _absent_and_another_in_its_place(repository: Repository) -> None:
    repository.file("two").rename(repository.file("old"))
    repository.change("old", state="absent")
    _another_self_signed(repository)


def _a_member_that_nobody_knows(repository: Repository) -> None:
    write_registry(repository.file("mallory"), attested(66))


def _under_another_number(repository: Repository) -> None:
    write_registry(
        repository.file("two"), attest(entry(2, cluster_node_id=22), key(2), cluster=CLUSTER, now=repository.now)
    )


def _an_older_entry(repository: Repository) -> None:
    moved = attest(
        entry(2, direct_addresses=("10.0.0.2:7001",)), key(2), cluster=CLUSTER, now=NOW + timedelta(minutes=1)
    )
    assert not repository.run({"two": moved}).refused
    write_registry(repository.file("two"), attested(2))


def _the_dead_raised(repository: Repository) -> None:
    repository.change("gone", state=None)


EDITS: list[Callable[[Repository], None]] = [
    _without_attestation,
    _elsewhere,
    _another_id_unsigned,
    _another_self_signed,
    _another_that_claims_to_follow,
    _an_old_announcement_of_another_node,
    _file_deleted,
    _absent_by_hand,
    _absent_and_another_in_its_place,
    _a_member_that_nobody_knows,
    _under_another_number,
    _an_older_entry,
    _the_dead_raised,
]


def _name(edit: Callable[[Repository], None]) -> str:
    return edit.__name__.strip("_").replace("_", " ")


@pytest.mark.parametrize("edit", EDITS, ids=_name)
def test_an_edit_of_the_record_is_refused_with_its_file_and_nothing_is_written(
    repository: Repository, edit: Callable[[Repository], None]
) -> None:
    edit(repository)
    before = {path: path.read_bytes() for path in repository.root.rglob("*") if path.is_file()}

    update = repository.run()

    assert update.refused
    if edit not in (_file_deleted, _absent_by_hand, _absent_and_another_in_its_place):
        name = {"_a_member_that_nobody_knows": "mallory", "_the_dead_raised": "gone"}.get(edit.__name__, "two")
        assert any(line.startswith(f"{name}.json in the record: ") for line in update.refused), update.refused
    assert {path: path.read_bytes() for path in repository.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("edit", EDITS, ids=_name)
def test_the_command_line_refuses_what_the_playbook_refuses(
    repository: Repository, edit: Callable[[Repository], None]
) -> None:
    edit(repository)
    before = repository.peers_file.read_bytes()

    ran = blixard("peers", "build", "--record", repository.record, "--out", repository.peers_file, "--check")

    assert ran.code == 1, ran
    if edit is _a_member_that_nobody_knows or (edit is _the_dead_raised and not repository.signs):
        assert "+1 −0 ~0 peers" in ran.out, "only an inventory tells who is to be a member: the command names newcomers"
        return
    assert ran.err.count("\n") == 1, ran
    ran = blixard("peers", "build", "--record", repository.record, "--out", repository.peers_file)
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran
    assert "Traceback" not in ran.err
    assert repository.peers_file.read_bytes() == before


@pytest.mark.parametrize("edit", [_another_id_unsigned, _another_self_signed, _without_attestation], ids=_name)
def test_gathering_the_true_host_does_not_hide_what_was_written_in_its_place(
    repository: Repository, edit: Callable[[Repository], None]
) -> None:
    edit(repository)

    assert any(line.startswith("two.json in the record: ") for line in repository.run({"two": attested(2)}).refused)

    repository.file("two").unlink()
    healed = repository.run({"two": attested(2)})
    assert not healed.refused
    assert read_registry(repository.file("two")).iroh_node_id == key(2).public().base64


def test_a_tombstone_that_is_gone_is_missed_where_a_fleet_key_signs(tmp_path: Path) -> None:
    signed = Repository(tmp_path, signs=True)
    signed.run({"one": attested(1), "gone": attested(7)})
    signed.run(states={"gone": "absent"}, max_removals=1)
    signed.file("gone").unlink()

    refused = signed.run().refused

    assert len(refused) == 1
    assert refused[0].startswith("the record no longer says that gone (")
    back = signed.run({"four": attested(7, cluster_node_id=4)}).refused
    assert any("has left for good and does not come back" in line for line in back), back


def test_with_a_fleet_key_record_and_peers_file_edited_together_are_refused_too(tmp_path: Path) -> None:
    signed = Repository(tmp_path, signs=True)
    signed.run({"one": attested(1), "two": attested(2)})
    _another_self_signed(signed)
    unsigned = Repository(tmp_path / "mallory", signs=False)
    shutil.copytree(signed.record, unsigned.record, ignore=shutil.ignore_patterns("MANIFEST"))
    assert not unsigned.run().refused
    signed.peers_file.write_bytes(unsigned.peers_file.read_bytes())

    assert any(line.startswith("two.json in the record: has the Iroh id") for line in signed.run().refused)


def test_a_manifest_by_somebody_else_or_from_before_does_not_help(tmp_path: Path) -> None:
    signed = Repository(tmp_path, signs=True)
    signed.run({"one": attested(1), "two": attested(2), "gone": attested(7)})
    early = {path: path.read_bytes() for path in signed.record.iterdir()}
    signed.now = NOW + timedelta(hours=1)
    signed.run(states={"gone": "absent"}, max_removals=1)
    late = (signed.record / "MANIFEST").read_bytes()

    for path, data in early.items():
        path.write_bytes(data)
    assert any("gone.json in the record: the Iroh id" in line for line in signed.run().refused)

    (signed.record / "MANIFEST").write_bytes(
        late.replace(FLEET_KEY.public().base64.encode(), key(9).public().base64.encode())
    )
    with pytest.raises(BlixardError, match=r"MANIFEST: signed by .*, which is not one of the trusted signers"):
        signed.run()
    (signed.record / "MANIFEST").write_bytes(late.replace(b'"absent"', b'"present"'))
    with pytest.raises(BlixardError, match=r"MANIFEST: the signature by .* does not fit"):
        signed.run()


def test_a_peers_file_that_was_signed_after_the_manifest_says_who_has_left(tmp_path: Path) -> None:
    """As `blixard peers sign` does it without the record: the manifest stays behind, and must bring nobody back."""
    signed = Repository(tmp_path, signs=True)
    signed.run({"one": attested(1), "two": attested(2)})
    present = signed.file("two").read_bytes()
    signed.now = NOW + timedelta(hours=1)
    signed.run(states={"two": "absent"}, max_removals=1)
    absent = signed.file("two").read_bytes()
    behind = Repository(tmp_path / "behind", signs=True)
    behind.run({"one": attested(1), "two": attested(2)})
    (signed.record / "MANIFEST").write_bytes((behind.record / "MANIFEST").read_bytes())

    signed.file("two").write_bytes(present)
    assert any("two.json in the record: the Iroh id" in line for line in signed.run().refused)
    signed.file("two").write_bytes(absent)
    assert not signed.run().refused
    assert [member["state"] for member in json.loads((signed.record / "MANIFEST").read_bytes())["members"]] == [
        "present",
        "absent",
    ]


@pytest.mark.parametrize("edit", [_another_that_claims_to_follow, _absent_and_another_in_its_place], ids=_name)
def test_where_members_may_leave_an_edit_still_puts_nobody_in_their_place(
    repository: Repository, edit: Callable[[Repository], None]
) -> None:
    edit(repository)
    assert any("nobody announced that" in line for line in repository.run(max_removals=9).refused)


def test_a_new_machine_takes_over_name_and_number_of_one_that_leaves_in_the_same_run(repository: Repository) -> None:
    replacement = {"four": attest(entry(2, iroh_node_id=key(4).public().base64), key(4), cluster=CLUSTER, now=NOW)}
    assert repository.run(replacement, states={"two": "absent"}).refused
    assert not repository.run(replacement, states={"two": "absent"}, max_removals=1).refused
    assert not repository.run().refused


def test_a_host_whose_entry_was_removed_comes_back_with_a_new_key_as_one_removal(repository: Repository) -> None:
    repository.file("two").unlink()
    anew = {"two": attest(entry(2, iroh_node_id=key(32).public().base64), key(32), cluster=CLUSTER, now=NOW)}

    assert any("1 member of" in line for line in repository.run(anew).refused)
    assert not repository.run(anew, max_removals=1).refused
    assert not repository.run().refused


def test_what_an_operator_does_on_purpose_goes_through(repository: Repository) -> None:
    moved = attest(entry(1, direct_addresses=("10.0.0.1:7001",)), key(1), cluster=CLUSTER, now=repository.now)
    assert not repository.run({"one": moved, "four": attested(4)}).refused

    rotated = attest(entry(2, iroh_node_id=key(12).public().base64), key(12), cluster=CLUSTER, now=repository.now)
    said = announce(key(2), key(12), cluster=CLUSTER, node_id=2, now=repository.now)
    assert not repository.run({"two": rotated}, announcements={"two": said}).refused
    assert not repository.run().refused

    lost_its_key = attest(entry(3, iroh_node_id=key(13).public().base64), key(13), cluster=CLUSTER, now=repository.now)
    assert repository.run({"three": lost_its_key}).refused
    assert not repository.run({"three": lost_its_key}, announced={"three": key(13).public().hex}).refused

    repository.change("four", state="absent")
    assert repository.run().refused
    assert not repository.run(max_removals=1).refused
    assert [peer.node_id for peer in parse_peers(repository.peers_file.read_bytes())] == [1, 2, 3]


def test_a_run_that_broke_off_between_record_and_peers_file_is_taken_up(repository: Repository) -> None:
    peers, sig = repository.peers_file.read_bytes(), repository.peers_file.with_name("discovery-peers.json.sig")
    kept = {path: path.read_bytes() for path in (sig, repository.record / "MANIFEST") if path.exists()}
    rotated = attest(entry(2, iroh_node_id=key(12).public().base64), key(12), cluster=CLUSTER, now=repository.now)
    said = announce(key(2), key(12), cluster=CLUSTER, node_id=2, now=repository.now)
    twice = attest(entry(2, iroh_node_id=key(22).public().base64), key(22), cluster=CLUSTER, now=repository.now)
    again = announce(key(12), key(22), cluster=CLUSTER, node_id=2, now=repository.now)
    assert not repository.run({"two": rotated, "four": attested(4)}, announcements={"two": said}).refused
    assert not repository.run({"two": twice}, announcements={"two": again}).refused
    repository.peers_file.write_bytes(peers)
    for path, data in kept.items():
        path.write_bytes(data)

    update = repository.run()

    assert not update.refused
    assert read_record(repository.record)["two"].iroh_node_id == key(22).public().base64
    assert [item["node_id"] for item in update.peers] == [1, 2, 3, 4]


def test_an_entry_without_attestation_is_taken_only_where_the_inventory_says_that_its_node_signs_nothing(
    repository: Repository,
) -> None:
    assert any("has no attestation" in line for line in repository.run({"four": entry(4)}).refused)
    assert not repository.run({"four": entry(4)}, nodes={"four": {"managed": False}}).refused
    assert not repository.run(nodes={"four": {"managed": False}}).refused

    repository.change("four", direct_addresses=["203.0.113.9:7001"])
    assert any(line.startswith("four.json in the record: has no attestation") for line in repository.run().refused)
    ran = blixard("peers", "build", "--record", repository.record, "--out", repository.peers_file)
    assert ran.code == 1
    told = blixard(
        *("peers", "build", "--record", repository.record, "--out", repository.peers_file),
        *("--unattested", "four"),
    )
    assert told.code == 0, told


def test_a_host_cannot_come_as_another_node_than_the_inventory_says(repository: Repository) -> None:
    """The number is free now; who would have it next would be refused for it."""
    refused = repository.run({"four": attested(5)}, nodes={"one": {"node_id": 1}, "four": {"node_id": 4}}).refused

    assert refused == ("four: says that it is node 5, and the inventory has it as node 4",)


def test_an_entry_that_was_brought_back_from_a_backup_is_mended_by_gathering_its_host_anew(
    repository: Repository,
) -> None:
    _an_older_entry(repository)
    newest = attest(
        entry(2, direct_addresses=("10.0.0.22:7001",)), key(2), cluster=CLUSTER, now=NOW + timedelta(minutes=2)
    )
    assert repository.run({"two": newest}).refused == ()
    assert json.loads(repository.file("two").read_bytes())["direct_addresses"] == ["10.0.0.22:7001"]


def test_a_number_that_a_wrong_clock_wrote_is_replaced_by_what_the_host_says_now(tmp_path: Path) -> None:
    signed = Repository(tmp_path, signs=True, now=NOW.replace(year=2099))
    signed.run({"one": attest(entry(1), key(1), cluster=CLUSTER, now=signed.now), "two": attested(2)})
    signed.now = NOW

    assert any("one.json in the record: sequence number" in line for line in signed.run().refused)
    assert not signed.run({"one": attested(1)}).refused
    assert not signed.run().refused


def test_two_entries_do_not_change_names(repository: Repository) -> None:
    """A state that the inventory gives to the one would count for the other."""
    one, two = repository.file("one").read_bytes(), repository.file("two").read_bytes()
    repository.file("one").write_bytes(two)
    repository.file("two").write_bytes(one)

    numbered = {"one": {"node_id": 1}, "two": {"node_id": 2}}
    assert "one: says that it is node 2, and the inventory has it as node 1" in repository.run(nodes=numbered).refused
    if repository.signs:
        assert any(line.startswith("one.json in the record: is the entry of two") for line in repository.run().refused)


def test_plain_registries_of_a_fleet_that_signs_nothing_are_built_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    for number in (1, 2):
        write_registry(tmp_path / "registry" / f"node{number}.json", entry(number))
    ran = blixard("peers", "build", "--record", tmp_path / "registry", "--out", tmp_path / "peers.json")
    assert ran.code == 0, ran
    (tmp_path / "registry" / "node2.json").unlink()
    gone = ("peers", "build", "--record", tmp_path / "registry", "--out", tmp_path / "peers.json")
    assert "1 member of" in blixard(*gone).err
    assert blixard(*gone, "--max-removals", "1").code == 0
