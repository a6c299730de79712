# SPDX-License-Identifier: MIT
"""The streams between voters: who opens them, and what is dropped, by name."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.pipe import pipe
from tests.unit.raft.cluster import CLUSTER

from blixard.clock import SystemClock
from blixard.raft import codec
from blixard.raft.codec import MAX_FRAME, Frame
from blixard.raft.formation import Standing
from blixard.raft.links import Links

OWN = Standing(node_id=1, expected=frozenset({1, 2}), incarnation="a")
VOTE = {"type": "request_vote", "term": 3, "last_log_index": 7, "last_log_term": 3}


class Taken:
    """Links of node 1 and the far end of its stream to node 2."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, Frame]] = []
        self.near, self.far = pipe()
        self.links = Links(
            1,
            cluster=CLUSTER,
            connection=lambda _: None,
            hello=lambda: codec.hello(OWN, CLUSTER),
            genesis=lambda: "g",
            received=self._take,
            clock=SystemClock(),
        )

    async def _take(self, node: int, frame: Frame) -> None:
        self.frames.append((node, frame))

    async def until(self, holds: Callable[[], object]) -> None:
        async def look() -> None:
            while not holds():  # noqa: ASYNC110  (no event tells of it)
                await asyncio.sleep(0.01)

        await asyncio.wait_for(look(), 10)


@pytest.fixture
async def taken() -> AsyncIterator[Taken]:
    made = Taken()
    serving = asyncio.create_task(made.links.serve(2, made.near))
    yield made
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    await made.links.close()


def hello(node: int = 2, *, cluster: str = CLUSTER, genesis: str | None = None) -> bytes:
    standing = Standing(node_id=node, expected=frozenset({1, 2}), incarnation="b", genesis=genesis)
    return codec.hello(standing, cluster)


async def test_a_voter_that_says_where_it_stands_is_alive_and_heard(taken: Taken) -> None:
    assert taken.links.alive() == frozenset()
    await taken.far.send(hello())
    await taken.far.send(codec.frame(VOTE, "g"))
    await taken.until(lambda: len(taken.frames) == 2)
    assert taken.links.alive() == {2}
    assert taken.frames[1] == (2, Frame("request_vote", "g", message=VOTE))


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (hello(cluster="elsewhere"), "other cluster"),
        (hello(node=3), "other node"),
        (hello(genesis="other"), "other genesis"),
        (codec.frame(VOTE, "other"), "other genesis"),
        (codec.frame(VOTE, "g"), "before its hello"),
    ],
)
async def test_what_does_not_belong_here_is_dropped_and_named(taken: Taken, frame: bytes, kind: str) -> None:
    await taken.far.send(frame)
    await taken.until(lambda: taken.links.refused[kind] == 1)
    assert taken.frames == []
    assert taken.links.last_refused[2].startswith("node 2: ")


@pytest.mark.parametrize(
    "frame",
    [
        codec.frame(VOTE, "g")[:-3],
        b"\x80\x05cos\nsystem\n(S'true'\ntR.",
        b"x" * (MAX_FRAME + 1),
        json.dumps({"type": "set_version", "genesis": None}).encode(),
    ],
)
async def test_a_frame_that_is_cut_pickled_oversize_or_unknown_ends_the_stream(taken: Taken, frame: bytes) -> None:
    await taken.far.send(hello())
    await taken.until(lambda: taken.frames)
    await taken.far.send(frame)
    await taken.until(lambda: taken.far.was_aborted)
    assert taken.links.refused == {"malformed": 1}
    assert taken.links.alive() == frozenset()


async def test_a_second_stream_of_a_voter_takes_the_place_of_the_first(taken: Taken) -> None:
    await taken.far.send(hello())
    await taken.until(lambda: taken.frames)
    near, far = pipe()
    serving = asyncio.create_task(taken.links.serve(2, near))
    await taken.until(lambda: taken.far.was_aborted)
    await far.send(hello())
    await taken.until(lambda: taken.links.alive() == {2})
    serving.cancel()
