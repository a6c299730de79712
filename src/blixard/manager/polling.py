# SPDX-License-Identifier: MIT
"""Asking the sources: all of them at every refresh, a changed file within a second, a failed one again soon."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from blixard.clock import TimeLimit, limited
from blixard.dialling import backoff
from blixard.dialling.agenda import Agenda, Alarm
from blixard.model.times import format_time
from blixard.ordered_set import OrderedSet
from blixard.peers.claims import UNSIGNED, Origin
from blixard.peers.status import SourceStatus
from blixard.sources.base import Answer, Failed, Found, Nothing, Watched
from blixard.tasks import spawn

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from blixard.clock import Clock
    from blixard.peers.status import AnswerKind, SourceState
    from blixard.sources.base import Source

SOURCE_TIMEOUT = 10.0
"""Seconds that one look at one source may take."""

WATCH_INTERVAL = 1.0
"""Seconds between two looks at whether files have changed."""

REFRESH_JITTER = 0.1
"""The share by which the refresh interval is stretched or shrunk at random, so that nodes that were started together
do not go on asking a registry server together."""

SHORTEST_FRESHNESS = 5.0
"""Seconds for which an answer is not asked for again whatever TTL it has, such as 0."""

LONGEST_FRESHNESS = 3600.0
"""Seconds after which one is asked for again in any case: a TTL of a week is mostly a mistake."""

_OnAnswer = Callable[[Origin, Answer], None]

_log = logging.getLogger("blixard.sources")


@dataclass(eq=False)
class _Asked:
    """One source and its answers so far."""

    source: Source
    origin: Origin
    answer: Answer | None = None
    good: Answer | None = None
    good_at: datetime | None = None
    good_since: float = 0.0
    fresh_until: float = 0.0
    failures: int = 0
    counts: Counter[AnswerKind] = field(default_factory=Counter)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def status(self, now: float, wall: datetime) -> SourceStatus:
        failure = self.answer if isinstance(self.answer, Failed) else Failed("")
        told = failure.remembered or self.good
        found = told if isinstance(told, Found) else None
        return SourceStatus(
            name=self.origin.name,
            state=self._state(),
            peers=len(found.sightings) if found is not None else 0,
            good_at=self.good_at,
            error=self.answer.error if isinstance(self.answer, Failed) else None,
            problems=found.problems if found is not None else (),
            answers=dict(self.counts),
            memory_of=failure.memory_of,
            age_s=self._age(now, wall, failure.memory_of),
            ttl_s=_freshness(told),
        )

    def _age(self, now: float, wall: datetime, memory_of: datetime | None) -> float | None:
        if memory_of is not None:
            return max(0.0, (wall - memory_of).total_seconds())
        return None if self.good is None else now - self.good_since

    def _state(self) -> SourceState:
        return "not_asked" if self.answer is None else _kind_of(self.answer)


def _kind_of(answer: Answer) -> AnswerKind:
    if isinstance(answer, Failed):
        return "failed"
    return "found" if isinstance(answer, Found) else "nothing"


def _freshness(answer: Answer | None) -> float | None:
    return answer.fresh_for if isinstance(answer, (Found, Nothing)) else None


def _ordered(sources: Iterable[Source], *, signed: bool) -> list[_Asked]:
    return [
        _Asked(source, Origin(source.name, source.kind, order, is_hint=signed and source.kind in UNSIGNED))
        for order, source in enumerate(sources)
    ]


class Poller:
    """Asks each source by itself and all at the same time, so that none holds up another."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        interval: float,
        signed: bool = False,
        clock: Clock,
        rng: Random,
        on_answer: _OnAnswer,
        on_refresh: Callable[[], None],
    ) -> None:
        """`on_answer` is told every answer, `on_refresh` called every `interval` seconds; neither may raise.

        `signed`: whether a fleet key says who the members are, so that what nobody signed is a hint.
        """
        self._asked = _ordered(sources, signed=signed)
        self._interval = interval
        self._clock = clock
        self._rng = rng
        self._on_answer = on_answer
        self._on_refresh = on_refresh
        self._agenda: Agenda[_Asked | Literal["refresh", "watch"]] = Agenda()
        self._alarm = Alarm(clock)
        self._tasks: OrderedSet[asyncio.Task[None]] = OrderedSet()
        self._runner: asyncio.Task[None] | None = None
        self._silent = set(self._asked)
        self._all_answered = asyncio.Event()

    def status(self) -> list[SourceStatus]:
        """Return the status of each source, in order."""
        now, wall = self._clock.now(), self._clock.wall()
        return [asked.status(now, wall) for asked in self._asked]

    @property
    def sources(self) -> list[Source]:
        """The sources that are asked, in order."""
        return [asked.source for asked in self._asked]

    def origins(self) -> list[Origin]:
        """Return the sources as the table sees them, in order."""
        return [asked.origin for asked in self._asked]

    def change(self, sources: Sequence[Source], *, interval: float, signed: bool = False) -> None:
        """Ask `sources` from now on, at another interval. Those that were asked before keep what they answered.

        The new ones are asked at once.
        """
        self._interval = interval
        before = {id(asked.source): asked for asked in self._asked}
        self._asked = _ordered(sources, signed=signed)
        for place, asked in enumerate(self._asked):
            kept = before.pop(id(asked.source), None)
            if kept is not None:
                kept.origin = asked.origin
                self._asked[place] = kept
            elif self._runner is not None:
                self._silent.add(asked)
                self._agenda.plan(asked, self._clock.now())
        for asked in before.values():
            self._silent.discard(asked)
            self._agenda.cancel(asked)
        if self._runner is not None:
            self._plan_refresh()
            self._agenda.plan("watch", self._clock.now() + WATCH_INTERVAL)
            self._alarm.ring()
        self._note_silence()

    def start(self) -> None:
        """Begin to ask; the first refresh is at once."""
        if self._runner is None:
            self._silent = set(self._asked)
            self._note_silence()
            self._runner = spawn(self._run(), "asking the sources")

    async def answered(self) -> None:
        """Return when every source has given an answer since the start, good or bad, or after a stop."""
        if self._silent:
            await self._all_answered.wait()

    async def stop(self) -> None:
        """Stop asking; returns when every task has ended."""
        if self._runner is None:
            return
        self._all_answered.set()
        runner, self._runner = self._runner, None
        tasks = [runner, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> None:
        """Ask all sources now; returns when each has answered, failed or run into its time limit."""
        await asyncio.gather(*(self._ask(asked) for asked in self._asked))

    async def _refresh_stale(self, now: float) -> None:
        """Ask those whose last answer is not fresh any more; the others' counts for one refresh more."""
        fresh = [asked for asked in self._asked if asked.fresh_until > now]
        for asked in fresh:
            assert asked.answer is not None  # noqa: S101 # it is the fresh one
            self._on_answer(asked.origin, asked.answer)
        await asyncio.gather(*(self._ask(asked) for asked in self._asked if asked not in fresh))

    async def _run(self) -> None:
        self._agenda.plan("refresh", self._clock.now())
        self._agenda.plan("watch", self._clock.now() + WATCH_INTERVAL)
        while True:
            now = self._clock.now()
            while (item := self._agenda.pop(now)) is not None:
                self._act(item, now)
            await self._alarm.wait(self._agenda.next_at())

    def _act(self, item: _Asked | Literal["refresh", "watch"], now: float) -> None:
        if isinstance(item, _Asked):
            self._spawn(self._ask(item))
        elif item == "refresh":
            self._plan_refresh()
            self._on_refresh()
            self._spawn(self._refresh_stale(now))
        else:
            watched = [asked for asked in self._asked if isinstance(asked.source, Watched)]
            if watched:
                self._agenda.plan("watch", now + WATCH_INTERVAL)
            for asked in watched:
                if not asked.lock.locked():
                    self._spawn(self._look_whether_changed(asked))

    def _plan_refresh(self) -> None:
        jitter = self._rng.uniform(1 - REFRESH_JITTER, 1 + REFRESH_JITTER)
        self._agenda.plan("refresh", self._clock.now() + self._interval * jitter)

    def _note_silence(self) -> None:
        if self._silent:
            self._all_answered.clear()
        else:
            self._all_answered.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = spawn(work, "asking a source")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_whether_changed(self, asked: _Asked) -> None:
        assert isinstance(asked.source, Watched)  # noqa: S101 # only those are asked this
        async with asked.lock:
            try:
                changed = await limited(self._clock, SOURCE_TIMEOUT, asked.source.changed())
            except TimeLimit:
                return
        if changed:
            await self._ask(asked)

    async def _ask(self, asked: _Asked) -> None:
        async with asked.lock:
            answer = await self._fetch(asked.source)
        if asked not in self._asked:
            return  # no longer one of the sources
        self._log(asked, answer)
        asked.answer = answer
        asked.counts[_kind_of(answer)] += 1
        if isinstance(answer, Failed):
            asked.failures += 1
            asked.fresh_until = 0.0
            wait = min(backoff.delay(asked.failures, self._rng), self._interval)
            self._agenda.plan(asked, self._clock.now() + wait)
            self._alarm.ring()
        else:
            asked.failures, asked.good, asked.good_at = 0, answer, self._clock.wall()
            asked.good_since = self._clock.now()
            self._plan_next(asked, answer.fresh_for)
        self._on_answer(asked.origin, answer)
        self._silent.discard(asked)
        self._note_silence()

    def _plan_next(self, asked: _Asked, fresh_for: float | None) -> None:
        """Ask again when a good answer is not fresh any more; where it does not say when, at the next refresh."""
        if fresh_for is None:
            asked.fresh_until = 0.0
            self._agenda.cancel(asked)
            return
        # Stretched at random, since a cache gives all its clients the same end.
        fresh_for = min(max(fresh_for, SHORTEST_FRESHNESS), LONGEST_FRESHNESS)
        asked.fresh_until = self._clock.now() + fresh_for * self._rng.uniform(1, 1 + REFRESH_JITTER)
        self._agenda.plan(asked, asked.fresh_until)
        self._alarm.ring()

    async def _fetch(self, source: Source) -> Answer:
        try:
            return await limited(self._clock, SOURCE_TIMEOUT, source.fetch())
        except TimeLimit:
            return Failed(f"no answer in {SOURCE_TIMEOUT:.0f} s")
        except Exception as error:
            _log.exception("source broke", extra={"source": source.name})
            return Failed(f"{type(error).__name__}: {error}")

    def _log(self, asked: _Asked, answer: Answer) -> None:
        """Log what is new: an error once, not at each try, and what was refused in a good answer."""
        before = asked.answer
        if isinstance(answer, Failed):
            if not isinstance(before, Failed) or before.error != answer.error:
                _log.info("source error", extra={"source": asked.origin.name, "error": answer.error})
            if answer.memory_of is not None and not (isinstance(before, Failed) and before.memory_of):
                since = format_time(answer.memory_of)
                _log.warning("peers from memory", extra={"source": asked.origin.name, "memory_of": since})
            return
        if isinstance(before, Failed):
            _log.info("source works again", extra={"source": asked.origin.name})
        known = asked.good.problems if isinstance(asked.good, Found) else ()
        for problem in answer.problems if isinstance(answer, Found) else ():
            if problem not in known:
                _log.warning("refused", extra={"source": asked.origin.name, "reason": problem})
