# SPDX-License-Identifier: MIT
"""New keys for a running fleet of five: one node after the other, stopped by the first failure, and taken up again."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.fleet import BIN, Fleet, Run
from tests.ports import free_ports

from blixard.documents.entry_states import retired_ids
from blixard.documents.record import read_record
from blixard.trust.keys import KEY_FILE_NAME, read_secret_key

HOSTS = tuple(f"node{number}" for number in range(1, 6))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Five signed nodes; their keys are older than a day."""
    fleet = Fleet.of(tmp_path_factory.mktemp("fleet"), 5)
    fleet.sign_with(tmp_path_factory.mktemp("keys") / "fleet-key")
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def first(bare: Fleet) -> Run:
    run = bare.play("site")
    for host in HOSTS:
        os.utime(bare.root / host / KEY_FILE_NAME, (1, 1))
    return run


@pytest.fixture
def fleet(bare: Fleet, first: Run) -> Fleet:
    assert first.code == 0, first.output
    return bare


def _ids(fleet: Fleet) -> dict[str, str]:
    """The id that each host's key has."""
    return {host: read_secret_key(fleet.root / host / KEY_FILE_NAME).public().base64 for host in HOSTS}


def _recorded(fleet: Fleet) -> dict[str, str]:
    return {name: entry.iroh_node_id for name, entry in read_record(fleet.registry).items()}


