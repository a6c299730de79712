# SPDX-License-Identifier: MIT
"""Inventories that no run can do anything with are refused with every reason, before a host is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import GROUP, Fleet, Run

from blixard.fleet.run_lock import take


def refused(fleet: Fleet, run: Run, *words: str) -> None:
    """Assert that a run was refused with these words, in one task on the controller, and left nothing behind."""
    assert run.code != 0, run.output
    for each in words:
        assert each in run.words
    assert "Traceback" not in run.output
    assert "Finalization of task args" not in run.output
    assert sum(run.changed.values()) == 0
    assert fleet.files() == {}


@pytest.mark.parametrize("playbook", ["site", "check", "peers", "decommission", "rotate"])
def test_two_sites_with_a_place_each_are_refused_with_both_places_and_hosts(new_fleet: NewFleet, playbook: str) -> None:
    fleet = new_fleet(2)
    for number, site in enumerate(("berlin", "office"), start=1):
        folder = fleet.root / site
        folder.mkdir()
        group = {**GROUP, "blixard_fleet_dir": "{{ inventory_dir }}/.fleet"}
        del group["blixard_report_file"]
        hosts = {f"node{number}": fleet.hosts[f"node{number}"]}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"blixard": {"vars": group, "hosts": hosts}}))
    both = (fleet.root / "berlin", fleet.root / "office")

    for limit in ((), ("--limit", "node2")):
        run = fleet.play(playbook, *limit, "-e", "blixard_decommission=node2", sources=both)
        assert run.code != 0, run.output
        assert f"{fleet.root}/berlin/.fleet on node1, {fleet.root}/office/.fleet on node2" in run.words
        assert {path.name for path in fleet.root.iterdir()} == {"berlin", "office", "hosts.yml"}


def test_everything_that_is_wrong_is_told_at_once(new_fleet: NewFleet) -> None:
    fleet = new_fleet(2)
    fleet.hosts["a b"] = {"blixard_node_id": 3, "blixard_bind": "127.0.0.1:1"}
    fleet.hosts["node1"]["blixard_bind"] = "localhost"
    fleet.hosts["node2"]["blixard_node_id"] = 0

    run = fleet.play("site", "-e", "blixard_voters=node1,n2")

    refused(
        fleet,
        run,
        '"a b" cannot be the name of a host in the record',
        'blixard_bind of node1: "localhost" is no address to bind',
        "blixard_node_id of node2: must be at least 1",
        "blixard_voters: no such host: n2",
    )


def test_a_merge_conflict_in_the_record_is_called_so_before_a_host_is_touched(new_fleet: NewFleet) -> None:
    fleet = new_fleet(1)
    fleet.registry.mkdir(parents=True)
    entry = fleet.registry / "node1.json"
    entry.write_text('{\n<<<<<<< HEAD\n"a": 1\n=======\n"a": 2\n>>>>>>> theirs\n}\n')

    run = fleet.play("site")

    assert run.code != 0
    assert f"{entry}: has the marks of a merge conflict in it (line 2); settle it in version control" in run.words
    assert not (fleet.root / "node1").exists()


@pytest.mark.parametrize("playbook", ["site", "check", "peers", "decommission", "rotate"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-e", "blixard_hosts=nosuch"), 'no host is in "nosuch"; set blixard_hosts'),
        (("--limit", "router"), "--limit router leaves no host of the fleet"),
    ],
)
def test_a_run_that_no_host_takes_part_in_is_not_green(
    new_fleet: NewFleet, playbook: str, arguments: tuple[str, ...], words: str
) -> None:
    fleet = new_fleet(1)
    with_router = fleet.root / "router.yml"
    with_router.write_text(yaml.safe_dump({"all": {"hosts": {"router": {"ansible_connection": "local"}}}}))

    run = fleet.play(playbook, *arguments, sources=(fleet.root / "hosts.yml", with_router))

    assert run.code != 0, run.output
    assert words in run.words
    assert [path.name for path in fleet.root.iterdir() if path.suffix != ".yml"] == []


def test_lists_as_texts_with_commas_are_lists(new_fleet: NewFleet, tmp_path: Path) -> None:
    fleet = new_fleet(3)
    run = fleet.play(
        "site",
        *("-e", "blixard_voters=node1,node2"),
        *("-e", "blixard_join=node1,node2"),
        *("-e", f"blixard_registries={tmp_path}/a,{tmp_path}/b"),
        *("-e", "blixard_advertise_include=127.0.0.0/8,10.0.0.0/8"),
    )
    assert run.code == 0, run.output
    config = yaml.safe_load((fleet.root / "node3" / "node-config.json").read_text())
    assert config["registries"] == [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert config["advertise"]["include"] == ["127.0.0.0/8", "10.0.0.0/8"]
    assert [Path(path).name for path in config["join"]] == ["node1.json", "node2.json"]


def test_of_two_runs_at_once_on_one_record_the_second_is_refused_and_changes_nothing(new_fleet: NewFleet) -> None:
    fleet = new_fleet(1)
    lock = fleet.registry.with_name("registry.lock")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        take(lock, other.pid)
        run = fleet.play("site")
        assert run.code != 0
        assert f"{lock}: another run is at work on this record: " in run.words
        assert f"process {other.pid}, since 2" in run.words
        assert not (fleet.root / "node1").exists()
        assert fleet.play("site", "--check").code == 0, "which writes nothing"
        assert other.stdin is not None
        other.stdin.close()
        other.wait()

    assert fleet.play("site").code == 0
    assert sorted(path.name for path in fleet.registry.parent.iterdir()) == ["discovery-peers.json", "registry"]


def own_play(fleet: Fleet, **more: object) -> Path:
    """Write a play of somebody's own with the role in it, and return its file."""
    play = {
        "name": "Ours",
        "hosts": "blixard",
        "gather_facts": False,
        "roles": [{"role": "blixard.fleet.blixard", **more}],
    }
    path = fleet.root / "ours.yml"
    path.write_text(yaml.safe_dump([play]))
    return path


