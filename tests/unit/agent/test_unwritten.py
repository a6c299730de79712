# SPDX-License-Identifier: MIT
"""What could not be written is tried again within seconds, and said until it is there."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.unit.agent.settings import settings
from tests.unit.agent.virtual_clock import VirtualClock
from tests.unit.documents.samples import CLUSTER, NOW, key

from blixard.agent.own_entry import REGISTRY_FILE_NAME, OwnEntry
from blixard.agent.unwritten import RETRY_INTERVAL, Unwritten
from blixard.sources.snapshots import Snapshot, SnapshotStore
from blixard.trust.highest_seq import HighestSeq


class Watched(VirtualClock):
    """Time that passes only when somebody waits, and in which something happens after each wait."""

    def __init__(self, *events: Callable[[], object]) -> None:
        super().__init__()
        self._events = iter(events)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        next(self._events, _end)()


def _end() -> None:
    raise asyncio.CancelledError


async def test_all_that_a_node_keeps_is_written_one_interval_after_it_can_be_whatever_the_refresh_interval(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = tmp_path / "missing"
    lines: list[int] = []
    unwritten: Unwritten
    clock = Watched(*[lambda: lines.append(len(unwritten.lines()))] * 5, data_dir.mkdir, bool)
    config = settings(data_dir)
    own = OwnEntry(config, key(1), {4: 7001}, clock)
    seen, memory = HighestSeq(data_dir, clock.wall), SnapshotStore(data_dir)
    unwritten = Unwritten(lambda: [own, seen, memory], clock)
    own.update(config)
    seen.raise_to("peers.json", CLUSTER, key(9).public(), 7)
    memory.keep("static:peers.json", Snapshot(b"[]", b"", NOW))

    with caplog.at_level(logging.INFO, "blixard.node"), pytest.raises(asyncio.CancelledError):
        await unwritten.keep_trying()

    assert lines == [3] * 5
    assert unwritten.lines() == []
    assert {each.name for each in data_dir.iterdir()} == {
        *(REGISTRY_FILE_NAME, "seen-signatures.json", "remembered-peers"),
    }
    said = [record.message for record in caplog.records]
    assert said == ["not written, it is tried again"] * 3 + ["all that could not be written is written"]
    assert clock.time == 8 * RETRY_INTERVAL


def test_a_memory_that_could_not_be_removed_is_removed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SnapshotStore(tmp_path)
    memory.keep("static:a", Snapshot(b"[]", b"", NOW))
    (path,) = (tmp_path / "remembered-peers").iterdir()

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", refuse)
        memory.forget_all_but([])
        memory.write_again()
        assert memory.problem == f"{path}: cannot be removed: Read-only file system"
    memory.write_again()
    assert not memory.problem
    assert not path.exists()