class Watch:
    """Runs `blixard check` over and over, and keeps which nodes it did not reach each time."""

    def __init__(self, *options: str | Path) -> None:
        """`options` make it the check of a member (`--data-dir`), or that of a stranger (`--peers`)."""
        self.missed: list[set[int]] = []
        self._command = [BIN / "blixard", "check", *options, "--timeout", "2", "--json"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            done = subprocess.run(self._command, capture_output=True, text=True, check=False)
            if "no node runs" in done.stderr or "went away" in done.stderr:
                continue  # the node that is asked is itself away just now
            edges = json.loads(done.stdout)["edges"]
            # No member lets a stranger in, and it has no node id.
            self.missed.append(
                {edge["to"] for edge in edges if not edge["reached"] or not (edge["admitted"] or edge["from"] is None)}
            )

    def saw_them_away(self, *rotating: int) -> bool:
        """Tell whether no check missed more than one node, and they missed them in the order of rotation."""
        away = [sorted(missed) for missed in self.missed if missed]
        return bool(away) and away == [[node] for node in rotating for missed in away if missed == [node]]


def test_check_mode_says_whose_key_is_due_and_changes_nothing(fleet: Fleet) -> None:
    before = fleet.files()

    would = fleet.play("rotate", "--check", "--diff")

    assert would.code == 0, would.output
    assert "to get a new key: node1, node2, node3, node4, node5" in would.words
    after = fleet.files()
    logs = {f"{host}/agent.log" for host in HOSTS}
    assert {name for name in before | after if before.get(name) != after.get(name)} <= logs


def test_a_limited_rotation_and_one_that_endangers_the_quorum_do_not_begin(fleet: Fleet) -> None:
    before = _ids(fleet)

    limited = fleet.play("rotate", "--limit", "node3")
    assert limited.code != 0
    assert "run this without --limit and choose with -e blixard_rotate=node3" in limited.words
    together = fleet.play("rotate", "-e", "blixard_rotate_batch=3")
    assert together.code != 0
    assert "3 of 5 voters, and their quorum bears 2; set blixard_rotate_batch to 2" in together.words

    assert _ids(fleet) == before


def test_it_stops_at_the_first_failure_with_all_others_connected_and_goes_on_where_it_stopped(fleet: Fleet) -> None:
    old = _ids(fleet)
    # The third node will not start again: it cannot write its log.
    log = fleet.root / "node3" / "agent.log"
    log.unlink()
    log.mkdir()

    with Watch("--data-dir", fleet.root / "node5") as watch:
        broken = fleet.play("rotate")
    assert broken.code != 0
    assert watch.saw_them_away(1, 2, 3), [missed for missed in watch.missed if missed]
    now = _ids(fleet)
    assert {host for host in HOSTS if now[host] != old[host]} == {"node1", "node2", "node3"}
    assert _recorded(fleet) == now
    alone = fleet.play("check", "--limit", "node1,node2,node4,node5", "-e", "blixard_check_timeout=2")
    assert {edge["to"] for edge in fleet.report()["edges"] if not edge["reached"]} == {3}, alone.output

    log.rmdir()
    with Watch("--data-dir", fleet.root / "node1") as watch:
        resumed = fleet.play("rotate")
    assert resumed.code == 0, resumed.output
    assert "half through, to be finished first: node3; to get a new key: node4, node5" in resumed.words
    assert watch.saw_them_away(3, 4, 5), [missed for missed in watch.missed if missed]
    after = _ids(fleet)
    assert {host for host in HOSTS if after[host] != now[host]} == {"node4", "node5"}
    assert _recorded(fleet) == after
    record = read_record(fleet.registry)
    assert {host: [each.base64 for each in retired_ids(record[host])] for host in HOSTS} == {
        host: [old[host]] for host in HOSTS
    }
    assert fleet.report()["summary"]["reached"] == 20
    assert not list(fleet.root.glob("*/*.next"))

    again = fleet.play("rotate")
    assert (again.code, again.changed) == (0, dict.fromkeys(HOSTS, 0)), again.output
    assert "no key is older than 86400 s" in again.words


def test_all_five_rotate_while_a_stranger_checks_and_misses_no_more_than_the_one_whose_turn_it_is(fleet: Fleet) -> None:
    before = _ids(fleet)

    with Watch("--peers", fleet.peers_file) as watch:
        run = fleet.play("rotate", "-e", "blixard_rotate_min_age=0")

    assert run.code == 0, run.output
    assert watch.saw_them_away(1, 2, 3, 4, 5), [missed for missed in watch.missed if missed]
    assert not set(_ids(fleet).values()) & set(before.values())


def test_one_host_can_be_chosen_and_the_fleet_is_converged_afterwards(fleet: Fleet) -> None:
    before = _ids(fleet)

    run = fleet.play("rotate", "-e", "blixard_rotate=node2", "-e", "blixard_rotate_min_age=0")

    assert run.code == 0, run.output
    after = _ids(fleet)
    assert {host for host in HOSTS if before[host] != after[host]} == {"node2"}
    assert fleet.play("site").changed == dict.fromkeys(HOSTS, 0)


def test_settings_for_all_roll_out_in_batches_that_spare_the_quorum_and_larger_ones_are_refused(fleet: Fleet) -> None:
    fleet.group["blixard_log_level"] = "debug"
    pids = {host: fleet.pid(host) for host in HOSTS}
    rotate = fleet.play("rotate", "-e", "blixard_rotate_min_age=0")
    assert rotate.code != 0
    assert "run site.yml first: " in rotate.words

    # A change of the record too, to see that nothing at all is written.
    bind = fleet.hosts["node4"]["blixard_bind"]
    fleet.hosts["node4"]["blixard_bind"] = f"127.0.0.1:{free_ports(1)[0]}"
    before = fleet.settled()
    for arguments in (("--check",), ()):
        at_once = fleet.play("site", "-e", "blixard_serial=3", *arguments)
        assert at_once.code != 0
        assert "node1, node2, node3 would be down at once: 3 of 5 voters" in at_once.words
        assert "set blixard_serial to 2 or less" in at_once.words
        assert fleet.settled() == before

    foreseen = fleet.play("site", "--check", "--diff")
    assert foreseen.code == 0, foreseen.output
    assert fleet.settled() == before
    fleet.hosts["node4"]["blixard_bind"] = bind
    with Watch("--peers", fleet.peers_file) as watch:
        rolled = fleet.play("site")
    assert rolled.code == 0, rolled.output
    assert all(missed <= {1, 2} or missed <= {3, 4} or missed <= {5} for missed in watch.missed), watch.missed
    assert all(fleet.pid(host) != pids[host] for host in HOSTS)
    assert fleet.play("site").changed == dict.fromkeys(HOSTS, 0)
