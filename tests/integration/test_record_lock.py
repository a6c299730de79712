# SPDX-License-Identifier: MIT
"""A lock in etcd around a whole run: what runs under it publishes, and nobody else does meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.etcd import EtcdServer, etcd, etcd_server, place, server
from tests.integration.nodes import eventually
from tests.unit.publishing.fleets import CONTEXT, at, keep, publication_of, publish, record_of

from blixard.cli.main import main
from blixard.errors import InputError
from blixard.fleet.run_lock import take
from blixard.publishing import etcd_locks
from blixard.publishing.base import RUN_LOCK, held_of
from blixard.publishing.etcd import EtcdDestination
from blixard.publishing.etcd_locks import RunLock
from blixard.sources.base import EtcdAccess
from blixard.sources.etcd_client import Etcd, EtcdPlace

__all__ = ["etcd", "place", "server"]

ANN = {"user": "ann", "machine": "m1", "process": 7, "since": "now"}
ANN_SAYS = "another run is at work on this record: ann on m1, process 7, since now"
KEY = "fleet/rollout"


@pytest.fixture
def ann(place: str) -> Iterator[RunLock]:
    """A run of somebody else's, which has the lock."""
    lock = locked(place)
    yield lock
    lock.release()


@pytest.fixture
def begin() -> Iterator[Callable[[], int]]:
    """Give the function that starts a process which stands for a run; returns its id."""
    begun: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        begun.append(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]))
        return begun[-1].pid

    yield start
    for run in begun:
        run.kill()
        run.wait()


def locked(place: str) -> RunLock:
    lock = RunLock(Etcd(EtcdPlace.parse(place), EtcdAccess()), ANN)
    lock.wait_for(0, lambda _: False, print)
    return lock


def under(place: str, *words: str, wait: int = 0) -> int:
    return main(["record", "lock", "--wait", str(wait), place, "--", *words])


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code


def test_a_command_has_the_lock_while_it_runs_and_says_its_own_exit_code(place: str, etcd: EtcdServer) -> None:
    wanted = f"import os, sys; sys.exit(7 if os.environ['{RUN_LOCK}'].startswith('{place} ') else 1)"
    assert under(place, *python(wanted)) == 7
    assert KEY not in etcd.keys("fleet/", "fleet0")


def test_a_command_that_a_signal_ends_has_the_exit_code_that_a_shell_gives_it(place: str) -> None:
    assert under(place, "sh", "-c", "kill -TERM $$") == 128 + signal.SIGTERM


