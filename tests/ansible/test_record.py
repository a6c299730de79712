# SPDX-License-Identifier: MIT
"""What a host may not change about itself in a run, what the inventory may, and that a refusal writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.fleet import Fleet, Run
from tests.ports import free_ports

from blixard.documents.entry_states import state_of
from blixard.documents.peers_file import read_peers
from blixard.documents.record import read_record
from blixard.trust.keys import KEY_FILE_NAME, create_secret_key

# As a run that ends before it restarts anybody.
PREPARE = """\
- hosts: blixard
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: blixard
        tasks_from: prepare
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts, the second of which also tells an address that is not its own."""
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 3)
    own = fleet.hosts["node2"]["blixard_bind"]
    fleet.hosts["node2"]["blixard_advertise_extra"] = [own.replace("127.0.0.1", "127.0.0.2")]
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def first(bare: Fleet) -> Run:
    return bare.play("site")


@pytest.fixture
def fleet(bare: Fleet, first: Run) -> Fleet:
    assert first.code == 0, first.output
    return bare


def _refused(fleet: Fleet, *lines: str) -> None:
    """Have a run refused with these lines, rehearsed and in earnest, and nothing written."""
    before = fleet.settled()
    for arguments in (("--check", "--diff"), ()):
        run = fleet.play("site", *arguments)
        assert run.code != 0
        assert "refused, nothing was written:" in run.output
        for line in lines:
            assert line in run.words
        assert fleet.settled() == before


def test_an_extra_address_is_told_with_the_reason_and_so_is_what_is_kept_back(fleet: Fleet) -> None:
    told = {node["name"]: node["addresses"] for node in fleet.report()["nodes"]}
    own, (extra,) = (fleet.hosts["node2"][name] for name in ("blixard_bind", "blixard_advertise_extra"))

    assert told["node2"] == [
        {"address": extra, "advertised": True, "reason": "extra"},
        {"address": own, "advertised": False, "reason": "loopback"},
    ]
    assert read_record(fleet.registry)["node2"].direct_addresses == (extra,)


def test_swapped_node_ids_are_refused_by_name(fleet: Fleet) -> None:
    one, three = fleet.hosts["node1"], fleet.hosts["node3"]
    one["blixard_node_id"], three["blixard_node_id"] = 3, 1

    _refused(
        fleet,
        "node1: its node id changed from 1 to 3; a node keeps its id",
        "node3: its node id changed from 3 to 1; a node keeps its id",
    )

    one["blixard_node_id"], three["blixard_node_id"] = 1, 3


def test_a_new_key_that_nobody_announced_is_refused_until_somebody_says_so(fleet: Fleet) -> None:
    fleet.kill("node3")
    path = fleet.root / "node3" / KEY_FILE_NAME
    path.unlink()
    new = create_secret_key(path).public()

    _refused(fleet, f"to {new.short} and nobody announced that; if that is meant, run site.yml with -e ")
    before = fleet.settled()
    rotated = fleet.play("rotate", "-e", "blixard_rotate_min_age=0")
    option = f'{{"blixard_announced": {{"node3": "{new.hex}"}}}}'
    assert rotated.code != 0
    assert f"and nobody announced that; if that is meant, run site.yml with -e '{option}'" in rotated.words
    assert fleet.settled() == before, "no node is started half way"

    run = fleet.play("site", "-e", option)
    assert run.code == 0, run.output
    assert read_record(fleet.registry)["node3"].endpoint_id == new


def test_a_change_that_was_recorded_and_never_rolled_out_can_be_taken_back(fleet: Fleet, tmp_path: Path) -> None:
    playbook = tmp_path / "prepare.yml"
    playbook.write_text(PREPARE)
    bind = fleet.hosts["node1"]["blixard_bind"]
    fleet.hosts["node1"]["blixard_bind"] = f"127.0.0.1:{free_ports(1)[0]}"
    broken_off = fleet.play(playbook)
    assert broken_off.code == 0, broken_off.output
    newer = read_record(fleet.registry)["node1"]
    assert newer.address == fleet.hosts["node1"]["blixard_bind"]

    fleet.hosts["node1"]["blixard_bind"] = bind
    before = fleet.settled()
    assert fleet.play("site", "--check", "--diff").code == 0
    assert fleet.settled() == before
    pid = fleet.pid("node1")
    run = fleet.play("site")

    assert run.code == 0, run.output
    entry = read_record(fleet.registry)["node1"]
    assert entry.address == bind
    assert entry.attestation is not None
    assert newer.attestation is not None
    assert entry.attestation.seq > newer.attestation.seq
    assert fleet.play("site").changed == dict.fromkeys(fleet.hosts, 0)
    assert fleet.pid("node1") == pid


def test_a_draining_host_stays_a_member_through_which_nobody_joins(fleet: Fleet) -> None:
    fleet.group["blixard_join"] = ["node1", "node3"]
    fleet.hosts["node3"]["blixard_state"] = "draining"
    before = fleet.settled()
    assert fleet.play("site", "--check", "--diff").code == 0
    assert fleet.settled() == before

    assert fleet.play("site").code == 0

    assert state_of(read_record(fleet.registry)["node3"]) == "draining"
    assert [peer.node_id for peer in read_peers(fleet.peers_file)] == [1, 2, 3]
    assert [path.name for path in (fleet.root / "node2" / "registry.d").iterdir()] == ["node1.json"]


def test_a_host_set_absent_leaves_for_good_and_an_old_copy_of_its_word_does_not_bring_it_back(fleet: Fleet) -> None:
    fleet.group["blixard_join"] = []
    fleet.hosts["node3"]["blixard_state"] = "absent"
    _refused(fleet, "1 host would be removed (node3), at most 0 may be at once")
    before = fleet.settled()
    would = fleet.play("site", "-e", "blixard_max_removals=1", "--check", "--diff")
    assert (would.code, "+0 −1 ~0 peers" in would.output) == (0, True), would.output
    assert fleet.settled() == before

    run = fleet.play("site", "-e", "blixard_max_removals=1")
    assert run.code == 0, run.output
    assert [peer.node_id for peer in read_peers(fleet.peers_file)] == [1, 2]

    # Its node runs on with the key that was retired, and says the same of itself as ever.
    del fleet.hosts["node3"]["blixard_state"]
    _refused(fleet, "was retired (node3.json in the record) and does not come back; give the host a new key")
