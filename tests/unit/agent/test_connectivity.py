# SPDX-License-Identifier: MIT
"""The connectivity check with a clock and a network of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.agent.virtual_clock import VirtualClock
from tests.unit.documents.samples import key, peer

from blixard.agent.connectivity import (
    ATTEMPT_TIMEOUT,
    SHORTEST_ATTEMPT,
    Checker,
    Edge,
    Outcome,
    ScratchDials,
    report,
    request_of,
)
from blixard.dialling.backoff import LONGEST, SHORTEST
from blixard.dialling.pace import MAX_DIALS
from blixard.dialling.protocols import DialError
from blixard.documents.schemas import validate
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.transport.connector import Probed

if TYPE_CHECKING:
    from blixard.peers.status import PathKind


@dataclass
class FakeLink:
    """A connection whose hello took 9 ms, and which answers a ping in 2 ms, or not at all."""

    clock: VirtualClock
    admitted: bool = True
    refusal: str | None = None
    alive: bool = True
    closed_with: str | None = None
    path: str | None = "direct"
    rtt_ms: float = 9.0

    async def ping(self, timeout: float) -> float:
        if not self.alive:
            await self.clock.sleep(timeout)
            raise DialError("timeout", "no answer to a ping")
        return 2.0

    def close(self, reason: str) -> None:
        self.closed_with = reason


Answer = FakeLink | DialError


@dataclass
class FakeProber:
    """Answers each dial with the next of what it was given, the last one for ever; silence costs the whole time.

    While the machine is busy, a time limit passes `late` seconds late.
    """

    clock: VirtualClock
    answers: list[Answer]
    late: float = 0.0
    dialled: list[tuple[float, DiscoveredPeer, float]] = field(default_factory=list)

    async def probe(self, peer: DiscoveredPeer, *, timeout: float) -> Probed:
        self.dialled.append((self.clock.now(), peer, timeout))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, DialError):
            if answer.kind == "timeout":
                await self.clock.sleep(timeout + (self.late if answer is BUSY else 0.0))
            raise answer
        return Probed(answer.admitted, answer.refusal, cast("PathKind | None", answer.path), answer.rtt_ms)


@dataclass
class FakeVetter:
    """Knows at which addresses another node answers, and at which nobody."""

    impostors: set[str]
    silent: set[str] = field(default_factory=set)
    timeouts: list[float] = field(default_factory=list)

    async def probe(self, address: SocketAddress, endpoint_id: EndpointId, *, timeout: float) -> bool:
        self.timeouts.append(timeout)
        if str(address) in self.silent:
            raise DialError("timeout", "no answer")
        return str(address) not in self.impostors


TIMEOUT = DialError("timeout", "no answer")
BUSY = DialError("timeout", "no answer on a busy machine")
WRONG_ID = DialError("wrong_id", "another node answers at one of its addresses")


async def checked(
    *answers: Answer,
    clock: VirtualClock,
    timeout: float = 10.0,
    own: int | None = 1,
    who: DiscoveredPeer | None = None,
    **more: Any,
) -> tuple[Edge, FakeProber]:
    prober = FakeProber(clock, list(answers), late=1.0)
    checker = Checker(prober, clock=clock, rng=Random(7), own_node_id=own, **more)
    edges = await checker.check([who or peer(2)], timeout=timeout)
    return edges[0], prober


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def test_a_peer_that_answers_is_reached_at_the_first_attempt(clock: VirtualClock) -> None:
    link = FakeLink(clock)
    edge, _ = await checked(link, clock=clock)
    assert edge.to_json() == {
        "from": 1,
        "to": 2,
        "reached": True,
        "id_matched": True,
        "admitted": True,
        "path": "direct",
        "rtt_ms": 9.0,
        "attempts": 1,
        "waited_s": 0.0,
        "error": None,
    }


async def test_a_peer_that_comes_back_during_the_check_is_reached(clock: VirtualClock) -> None:
    unreachable = DialError("unreachable", "connection refused")
    edge, prober = await checked(TIMEOUT, unreachable, FakeLink(clock), clock=clock)
    assert (edge.outcome.reached, edge.attempts) == (True, 3)
    waits = [
        later - (sooner + spent)
        for (sooner, _, _), (later, _, _), spent in zip(
            prober.dialled, prober.dialled[1:], [ATTEMPT_TIMEOUT, 0.0], strict=False
        )
    ]
    assert all(SHORTEST <= wait <= LONGEST for wait in waits)


async def test_a_dead_peer_is_tried_again_and_again_within_the_time_and_no_longer(clock: VirtualClock) -> None:
    edge, prober = await checked(TIMEOUT, clock=clock, timeout=10.0)
    assert not edge.outcome.reached
    assert edge.attempts == len(prober.dialled) > 1
    assert edge.waited_s == clock.now() <= 10.0
    assert all(timeout >= SHORTEST_ATTEMPT for _, _, timeout in prober.dialled)
    assert all(at + timeout <= 10.0 for at, _, timeout in prober.dialled)


@given(
    timeout=st.floats(0.1, 60),
    kinds=st.lists(st.sampled_from(["timeout", "unreachable", "closed"]), min_size=1, max_size=60),
    seed=st.integers(),
)
def test_no_edge_takes_longer_than_its_time_whatever_happens(timeout: float, kinds: list[str], seed: int) -> None:
    async def run() -> None:
        clock = VirtualClock()
        prober = FakeProber(clock, [DialError(kind, kind) for kind in kinds])
        (edge,) = await Checker(prober, clock=clock, rng=Random(seed)).check([peer(2)], timeout=timeout)
        assert 1 <= edge.attempts == len(prober.dialled)
        assert edge.waited_s <= timeout + 1e-6
        assert edge.outcome.error is not None

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["wrong_cluster", "wrong_node_id", "bad_address", "local"])
async def test_what_another_try_cannot_change_is_not_tried_again(clock: VirtualClock, kind: str) -> None:
    edge, _ = await checked(DialError(kind, "so it is"), FakeLink(clock), clock=clock)
    assert edge.attempts == 1
    assert edge.to_json()["error"] == {"kind": kind, "message": "so it is"}


async def test_a_member_that_is_not_known_yet_tries_again_until_it_is(clock: VirtualClock) -> None:
    stranger_so_far = FakeLink(clock, admitted=False, refusal="unknown: is in no peers file")
    edge, _ = await checked(stranger_so_far, FakeLink(clock), clock=clock)
    assert (edge.outcome.reached, edge.outcome.admitted, edge.attempts) == (True, True, 2)


async def test_a_member_that_is_never_let_in_reaches_the_peer_and_is_told_why(clock: VirtualClock) -> None:
    edge, _ = await checked(FakeLink(clock, admitted=False, refusal="unknown: is in no peers file"), clock=clock)
    line = edge.to_json()
    assert (line["reached"], line["id_matched"], line["admitted"]) == (True, True, False)
    assert line["error"] == {"kind": "refused", "message": "unknown: is in no peers file"}
    assert line["attempts"] > 1


async def test_a_stranger_that_is_turned_away_has_its_answer_at_once(clock: VirtualClock) -> None:
    edge, _ = await checked(FakeLink(clock, admitted=False, refusal="unknown: who are you"), clock=clock, own=None)
    assert (edge.outcome.reached, edge.outcome.admitted, edge.attempts, edge.waited_s) == (True, False, 1, 0.0)


async def test_a_refusal_keeps_the_kind_that_the_peer_names(clock: VirtualClock) -> None:
    edge, _ = await checked(FakeLink(clock, admitted=False, refusal="wrong_cluster: this is another"), clock=clock)
    assert edge.to_json()["error"] == {"kind": "wrong_cluster", "message": "this is another"}
    assert edge.attempts == 1


async def test_a_live_connection_of_the_mesh_is_used_and_left_alone(clock: VirtualClock) -> None:
    mesh = FakeLink(clock)
    edge, prober = await checked(TIMEOUT, clock=clock, connected=lambda _: mesh)
    assert (edge.outcome.reached, edge.outcome.rtt_ms, prober.dialled) == (True, 2.0, [])
    assert mesh.closed_with is None


async def test_a_dead_connection_of_the_mesh_is_not_the_last_word(clock: VirtualClock) -> None:
    edge, prober = await checked(FakeLink(clock), clock=clock, connected=lambda _: FakeLink(clock, alive=False))
    assert (edge.outcome.reached, edge.attempts, len(prober.dialled)) == (True, 1, 1)


async def test_a_dead_connection_of_the_mesh_takes_half_of_a_short_time_and_leaves_the_other_to_a_dial(
    clock: VirtualClock,
) -> None:
    dead = FakeLink(clock, alive=False)
    _, prober = await checked(FakeLink(clock), clock=clock, timeout=1.0, connected=lambda _: dead)
    assert [(at, timeout) for at, _, timeout in prober.dialled] == [(0.5, 0.5)]


GOOD, BAD = "192.168.1.2:7001", "172.17.0.1:7001"
RELAY = "https://relay.example.org"


@dataclass
class Elsewhere:
    """Endpoints of their own: what they are asked to dial, and how many are still there."""

    clock: VirtualClock
    vetter: FakeVetter
    answer: Answer | None = None
    dialled: list[DiscoveredPeer] = field(default_factory=list)
    open: int = 0

    @asynccontextmanager
    async def prober(self) -> AsyncIterator[FakeProber]:
        self.open += 1
        prober = FakeProber(self.clock, [self.answer or FakeLink(self.clock)])
        yield prober
        self.dialled += [peer for _, peer, _ in prober.dialled]
        self.open -= 1


async def impostor_at(
    clock: VirtualClock, *addresses: str, impostors: set[str], silent: set[str] | None = None, relay: str | None = None
) -> tuple[Edge, Elsewhere]:
    """Check a peer with these addresses, at one of which another node answers first."""
    elsewhere = Elsewhere(clock, FakeVetter(impostors, silent or set()))
    who = peer(2, direct_addresses=addresses, relay_url=relay)
    apart = ScratchDials(elsewhere.vetter, elsewhere.prober)
    edge, _ = await checked(WRONG_ID, clock=clock, who=who, scratch=apart)
    assert elsewhere.open == 0
    return edge, elsewhere


async def test_a_peer_that_lists_the_address_of_another_is_reached_at_its_own(clock: VirtualClock) -> None:
    edge, elsewhere = await impostor_at(clock, BAD, GOOD, impostors={BAD})
    assert (edge.outcome.reached, edge.attempts) == (True, 1)
    assert [each.direct_addresses for each in elsewhere.dialled] == [(GOOD,)]


async def test_an_address_at_which_nobody_answers_is_not_held_against_the_peer(clock: VirtualClock) -> None:
    edge, elsewhere = await impostor_at(clock, BAD, GOOD, impostors={BAD}, silent={GOOD})
    assert edge.outcome.reached
    assert [each.direct_addresses for each in elsewhere.dialled] == [(GOOD,)]
    assert elsewhere.vetter.timeouts == [1.5, 1.5], "half of the three seconds that one attempt has"


async def test_a_machine_that_was_too_busy_to_dial_without_the_address_of_another_node_says_so(
    clock: VirtualClock,
) -> None:
    elsewhere = Elsewhere(clock, FakeVetter({BAD}), answer=TIMEOUT)
    who, apart = peer(2, direct_addresses=(BAD, GOOD)), ScratchDials(elsewhere.vetter, elsewhere.prober)
    edge, _ = await checked(WRONG_ID, clock=clock, who=who, scratch=apart, was_late=lambda _: True)
    assert edge.to_json()["error"]["kind"] == "too_slow"
    edge, _ = await checked(WRONG_ID, clock=clock, who=who, scratch=apart)
    assert edge.to_json()["error"]["kind"] == "timeout"


@pytest.mark.parametrize("relay", [None, RELAY])
async def test_another_node_at_every_address_is_named_with_them(clock: VirtualClock, relay: str | None) -> None:
    edge, elsewhere = await impostor_at(clock, BAD, impostors={BAD}, relay=relay)
    assert not edge.outcome.id_matched
    assert edge.to_json()["error"] == {"kind": "wrong_id", "message": f"another node answers at {BAD}"}
    assert elsewhere.dialled == []


async def test_a_wrong_id_that_no_address_explains_is_reported_as_it_is(clock: VirtualClock) -> None:
    edge, elsewhere = await impostor_at(clock, GOOD, impostors=set())
    assert edge.to_json()["error"] == {"kind": "wrong_id", "message": WRONG_ID.message}
    assert elsewhere.dialled == []


async def test_silent_peers_do_not_hold_up_the_others_as_long_as_the_machine_keeps_time(clock: VirtualClock) -> None:
    holding = asyncio.Event()
    waiting = 0

    class Silent:
        """Is silent for one attempt, and then until the test has seen all."""

        def __init__(self) -> None:
            self.seen: set[int] = set()

        async def probe(self, peer: DiscoveredPeer, *, timeout: float) -> Probed:
            nonlocal waiting
            if peer.node_id in self.seen or len(self.seen) >= MAX_DIALS:
                waiting += 1
                if waiting == 2 * MAX_DIALS:
                    holding.set()
                await holding.wait()
            self.seen.add(peer.node_id)
            raise TIMEOUT

    checker = Checker(Silent(), clock=clock, rng=Random(7))
    # Were the pace of the beginning that of the whole check, the last half would wait for the first, and it for them.
    edges = await asyncio.wait_for(checker.check([peer(n) for n in range(2, 2 + 2 * MAX_DIALS)]), 30)
    assert {edge.outcome.reached for edge in edges} == {False}


async def test_progress_is_told_after_each_edge(clock: VirtualClock) -> None:
    steps: list[Any] = []
    checker = Checker(FakeProber(clock, [FakeLink(clock)]), clock=clock, rng=Random(7))
    edges = await checker.check([peer(n) for n in (2, 3, 4)], tell=steps.append)
    assert [edge.target for edge in edges] == [2, 3, 4]
    assert steps == [{"done": done, "of": 3} for done in (1, 2, 3)]


async def test_never_more_edges_are_checked_at_once_than_allowed(clock: VirtualClock) -> None:
    now_open, most_open = 0, 0

    class Counting:
        async def probe(self, _: DiscoveredPeer, *, timeout: float) -> Probed:
            nonlocal now_open, most_open
            now_open += 1
            most_open = max(most_open, now_open)
            await asyncio.sleep(0)
            now_open -= 1
            return Probed(True, None, "direct", 9.0)

    checker = Checker(Counting(), clock=clock, rng=Random(7), at_once=3)
    assert len(await checker.check([peer(n) for n in range(2, 22)])) == 20
    assert most_open == 3


async def test_a_time_limit_that_passed_late_says_nothing_about_the_peer_which_is_tried_in_a_second_round(
    clock: VirtualClock,
) -> None:
    edge, prober = await checked(BUSY, clock=clock, timeout=10.0)
    assert (edge.outcome.reached, edge.to_json()["error"]["kind"]) == (False, "too_slow")
    assert edge.attempts == len(prober.dialled)
    assert max(at for at, _, _ in prober.dialled) > 10.0
    assert edge.waited_s == clock.now()


async def test_a_peer_that_answers_in_the_second_round_is_reached(clock: VirtualClock) -> None:
    edge, _ = await checked(BUSY, FakeLink(clock), clock=clock, timeout=1.0)
    assert (edge.outcome.reached, edge.attempts, edge.waited_s) == (True, 2, 2.0)


async def test_an_answer_that_came_in_time_counts_and_not_the_time_limits_that_passed_late(clock: VirtualClock) -> None:
    edge, _ = await checked(BUSY, TIMEOUT, BUSY, clock=clock, timeout=10.0)
    assert edge.to_json()["error"] == {"kind": "timeout", "message": "no answer"}


async def test_a_time_limit_says_nothing_when_the_program_was_kept_from_running_meanwhile(clock: VirtualClock) -> None:
    asked: list[float] = []

    def was_late(since: float) -> bool:
        asked.append(since)
        return True

    edge, prober = await checked(TIMEOUT, clock=clock, was_late=was_late)
    assert edge.to_json()["error"]["kind"] == "too_slow"
    assert asked == [at for at, _, _ in prober.dialled]


@pytest.mark.parametrize("kind", ["unreachable", "closed"])
async def test_what_the_network_says_counts_on_a_busy_machine_too(clock: VirtualClock, kind: str) -> None:
    edge, _ = await checked(DialError(kind, "no"), clock=clock, was_late=lambda _: True)
    assert edge.to_json()["error"]["kind"] == kind


async def test_a_machine_that_is_too_slow_for_one_dial_at_a_time_is_not_given_all_others(clock: VirtualClock) -> None:
    prober = FakeProber(clock, [BUSY], late=1.0)
    edges = await Checker(prober, clock=clock, rng=Random(7)).check([peer(n) for n in range(2, 102)], timeout=1.0)
    assert {edge.to_json()["error"]["kind"] for edge in edges} == {"too_slow"}
    assert len(edges) == 100
    assert len(prober.dialled) < 2 * MAX_DIALS


async def test_a_machine_that_recovers_reaches_everybody_after_all(clock: VirtualClock) -> None:
    prober = FakeProber(clock, [*[BUSY] * (MAX_DIALS + 1), FakeLink(clock)], late=1.0)
    edges = await Checker(prober, clock=clock, rng=Random(7)).check([peer(n) for n in range(2, 102)], timeout=1.0)
    assert all(edge.outcome.reached for edge in edges)


async def test_progress_counts_an_edge_once_however_often_it_is_tried(clock: VirtualClock) -> None:
    steps: list[Any] = []
    checker = Checker(FakeProber(clock, [BUSY, FakeLink(clock)], late=1.0), clock=clock, rng=Random(7))
    await checker.check([peer(n) for n in (2, 3)], timeout=1.0, tell=steps.append)
    assert [step["done"] for step in steps] == [1, 1, 2]


def test_the_report_counts_what_its_schema_describes() -> None:
    good = Outcome(reached=True, id_matched=True, admitted=True, path="direct", rtt_ms=0.71234)
    away = Outcome(reached=True, id_matched=True, admitted=False, error=DialError("refused", "unknown"))
    dead = Outcome(reached=False, id_matched=False, admitted=False, error=TIMEOUT)
    busy = Outcome(reached=False, id_matched=False, admitted=False, error=DialError("too_slow", "too busy"))
    edges = [
        Edge(1, 2, good, 1, 0.0012),
        Edge(1, 3, away, 2, 9.1),
        Edge(1, 4, dead, 4, 9.8765),
        Edge(1, 5, busy, 4, 9),
    ]
    node = {"node_id": 1, "iroh_node_id": key(1).public().base64, "agent": "running", "version": "0.1.0"}
    document = report("blixard", [node], edges)
    validate("connectivity-report", document)
    assert document["summary"] == {"nodes": 1, "edges": 4, "reached": 2, "failed": 1, "untold": 1, "not_admitted": 1}
    assert document["edges"][0]["rtt_ms"] == 0.712
    assert document["edges"][2]["waited_s"] == 9.877


def test_the_report_of_a_stranger_names_no_cluster_and_no_node() -> None:
    node = {"node_id": None, "iroh_node_id": key(1).public().base64, "agent": "stranger"}
    away = Outcome(reached=True, id_matched=True, admitted=False, error=DialError("refused", "unknown"))
    document = report(None, [node], [Edge(None, 3, away, 1, 0.1)])
    validate("connectivity-report", document)
    assert document["edges"][0]["from"] is None


def test_a_request_has_time_and_sample_or_their_defaults() -> None:
    assert request_of({}) == (10.0, "all")
    assert request_of({"timeout_s": 3, "sample": 2}) == (3.0, 2)
    assert request_of({"timeout_s": 0.5, "sample": None}) == (0.5, "all")
    assert request_of({"sample": "auto"}) == (10.0, "auto")


WRONG: dict[str, list[Any]] = {
    "timeout_s": [0, -1, 3601, "10", True, None, []],
    "sample": [-1, 1.5, "some", "", True, 10**9, {}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_request_that_cannot_be_used_is_refused_by_its_place(name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        request_of({name: value})
    assert caught.value.place == f"/{name}"


@pytest.mark.parametrize("timeout", [0.1, 3600])
def test_an_edge_may_have_a_tenth_of_a_second_to_an_hour(timeout: float) -> None:
    assert request_of({"timeout_s": timeout}) == (timeout, "all")
    for beyond in (0.09, 3600.1):
        with pytest.raises(InputError, match=r"from 0\.1 to 3600"):
            request_of({"timeout_s": beyond})


def test_a_sample_of_none_is_all() -> None:
    assert request_of({"sample": 1}) == (10.0, 1)
    assert request_of({"sample": 0}) == (10.0, "all"), "as the role says it"
