# SPDX-License-Identifier: MIT
"""What voters acknowledged is kept, in one order, whatever breaks; `python -m tests.raft` breaks more, and longer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.raft import faults
from tests.raft.__main__ import run, start_in_any_order
from tests.raft.cluster import Cluster, cluster

pytestmark = pytest.mark.root

WRITES = 200
DISK = "8m"
_RUNS = itertools.count(1)


@pytest.fixture(scope="module")
def voters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five voters that run; the faults come one after the other, and each of them is mended at its end."""
    with cluster(tmp_path_factory.mktemp("raft"), 5) as made, made.own_disks(DISK):
        made.start()
        made.leader()
        yield made


@pytest.mark.parametrize(
    "fault",
    [
        faults.leader_killed,
        faults.leader_paused,
        faults.cut_in_two,
        faults.journal_cut,
        faults.disk_full,
        faults.voter_replaced,
        faults.all_killed,
    ],
)
def test_a_history_is_linearizable_and_nothing_acknowledged_is_lost(voters: Cluster, fault: faults.Fault) -> None:
    judged = run(fault, voters, first=1_000_000 * next(_RUNS), writes=WRITES).check()
    assert judged.faults == []
    assert judged.acknowledged >= WRITES


@pytest.mark.parametrize("seed", range(1))
def test_voters_that_start_in_any_order_form_one_cluster(tmp_path: Path, seed: int) -> None:
    assert start_in_any_order(tmp_path, seed) == 1
