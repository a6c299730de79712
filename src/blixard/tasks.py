# SPDX-License-Identifier: MIT
"""Background tasks that do not die in silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("blixard.tasks")


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run `work` in the background; should it break, that is logged at once and with its traceback.

    The caller must keep the task: the event loop does not.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


def _tell(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.critical("background task broke", extra={"task": task.get_name()}, exc_info=error)