def test_words_of_the_command_reach_it_as_they_are(place: str) -> None:
    assert (
        under(place, *python("import sys; sys.exit(sys.argv[1:] != ['--wait', '--', '-x'])"), "--wait", "--", "-x") == 0
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wait", "soon", "PLACE", "--", "true"], "must be a number of seconds"),
        (["PLACE"], "says no command to run"),
        (["PLACE", "--", "/no/such/program"], "/no/such/program: cannot be run: No such file or directory"),
        (["s3://fleet", "--", "true"], "is not the place of an etcd"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_leaves_no_lock(
    place: str, etcd: EtcdServer, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "lock", *(place if word == "PLACE" else word for word in words)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert etcd.keys("fleet/", "fleet0") == {}


def test_a_second_run_is_refused_with_who_has_the_record(
    place: str, ann: RunLock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert under(place, "true") == 2
    assert f"{place}: {ANN_SAYS}; wait until it ends" in capsys.readouterr().err


def test_a_second_run_that_waits_says_for_whom_and_has_its_turn(
    place: str, ann: RunLock, capfd: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    lease: list[str] = []

    def second() -> None:
        lock = RunLock(Etcd(EtcdPlace.parse(place), EtcdAccess()), {**ANN, "user": "bob"})
        lock.wait_for(60, threading.Event().wait, lease.append)
        codes.append(0)
        lock.release()

    thread = threading.Thread(target=second)
    thread.start()
    eventually(lambda: bool(lease))
    assert (codes, lease) == ([], [f"{place}: {ANN_SAYS}"])
    ann.release()
    thread.join()
    assert codes == [0]


def test_a_run_inside_of_a_run_has_the_lock_already(place: str) -> None:
    inner = "import sys; from blixard.cli.main import main; sys.exit(main(sys.argv[1:]))"
    assert under(place, *python(inner), "record", "lock", place, "--", "sh", "-c", "exit 3") == 3


def test_who_has_not_the_lock_publishes_nothing_while_a_run_has_it(
    place: str, etcd: EtcdServer, ann: RunLock, tmp_path: Path
) -> None:
    [outcome] = publish(publication_of(tmp_path, record_of(1), seq=at(1)), place)
    assert (outcome.status, outcome.reason) == (
        "failed",
        f"{place}: {ANN_SAYS}; wait until it ends, and run this again",
    )
    assert list(etcd.keys("fleet/", "fleet0")) == [KEY]


async def test_what_runs_under_the_lock_publishes_until_the_lock_is_lost(
    place: str, etcd: EtcdServer, ann: RunLock, tmp_path: Path
) -> None:
    context = replace(CONTEXT, held=held_of(ann.held))
    first = publication_of(tmp_path / "a", record_of(1), seq=at(1))
    assert (await EtcdDestination(place, context).publish(first)).status == "changed"
    etcd.remove(KEY)
    later = publication_of(tmp_path / "b", record_of(1, 2), seq=at(2))
    with pytest.raises(InputError, match="the lock of this run was lost, now it is nobody's"):
        await EtcdDestination(place, context).publish(later)
    bob = locked(place)
    with pytest.raises(InputError, match="the lock of this run was lost, now it is of ann on m1"):
        await EtcdDestination(place, context).publish(later)
    bob.release()
    assert EtcdDestination(place, context).look().peers == first.peers


def test_a_lock_that_is_lost_between_two_steps_of_a_publication_lets_the_second_one_not_through(
    place: str, etcd: EtcdServer, ann: RunLock
) -> None:
    client = Etcd(EtcdPlace.parse(place), EtcdAccess())
    run = etcd_locks.RunFence(client, ann.lease)
    with etcd_locks.publishing(client, ANN, run) as lock:
        lock.commit([etcd_locks.put(b"fleet/registry/n1", b"1")], b"fleet/peers", 0)
        ann.release()
        with pytest.raises(InputError, match="the lock of this run was lost"):
            lock.commit([etcd_locks.put(b"fleet/registry/n1", b"2")], b"fleet/peers", 0)
    assert etcd.keys("fleet/registry/", "fleet/registry0") == {"fleet/registry/n1": b"1"}


def test_a_command_whose_lock_is_lost_is_ended_with_all_that_it_started(
    place: str, etcd: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(etcd_locks, "LEASE", 3)
    monkeypatch.setattr("sys.stdin", (tmp_path / "no-terminal").open("w+"))
    lives = tmp_path / "lives"

    def steal() -> None:
        eventually(lives.exists)
        etcd.remove(KEY)

    thief = threading.Thread(target=steal)
    thief.start()
    assert under(place, "sh", "-c", f"sleep 600 & echo $! >{lives}.part; mv {lives}.part {lives}; wait") == 1
    thief.join()
    assert "the lock was lost: its lease ran out, or somebody removed it" in capsys.readouterr().err
    child = Path(f"/proc/{lives.read_text().strip()}/stat")
    eventually(lambda: not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_lock_is_renewed_for_as_long_as_its_run_lasts(
    place: str, etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_locks, "LEASE", 1)
    lock = locked(place)
    granted = etcd.call("lease/timetolive", {"ID": lock.lease})
    ticks = iter(range(int(granted["grantedTTL"]) * 12))  # twice as long as it would last by itself
    assert lock.keep(lambda seconds: threading.Event().wait(seconds) or next(ticks, None) is None) is None
    with pytest.raises(InputError, match=ANN_SAYS):
        locked(place)
    lock.release()


def test_the_lock_of_a_run_that_died_goes_with_its_lease(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_locks, "LEASE", 1)
    dead = locked(place)
    lock = RunLock(Etcd(EtcdPlace.parse(place), EtcdAccess()), ANN)
    lock.wait_for(60, threading.Event().wait, print)
    assert dead.renew() is False
    lock.release()


def test_an_etcd_that_cannot_be_reached_for_as_long_as_a_lease_loses_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_locks, "LEASE", 1)
    with etcd_server(tmp_path / "etcd") as mortal:
        lock = locked(f"{mortal.place}/fleet")
        mortal.kill()
        assert "it could not be renewed" in (lock.keep(lambda seconds: threading.Event().wait(seconds)) or "")


def test_a_run_of_ansible_holds_both_locks_until_it_ends(
    place: str, etcd: EtcdServer, tmp_path: Path, begin: Callable[[], int]
) -> None:
    path, run = tmp_path / "registry.lock", begin()
    held = take(path, run, place=place)
    assert list(held_of(held)) == [place]
    assert take(path, run, place=place) == held, "once more is no trouble"
    said: list[str] = []
    with pytest.raises(InputError, match=f"process {run}, since .*wait until it ends"):
        take(tmp_path / "other.lock", begin(), place=place)
    os.kill(run, signal.SIGKILL)
    other = take(tmp_path / "other.lock", begin(), place=place, wait=60, say=said.append)
    assert held_of(other) != held_of(held)


def test_runs_on_one_record_of_one_machine_are_told_of_each_other_by_its_lock_file(
    place: str, tmp_path: Path, begin: Callable[[], int]
) -> None:
    path = tmp_path / "registry.lock"
    take(path, begin(), place=place)
    with pytest.raises(InputError) as refused:
        take(path, begin(), place=place)
    assert str(refused.value).startswith(f"{path}: another run is at work on this record: ")


def test_a_run_of_ansible_learns_that_its_lock_was_lost(
    place: str, etcd: EtcdServer, tmp_path: Path, begin: Callable[[], int]
) -> None:
    path, run = tmp_path / "registry.lock", begin()
    take(path, run, place=place)
    etcd.remove(KEY)
    with pytest.raises(InputError, match="the lock of this run was lost, now it is nobody's"):
        take(path, run, place=place)


def test_a_run_of_ansible_under_the_command_takes_the_lock_that_is_there(
    place: str, tmp_path: Path, ann: RunLock, begin: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_LOCK, ann.held)
    run = begin()
    assert take(tmp_path / "registry.lock", run, place=place) == ann.held
    assert take(tmp_path / "registry.lock", run, place=place) == ann.held


def test_shards_that_are_rolled_out_at_once_lose_nothing(place: str, tmp_path: Path) -> None:
    """Each pulls, adds a node of its own, and publishes, all under the lock, in processes of their own."""
    keep(tmp_path / "first", record_of(1), seq=at(1))
    publish(publication_of(tmp_path / "first", record_of(1), seq=at(1)), place)
    shards = [
        subprocess.Popen(
            [*python("import sys; from blixard.cli.main import main; sys.exit(main(sys.argv[1:]))"),
             "record", "lock", "--wait", "120", place, "--",
             sys.executable, "-m", "tests.integration.shard", place, str(tmp_path / f"of-{number}"), str(number)],
            cwd=Path(__file__).parents[2],
        )
        for number in (2, 3, 4)
    ]  # fmt: skip
    assert [each.wait() for each in shards] == [0, 0, 0]
    assert EtcdDestination(place, CONTEXT).look().entries.keys() == {"n1", "n2", "n3", "n4"}
