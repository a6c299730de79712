# SPDX-License-Identifier: MIT
"""Background tasks that break are heard of."""

from __future__ import annotations

import asyncio

import pytest

from blixard.tasks import spawn


async def test_a_task_that_breaks_is_logged_with_its_name_and_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("oops")

    task = spawn(work(), "some work")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert (record.levelname, record.__dict__["task"]) == ("CRITICAL", "some work")
    assert "oops" in caplog.text


async def test_a_task_that_is_cancelled_or_done_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    done, cancelled = spawn(work(), "done"), spawn(work(), "cancelled")
    cancelled.cancel()
    await asyncio.wait([done, cancelled])
    await asyncio.sleep(0)
    assert caplog.records == []
