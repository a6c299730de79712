# SPDX-License-Identifier: MIT
"""Blocking work beside the event loop, in a way that a file system which hangs cannot spread."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from blixard.errors import BlixardError
from blixard.sources.base import Answer, Failed

if TYPE_CHECKING:
    from blixard.sources.base import SourceKind


Result = TypeVar("Result")


class StillBusy(Exception):
    """The last piece of work has not come back."""


class Worker(Generic[Result]):
    """Runs one piece of blocking work at a time, each in a thread of its own.

    The threads are daemons, which asyncio's own pool does not offer: a read that never returns, from a network file
    system that is gone, neither uses up a pool that others share nor keeps the process from ending.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, or raise what it raises. A cancelled call leaves the thread to itself.

        Raises:
            StillBusy: an earlier call, cancelled meanwhile, has not ended.
        """
        if self._thread is not None and self._thread.is_alive():
            raise StillBusy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def body() -> None:
            try:
                result = work()
            except BaseException as error:
                _hand_over(loop, _set_exception, future, error)
            else:
                _hand_over(loop, _set_result, future, result)

        self._thread = threading.Thread(target=body, name="blixard-source", daemon=True)
        self._thread.start()
        try:
            return await future
        finally:
            if future.done() and not future.cancelled():
                self._thread = None


def _hand_over(loop: asyncio.AbstractEventLoop, *call: object) -> None:
    try:
        loop.call_soon_threadsafe(*call)  # type: ignore[arg-type]
    except RuntimeError:
        # The loop was closed while this thread was stuck; nobody waits any more.
        return


def _set_result(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Result], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


_STUCK = "the last look at it has not come back; is its file system reachable?"


class BlockingSource(ABC):
    """A source whose work is blocking: it looks in a thread, and can tell whether it should look again."""

    def __init__(self, name: str, kind: SourceKind) -> None:
        self.name = name
        self.kind: SourceKind = kind
        self._worker: Worker[Answer | bool] = Worker()

    async def fetch(self) -> Answer:
        """Look now, as `Source.fetch`."""
        try:
            answer = await self._worker.run(self.look)
        except StillBusy:
            return Failed(_STUCK)
        except BlixardError as error:
            return Failed(str(error))
        assert not isinstance(answer, bool)  # noqa: S101 # it comes from `look`
        return answer

    async def changed(self) -> bool:
        """Tell whether to look again, as `Watched.changed`."""
        try:
            return bool(await self._worker.run(self.is_outdated))
        except (StillBusy, BlixardError):
            # The next fetch, which is never far, says what is wrong.
            return False

    @abstractmethod
    def look(self) -> Answer:
        """Look, blocking. May raise BlixardError for what `Failed` would say."""

    @abstractmethod
    def is_outdated(self) -> bool:
        """Tell from file stamps alone, blocking, whether `look` may find something new."""