def test_in_a_play_of_somebody_s_own_the_play_s_own_serial_is_what_is_asked_for(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)
    play = own_play(fleet)
    assert fleet.play(play).code == 0

    changed = fleet.play(play, "-e", "blixard_refresh_interval=30")

    assert changed.code != 0
    assert "give the play `serial: 1`, or run blixard.fleet.site, which works it out" in changed.words
    assert "blixard_serial" not in changed.output
    one_by_one = yaml.safe_load(play.read_text())
    play.write_text(yaml.safe_dump([{**one_by_one[0], "serial": 1}]))
    assert fleet.play(play, "-e", "blixard_refresh_interval=30").code == 0


def test_a_play_of_somebody_s_own_with_serial_is_refused_while_its_batches_do_not_know_each_other(
    new_fleet: NewFleet,
) -> None:
    fleet = new_fleet(3)
    play = own_play(fleet)
    (text,) = yaml.safe_load(play.read_text())
    play.write_text(yaml.safe_dump([{**text, "serial": 1}]))

    run = fleet.play(play)

    assert run.code != 0
    assert "node2, node3: not in the record yet, and in a play with `serial` the hosts before them" in run.words
    assert not (fleet.root / "node1").exists()


def test_when_may_not_leave_out_the_host_for_which_is_done_what_is_done_once(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)
    run = fleet.play(own_play(fleet, when="inventory_hostname != 'node1'"))
    assert run.code != 0
    assert "the first host of the play (node1) is left out by `when`" in run.words
    assert not (fleet.root / "node2").exists()


def test_two_clusters_of_one_inventory_need_a_folder_each(new_fleet: NewFleet) -> None:
    fleet = new_fleet(2)
    fleet.hosts["node2"]["blixard_cluster"] = "stage"
    assert fleet.play("site", "-e", "blixard_hosts=node1").code == 0

    run = fleet.play("site", "-e", "blixard_hosts=node2")

    assert run.code != 0
    assert (
        'the record has node1 of cluster "test", and this run is for "stage"; give each cluster a folder' in run.words
    )
    assert not (fleet.root / "node2").exists()
    assert fleet.play("site", "-e", "blixard_hosts=node2", "-e", f"blixard_fleet_dir={fleet.root}/.stage").code == 0


def test_a_host_that_when_leaves_out_is_not_reported_as_lost(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)
    run = fleet.play(own_play(fleet, when="inventory_hostname != 'node3'"))
    assert run.code == 0, run.output
    assert {node["name"] for node in fleet.report()["nodes"]} == {"node1", "node2"}


def test_what_a_check_found_is_shown_though_the_report_cannot_be_written(new_fleet: NewFleet) -> None:
    fleet = new_fleet(2)
    (fleet.root / "file").touch()
    run = fleet.play("site", "-e", f"blixard_report_file={fleet.root}/file/report.json")
    assert run.code != 0
    assert "2 of 2 edges reached between 2 nodes of test" in run.words
    assert f"{fleet.root}/file" in run.words


def test_a_check_that_asked_nobody_is_not_green(new_fleet: NewFleet) -> None:
    fleet = new_fleet(2)
    for variables in ({"blixard_node_manage": False}, {"blixard_state": "absent"}):
        run = fleet.play("check", "-e", json.dumps(variables))
        assert run.code != 0, run.output
        assert "no node was asked: every host of this run has left" in run.words


def test_a_package_that_is_not_there_is_one_line_before_a_host_is_touched(new_fleet: NewFleet) -> None:
    fleet = new_fleet(1)
    fleet.group["blixard_runtime_manage"] = True
    run = fleet.play("site", "-e", "blixard_package=dist/nosuch.whl")
    refused(fleet, run, "dist/nosuch.whl: cannot be read: No such file or directory; set blixard_package to a wheel")
