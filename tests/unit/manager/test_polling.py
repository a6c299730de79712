# SPDX-License-Identifier: MIT
"""When sources are asked, and that none holds up another."""

from __future__ import annotations

import asyncio
import itertools
import logging
from datetime import datetime, timezone
from random import Random

import pytest
from tests.simulation.sources import SetSource
from tests.simulation.virtual_time import VirtualClock, run
from tests.unit.peers.people import peer

from blixard.manager.polling import LONGEST_FRESHNESS, REFRESH_JITTER, SHORTEST_FRESHNESS, SOURCE_TIMEOUT, Poller
from blixard.peers.claims import Origin
from blixard.sources.base import Answer, Failed, Found, Nothing

INTERVAL = 60.0


class Watcher(SetSource):
    """A source that knows when it has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.has_changed = False

    async def changed(self) -> bool:
        return self.has_changed

    async def fetch(self) -> Answer:
        self.has_changed = False
        return await super().fetch()


class Log:
    """A poller on some sources, and what it was told."""

    def __init__(self, *sources: SetSource, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.answers: list[tuple[float, str, Answer]] = []
        self.refreshes: list[float] = []
        self.started = self.clock.now()
        self.poller = Poller(
            sources,
            interval=INTERVAL,
            clock=self.clock,
            rng=Random(seed),
            on_answer=self._take,
            on_refresh=lambda: self.refreshes.append(self.clock.now() - self.started),
        )

    def _take(self, origin: Origin, answer: Answer) -> None:
        self.answers.append((self.clock.now() - self.started, origin.name, answer))

    def times(self, name: str = "static:test") -> list[float]:
        return [at for at, who, _ in self.answers if who == name]


def test_sources_are_asked_at_the_start_and_then_once_an_interval_with_jitter() -> None:
    async def main() -> Log:
        log = Log(SetSource())
        log.poller.start()
        await asyncio.sleep(100 * INTERVAL)
        await log.poller.stop()
        return log

    log = run(main())
    assert log.times()[0] == 0.0
    gaps = [later - earlier for earlier, later in zip(log.times(), log.times()[1:], strict=False)]
    assert min(gaps) >= INTERVAL * (1 - REFRESH_JITTER)
    assert max(gaps) <= INTERVAL * (1 + REFRESH_JITTER)
    assert max(gaps) - min(gaps) > INTERVAL * REFRESH_JITTER
    assert log.refreshes == log.times()


def test_a_slow_source_holds_up_no_other_and_runs_into_its_limit() -> None:
    async def main() -> Log:
        slow, quick = SetSource("static:slow"), SetSource("static:quick")
        slow.seconds = 1e9
        log = Log(slow, quick)
        log.poller.start()
        await asyncio.sleep(SOURCE_TIMEOUT + 0.1)
        await log.poller.stop()
        return log

    log = run(main())
    assert log.times("static:quick") == [0.0]
    assert [type(answer) for _, who, answer in log.answers if who == "static:slow"] == [Failed]
    assert log.times("static:slow") == [SOURCE_TIMEOUT]


def test_a_source_that_fails_is_asked_again_soon_then_ever_more_rarely() -> None:
    async def main() -> Log:
        source = SetSource()
        source.set([peer(1)])
        source.fail()
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(INTERVAL * 0.8)
        source.recover()
        await asyncio.sleep(INTERVAL)
        await log.poller.stop()
        return log

    log = run(main())
    assert log.times()[1] <= 0.5
    assert len([at for at in log.times() if at < 0.8 * INTERVAL]) <= 12
    assert isinstance(log.answers[-1][2], Found)


def test_a_source_that_fails_first_or_again_is_asked_again_a_quarter_to_half_a_second_later() -> None:
    async def main(seed: int) -> list[float]:
        source = SetSource()
        source.fail()
        log = Log(source, seed=seed)
        log.poller.start()
        await asyncio.sleep(0.51)
        source.recover()
        await log.poller.refresh()
        source.fail()
        await log.poller.refresh()
        await asyncio.sleep(0.51)
        await log.poller.stop()
        first, second, *_ = log.times()
        again, after, *_ = [at for at in log.times() if at >= 0.51][1:]
        return [second - first, after - again]

    waits = [wait for seed in range(20) for wait in run(main(seed))]
    assert min(waits) >= 0.25
    assert max(waits) <= 0.5


def test_what_was_asked_leaves_no_task_and_no_memory_of_one() -> None:
    async def main() -> tuple[int, int]:
        log = Log(SetSource(), Watcher())
        log.poller.start()
        await asyncio.sleep(10 * INTERVAL + 0.5)
        left = len(log.poller._tasks), len(asyncio.all_tasks())
        await log.poller.stop()
        return left

    # The test itself, the poller, and its sleep.
    assert run(main()) == (0, 3)


def test_a_source_that_breaks_is_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SetSource):
        async def fetch(self) -> Answer:
            raise RuntimeError("oops")

    async def main() -> Log:
        log = Log(Broken())
        await log.poller.refresh()
        return log

    assert run(main()).answers[0][2] == Failed("RuntimeError: oops")
    assert "source broke" in caplog.messages


def test_a_changed_file_is_picked_up_within_about_a_second() -> None:
    async def main() -> Log:
        source = Watcher()
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(10.5)
        source.has_changed = True
        await asyncio.sleep(5)
        await log.poller.stop()
        return log

    assert run(main()).times() == [0.0, 11.0]


def test_refresh_returns_when_every_source_has_answered() -> None:
    async def main() -> tuple[int, float]:
        sources = [SetSource(f"static:{number}") for number in range(3)]
        for seconds, source in enumerate(sources):
            source.seconds = seconds
        log = Log(*sources)
        await log.poller.refresh()
        return len(log.answers), log.clock.now() - log.started

    assert run(main()) == (3, 2.0)


def test_one_source_is_never_asked_twice_at_the_same_time() -> None:
    class Single(SetSource):
        inside = 0

        async def fetch(self) -> Answer:
            self.inside += 1
            assert self.inside == 1
            answer = await super().fetch()
            self.inside -= 1
            return answer

    async def main() -> int:
        source = Single()
        source.seconds = 3.0
        log = Log(source)
        log.poller.start()
        await asyncio.gather(log.poller.refresh(), log.poller.refresh())
        await log.poller.stop()
        return source.fetches

    assert run(main()) == 3


def test_waiting_for_all_answers_ends_with_the_last_or_with_a_stop() -> None:
    async def main() -> list[float]:
        slow = SetSource()
        slow.seconds = 5.0
        log = Log(slow, SetSource("static:quick"))
        log.poller.start()
        await log.poller.answered()
        times = [log.clock.now() - log.started]
        await log.poller.stop()
        log.poller.start()
        waiting = asyncio.ensure_future(log.poller.answered())
        await asyncio.sleep(1)
        await log.poller.stop()
        await waiting
        return [*times, log.clock.now() - log.started]

    assert run(main()) == [5.0, 6.0]


def test_stop_leaves_no_task() -> None:
    async def main() -> int:
        slow = SetSource()
        slow.seconds = 5.0
        log = Log(slow, Watcher())
        log.poller.start()
        await asyncio.sleep(1.5)
        await log.poller.stop()
        await log.poller.stop()
        return len(asyncio.all_tasks())

    assert run(main()) == 1, "only the test itself"


def test_an_error_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        source = SetSource()
        log = Log(source)
        source.fail("down")
        for _ in range(3):
            await log.poller.refresh()
        source.recover()
        await log.poller.refresh()

    with caplog.at_level(logging.INFO, "blixard.sources"):
        run(main())
    assert caplog.messages == ["source error", "source works again"]


def test_what_was_refused_in_a_good_answer_is_logged_once_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        source = SetSource()
        source.set([peer(1)])
        assert isinstance(source.answer, Found)
        source.answer = Found(source.answer.sightings, ("x.json: is bad",))
        log = Log(source)
        await log.poller.refresh()
        await log.poller.refresh()
        assert log.poller.status()[0].problems == ("x.json: is bad",)

    run(main())
    assert [(record.levelname, record.__dict__["reason"]) for record in caplog.records] == [
        ("WARNING", "x.json: is bad")
    ]


def test_the_status_of_a_failing_source_still_shows_its_last_good_answer() -> None:
    async def main() -> list[dict[str, object]]:
        source = SetSource()
        log = Log(source)
        seen = [log.poller.status()[0]]
        source.set([peer(1), peer(2)])
        await log.poller.refresh()
        seen.append(log.poller.status()[0])
        source.fail("down")
        await log.poller.refresh()
        seen.append(log.poller.status()[0])
        return [{k: status.to_json()[k] for k in ("state", "peers", "error")} for status in seen]

    assert run(main()) == [
        {"state": "not_asked", "peers": 0, "error": None},
        {"state": "found", "peers": 2, "error": None},
        {"state": "failed", "peers": 2, "error": "down"},
    ]


def test_a_source_that_was_good_in_between_is_asked_again_as_soon_as_the_first_time_it_failed() -> None:
    async def main() -> Log:
        source = SetSource()
        source.fail()
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(0.9 * INTERVAL - 1.0)
        source.recover()
        await log.poller.refresh()
        source.fail()
        await log.poller.refresh()
        await asyncio.sleep(0.5)
        await log.poller.stop()
        return log

    log = run(main())
    assert [type(answer) for _, _, answer in log.answers[-3:]] == [Nothing, Failed, Failed]
    assert log.times()[-1] - log.times()[-2] <= 0.5


def test_a_source_that_is_good_again_is_not_asked_once_more_for_its_failure() -> None:
    async def main() -> Log:
        source = SetSource()
        source.fail()
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(0.1)
        source.recover()
        await log.poller.refresh()
        await asyncio.sleep(0.8 * INTERVAL)
        await log.poller.stop()
        return log

    assert [type(answer) for _, _, answer in run(main()).answers] == [Failed, Nothing]


def test_a_source_that_is_taken_away_before_it_has_answered_is_not_waited_for() -> None:
    async def main() -> float:
        slow, quick = SetSource("static:slow"), SetSource("static:quick")
        slow.seconds = 8.0
        log = Log(slow, quick)
        log.poller.start()
        await asyncio.sleep(1.0)
        log.poller.change([quick], interval=INTERVAL)
        await log.poller.answered()
        waited = log.clock.now() - log.started
        await log.poller.stop()
        return waited

    assert run(main()) == 1.0


def test_another_error_of_a_source_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "blixard.sources")

    async def main() -> None:
        source = SetSource()
        log = Log(source)
        for error in ("down", "down", "on fire"):
            source.fail(error)
            await log.poller.refresh()

    run(main())
    assert [record.__dict__["error"] for record in caplog.records] == ["down", "on fire"]


def test_that_peers_count_from_memory_is_logged_once_in_a_row_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    remembered = Failed("down", Found(()), datetime(2026, 1, 1, tzinfo=timezone.utc))

    async def main() -> None:
        source = SetSource()
        log = Log(source)
        for answer in (Failed("down"), remembered, remembered, Nothing(), remembered):
            source.answer = answer
            await log.poller.refresh()

    run(main())
    said = [record for record in caplog.records if record.message == "peers from memory"]
    assert [record.__dict__["memory_of"] for record in said] == ["2026-01-01T00:00:00Z"] * 2


def test_a_file_that_nobody_has_looked_at_yet_is_asked_once_at_the_start_and_when_it_comes_later() -> None:
    async def main() -> list[int]:
        first, later = Watcher(), Watcher()
        first.has_changed = later.has_changed = True
        log = Log(first)
        log.poller.start()
        await asyncio.sleep(0.5)
        log.poller.change([first, later], interval=INTERVAL)
        await asyncio.sleep(0.5)
        await log.poller.stop()
        return [first.fetches, later.fetches]

    assert run(main()) == [1, 1]


def test_an_answer_that_is_fresh_for_longer_than_the_interval_is_not_asked_for_again_before() -> None:
    async def main() -> tuple[list[float], int]:
        source = SetSource("dns:test", "dns")
        source.answer = Found((), fresh_for=3 * INTERVAL)
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(2.5 * INTERVAL)
        early = source.fetches
        await asyncio.sleep(2 * INTERVAL)
        await log.poller.stop()
        return log.times("dns:test"), early

    times, early = run(main())
    assert early == 1
    # Yet the table is told at each refresh that the answer stands.
    assert len(times) >= 4


def test_an_answer_with_a_short_ttl_is_asked_for_again_when_it_is_over() -> None:
    async def main() -> list[float]:
        source = SetSource("dns:test", "dns")
        source.answer = Nothing(fresh_for=10.0)
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(35.0)
        await log.poller.stop()
        return log.times("dns:test")

    times = run(main())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 3
    assert all(10.0 <= gap <= 10.0 * (1 + REFRESH_JITTER) for gap in gaps)


@pytest.mark.parametrize(("ttl", "after"), [(0.0, SHORTEST_FRESHNESS), (1e9, LONGEST_FRESHNESS)])
def test_the_time_for_which_an_answer_is_fresh_is_bounded_both_ways(ttl: float, after: float) -> None:
    async def main() -> tuple[int, int]:
        source = SetSource("dns:test", "dns")
        source.answer = Found((), fresh_for=ttl)
        log = Log(source)
        log.poller.start()
        await asyncio.sleep(after * 0.99)
        before = source.fetches
        await asyncio.sleep(after * (0.02 + REFRESH_JITTER))
        await log.poller.stop()
        return before, source.fetches

    assert run(main()) == (1, 2)


def test_whoever_asks_by_hand_gets_a_new_answer_however_fresh_the_last_one_is() -> None:
    async def main() -> int:
        source = SetSource("dns:test", "dns")
        source.answer = Found((), fresh_for=600.0)
        log = Log(source)
        log.poller.start()
        await log.poller.answered()
        await log.poller.refresh()
        await log.poller.stop()
        return source.fetches

    assert run(main()) == 2


def test_the_status_says_how_old_an_answer_is_and_for_how_long_it_is_fresh() -> None:
    async def main() -> list[tuple[float | None, float | None]]:
        source, silent = SetSource("dns:test", "dns"), SetSource("static:silent")
        source.answer = Found((), fresh_for=600.0)
        silent.fail()
        log = Log(source, silent)
        log.poller.start()
        await asyncio.sleep(30.0)
        said = [(status.age_s, status.ttl_s) for status in log.poller.status()]
        await log.poller.stop()
        return said

    assert run(main()) == [(30.0, 600.0), (None, None)]


def test_only_unsigned_kinds_are_hints_and_only_where_signers_are_trusted() -> None:
    async def main() -> list[list[bool]]:
        log = Log(SetSource("dns:test", "dns"), SetSource())
        before = [origin.is_hint for origin in log.poller.origins()]
        log.poller.change(log.poller.sources, interval=INTERVAL, signed=True)
        return [before, [origin.is_hint for origin in log.poller.origins()]]

    assert run(main()) == [[False, False], [True, False]]
