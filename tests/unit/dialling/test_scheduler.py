# SPDX-License-Identifier: MIT
"""When peers are dialled, how many at once, and what follows from each result."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest
from tests.simulation.network import POISONED, SimConnection
from tests.unit.dialling.stand import Stand, simulate

from blixard.dialling import backoff
from blixard.dialling.breaker import DIAL_TIMEOUT, FIRST_OPEN, JITTER, LEASE, THRESHOLD
from blixard.dialling.connection_pool import CLOSE_WAIT
from blixard.dialling.pace import MAX_DIALS
from blixard.dialling.protocols import Connection, DialError, Dialler
from blixard.dialling.search import ROUND_WAIT
from blixard.model.entry import DiscoveredPeer

SOON = 1.0


@simulate
async def test_a_wanted_peer_is_dialled_and_connected() -> None:
    stand = Stand()
    stand.begin()
    await asyncio.sleep(SOON)
    assert stand.kinds() == ["connecting", "connected"]
    assert stand.state(stand.others[0]) == "connected"
    assert stand.scheduler.pool.get(stand.others[0].endpoint_id) is not None


@simulate
async def test_a_peer_that_nobody_wants_is_not_dialled() -> None:
    stand = Stand(others=2)
    stand.begin()
    stand.want(stand.others[1])
    await asyncio.sleep(60)
    assert stand.kinds(2) == []
    assert stand.state(stand.others[0]) == "discovered"


@simulate
async def test_the_smaller_id_leaves_the_greater_one_a_moment() -> None:
    stand = Stand(others=8)
    stand.begin()
    await asyncio.sleep(SOON)
    for host in stand.others:
        waits = backoff.GRACE if stand.me.endpoint_id < host.endpoint_id else 0.0
        assert stand.dialled_at(host)[0] == pytest.approx(waits)


@simulate
async def test_never_more_than_sixteen_dials_are_in_flight() -> None:
    stand = Stand(others=100)
    for host in stand.others:
        host.is_up = False
    stand.begin()
    await asyncio.sleep(300)
    assert stand.network.most_in_flight == MAX_DIALS


class Starved:
    """Dials from a machine that has time for three dials: of more at once all run late into their limit."""

    def __init__(self) -> None:
        self.network: Dialler | None = None
        self.under_way = 0

    async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> Connection:
        assert self.network is not None
        self.under_way += 1
        try:
            await asyncio.sleep(SOON)
            if self.under_way > 3:
                await asyncio.sleep(timeout)
                raise DialError("timeout", "no answer")
            return await self.network.dial(peer, timeout=timeout)
        finally:
            self.under_way -= 1


@simulate
async def test_a_machine_that_starves_dials_fewer_at_once_and_holds_it_against_nobody() -> None:
    starved = Starved()
    stand = Stand(others=40, dialler=starved)
    starved.network = stand.dialler
    stand.begin()
    await asyncio.sleep(300)
    assert {stand.state(host) for host in stand.others} == {"connected"}
    assert stand.details("circuit_opened") == []
    assert {details["error"] for details in stand.details("failed")} == {"too_slow"}


@simulate
async def test_a_dead_peer_is_dialled_ever_more_rarely_and_its_circuit_opens_at_the_fifth_failure() -> None:
    stand = Stand()
    host = stand.others[0]
    host.is_up = False
    host.fails_fast = True
    stand.begin()
    await asyncio.sleep(ROUND_WAIT[0])
    assert stand.kinds() == ["connecting", "failed"] * THRESHOLD + ["circuit_opened"]
    assert stand.state(host) == "open"
    opened_for = stand.details("circuit_opened")[0]["seconds"]
    assert isinstance(opened_for, float)
    assert (1 - JITTER) * FIRST_OPEN <= opened_for <= (1 + JITTER) * FIRST_OPEN
    gaps = [later - earlier for earlier, later in zip(stand.dialled_at(host), stand.dialled_at(host)[1:], strict=False)]
    for failures, gap in enumerate(gaps, 1):
        assert backoff.SHORTEST <= gap <= backoff.ceiling(failures) + 0.2


@simulate
async def test_a_failure_and_a_loss_say_in_how_many_seconds_the_next_dial_is_due() -> None:
    stand = Stand(others=2)
    dead, alive = stand.others
    dead.is_up, dead.fails_fast = False, True
    stand.begin()
    await asyncio.sleep(SOON)
    first = stand.details("failed")[0]
    assert first["failures"] == 1
    assert isinstance(first["seconds"], float)
    assert 0.25 <= first["seconds"] <= 0.5
    await asyncio.sleep(60)
    stand.network.crash(alive)
    await asyncio.sleep(20)
    lost = stand.details("disconnected")[0]["seconds"]
    assert isinstance(lost, float)
    assert 0.0 <= lost <= 0.1


@simulate
async def test_a_dead_peer_that_comes_back_is_found_by_the_probe() -> None:
    stand = Stand()
    host = stand.others[0]
    host.is_up = False
    host.fails_fast = True
    stand.begin()
    await asyncio.sleep(20)
    stand.network.restore(host)
    await asyncio.sleep(30)
    assert stand.kinds()[-5:] == ["circuit_opened", "circuit_half_open", "connecting", "connected", "circuit_closed"]


@simulate
async def test_a_lost_connection_is_dialled_again() -> None:
    stand = Stand()
    stand.begin()
    await asyncio.sleep(60)
    stand.network.move(stand.others[0], stand.others[0].address)
    await asyncio.sleep(SOON)
    assert stand.kinds() == ["connecting", "connected", "disconnected", "connecting", "connected"]


@simulate
async def test_connections_that_die_young_count_as_failures_until_one_lives() -> None:
    stand = Stand()
    host = stand.others[0]
    stand.begin()
    for expected in (1, 2, 3):
        await asyncio.sleep(3)
        stand.network.move(host, host.address)
        await asyncio.sleep(0.1)
        assert stand.failures(host) == expected
    await asyncio.sleep(backoff.PROVEN_AFTER - 1)
    assert stand.failures(host) == 3
    await asyncio.sleep(5)
    assert stand.failures(host) == 0


@simulate
async def test_losing_all_at_once_spreads_the_dials_over_the_window() -> None:
    stand = Stand(others=100)
    stand.begin()
    await asyncio.sleep(60)
    lost_at = stand.clock.now()
    for host in stand.others:
        stand.network.move(host, host.address)
    await asyncio.sleep(30)
    dials = [at - lost_at for at, _, _ in stand.network.dials if at > lost_at]
    assert len(dials) == 100
    assert max(dials) <= backoff.loss_window(100) + 0.1
    by_second = [sum(1 for at in dials if second <= at < second + 1) for second in range(5)]
    assert max(by_second) <= 40


@simulate
async def test_peers_found_or_lost_just_now_go_before_those_that_keep_failing() -> None:
    stand = Stand(others=400)
    for host in stand.others[:-1]:
        host.is_up = False
    stand.begin()
    stand.want(*stand.others[:-1])
    await asyncio.sleep(1200)
    assert len(stand.network.dials) > 400
    stand.want(*stand.others)
    await asyncio.sleep(DIAL_TIMEOUT + SOON)
    assert stand.state(stand.others[-1]) == "connected"


@simulate
async def test_a_dial_that_never_ends_is_given_up_with_its_lease() -> None:
    class Stuck:
        async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
            await asyncio.Event().wait()
            raise AssertionError

    stand = Stand(dialler=Stuck())
    stand.begin()
    await asyncio.sleep(LEASE + SOON)
    assert stand.details("failed")[0]["error"] == "timeout"
    assert stand.scheduler.dials_in_flight <= 1


@simulate
async def test_a_dialler_that_breaks_is_a_local_error_and_opens_no_circuit() -> None:
    class Broken:
        async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
            raise RuntimeError("oops")

    stand = Stand(dialler=Broken())
    stand.begin()
    await asyncio.sleep(600)
    assert {details["error"] for details in stand.details("failed")} == {"local"}
    assert {details["failures"] for details in stand.details("failed")} == {0}
    assert "circuit_opened" not in stand.kinds()
    assert len(stand.details("failed")) < 40


@simulate
async def test_trouble_on_this_machine_does_not_count_against_the_peers() -> None:
    stand = Stand()
    stand.dialler.has_socket = False
    stand.begin()
    await asyncio.sleep(300)
    stand.dialler.has_socket = True
    await asyncio.sleep(backoff.LONGEST)
    assert stand.state(stand.others[0]) == "connected"
    assert "circuit_opened" not in stand.kinds()


@simulate
async def test_a_peer_that_refuses_is_asked_at_most_a_minute_apart_and_opens_no_circuit() -> None:
    stand = Stand()
    host = stand.others[0]
    host.lets_in = lambda _: False
    stand.begin()
    await asyncio.sleep(900)
    assert stand.state(host) == "refused"
    assert "circuit_opened" not in stand.kinds()
    host.lets_in = lambda _: True
    await asyncio.sleep(backoff.LONGEST + SOON)
    assert stand.state(host) == "connected"


def _stand_where_own_id_is(*, greater: bool, dialler: Dialler | None = None) -> Stand:
    stands = (Stand(seed=seed, dialler=dialler) for seed in range(20))
    stand = next(each for each in stands if (each.me.endpoint_id > each.others[0].endpoint_id) == greater)
    stand.begin()
    return stand


@simulate
async def test_an_inbound_connection_makes_a_dial_of_the_smaller_id_needless() -> None:
    stand = _stand_where_own_id_is(greater=False)
    inbound = stand.call_in(stand.others[0])
    assert stand.scheduler.adopt(inbound)
    await asyncio.sleep(60)
    assert stand.network.dials == []
    assert inbound.is_live


@simulate
async def test_an_inbound_connection_from_the_greater_id_ends_a_dial_under_way() -> None:
    stand = _stand_where_own_id_is(greater=False)
    await asyncio.sleep(backoff.GRACE + 0.0005)
    assert stand.scheduler.dials_in_flight == 1
    inbound = stand.call_in(stand.others[0])
    assert stand.scheduler.adopt(inbound)
    await asyncio.sleep(0)
    assert stand.scheduler.dials_in_flight == 0
    await asyncio.sleep(60)
    assert stand.scheduler.pool.get(stand.others[0].endpoint_id) is inbound
    assert stand.kinds() == ["connecting", "connected"]


@simulate
async def test_the_dial_of_the_greater_id_replaces_an_inbound_connection_without_a_word() -> None:
    stand = _stand_where_own_id_is(greater=True)
    await asyncio.sleep(0)
    inbound = stand.call_in(stand.others[0])
    assert stand.scheduler.adopt(inbound)
    await asyncio.sleep(SOON)
    kept = stand.scheduler.pool.get(stand.others[0].endpoint_id)
    assert kept is not inbound
    assert not inbound.is_live
    assert stand.kinds() == ["connecting", "connected"]
    await asyncio.sleep(600)
    assert stand.kinds() == ["connecting", "connected"]


@simulate
async def test_an_inbound_connection_from_the_smaller_id_at_the_same_time_is_closed() -> None:
    stand = _stand_where_own_id_is(greater=True)
    await asyncio.sleep(SOON)
    inbound = stand.call_in(stand.others[0])
    assert not stand.scheduler.adopt(inbound)
    assert not inbound.is_live


@simulate
async def test_a_peer_that_restarted_gets_through_although_its_old_connection_looks_alive() -> None:
    stand = _stand_where_own_id_is(greater=True)
    await asyncio.sleep(120)
    inbound = stand.call_in(stand.others[0])
    assert stand.scheduler.adopt(inbound)
    assert stand.scheduler.pool.get(stand.others[0].endpoint_id) is inbound
    assert stand.kinds() == ["connecting", "connected"]


@simulate
async def test_an_inbound_connection_of_a_peer_whose_circuit_is_open_closes_it() -> None:
    stand = _stand_where_own_id_is(greater=False)
    host = stand.others[0]
    host.is_up = False
    await stand.reaches(host, "open")
    stand.network.restore(host)
    assert stand.scheduler.adopt(stand.call_in(host))
    assert stand.kinds()[-2:] == ["connected", "circuit_closed"]


@simulate
async def test_a_stranger_is_not_adopted() -> None:
    stand = Stand(others=2)
    stand.scheduler.start()
    inbound = stand.call_in(stand.others[0])
    assert not stand.scheduler.adopt(inbound)
    assert not inbound.is_live


@simulate
async def test_a_forgotten_peer_is_disconnected_and_not_dialled_again() -> None:
    stand = Stand(others=2)
    stand.begin()
    await asyncio.sleep(SOON)
    stand.scheduler.forget(stand.others[0].endpoint_id)
    stand.want(stand.others[1])
    await asyncio.sleep(600)
    assert stand.kinds(2) == ["connecting", "connected"]
    assert not stand.others[0].ends
    assert len(stand.others[1].ends) == 1


@simulate
async def test_a_connection_that_arrives_after_its_peer_was_forgotten_is_closed() -> None:
    made: list[SimConnection] = []

    class Deaf:
        """Finishes its dial although it was told to stop."""

        async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                made.append(stand.call_in(stand.others[0]))
            return made[-1]

    stand = Stand(dialler=Deaf())
    stand.begin()
    await asyncio.sleep(SOON)
    stand.scheduler.forget(stand.others[0].endpoint_id)
    await asyncio.sleep(SOON)
    assert len(made) == 1
    assert not made[0].is_live
    assert stand.scheduler.dials_in_flight == 0


@simulate
async def test_a_peer_no_longer_wanted_keeps_its_connection_but_is_not_dialled_when_that_ends() -> None:
    stand = Stand()
    host = stand.others[0]
    stand.begin()
    await asyncio.sleep(SOON)
    stand.want()
    await asyncio.sleep(60)
    assert stand.state(host) == "connected"
    stand.network.move(host, host.address)
    await asyncio.sleep(60)
    assert stand.state(host) == "discovered"
    assert len(stand.dialled_at(host)) == 1


@simulate
async def test_a_new_address_skips_the_wait_and_only_once() -> None:
    stand = Stand()
    host = stand.others[0]
    host.is_up = False
    stand.begin()
    await stand.reaches(host, "open")
    before = len(stand.dialled_at(host))
    stand.learn(host, "10.9.9.9:7001")
    await asyncio.sleep(SOON)
    assert len(stand.dialled_at(host)) == before + 1
    await stand.reaches(host, "open")
    stand.learn(host)
    stand.learn(host, "10.9.9.9:7001")
    await asyncio.sleep(SOON)
    assert len(stand.dialled_at(host)) == before + 1


@simulate
async def test_a_new_address_that_comes_during_a_dial_is_tried_right_after_it() -> None:
    stand = Stand()
    host = stand.others[0]
    host.is_up = False
    stand.begin()
    await asyncio.sleep(300)
    stand.learn(host, "10.9.9.8:7001")
    await asyncio.sleep(SOON)
    before = len(stand.dialled_at(host))
    stand.learn(host, "10.9.9.8:7001", "10.9.9.9:7001")
    await asyncio.sleep(DIAL_TIMEOUT)
    assert len(stand.dialled_at(host)) == before + 1


@simulate
async def test_an_impostor_on_a_listed_address_is_quarantined_and_the_peer_reached() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    stand.scheduler.start()
    stand.learn(host, impostor.address)
    stand.want(host)
    await asyncio.sleep(SOON)
    assert stand.kinds()[:3] == ["connecting", "failed", "quarantined"]
    assert stand.details("quarantined") == [{"address": impostor.address}]
    await asyncio.sleep(POISONED + (1 + JITTER) * 2 * FIRST_OPEN)
    assert stand.state(host) == "connected"
    assert stand.vetting.verdict(host.endpoint_id, impostor.address).state == "quarantined"


@simulate
async def test_while_iroh_still_fails_for_a_vetted_peer_it_is_not_dialled_in_a_tight_loop() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    stand.scheduler.start()
    stand.learn(host, impostor.address)
    stand.want(host)
    await asyncio.sleep(POISONED)
    assert len(stand.dialled_at(host)) <= 12


@simulate
async def test_a_peer_that_a_probe_has_found_is_not_shut_out_by_its_circuit() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    stand.scheduler.start()
    stand.learn(host, impostor.address)
    stand.want(host)
    await asyncio.sleep(POISONED + backoff.LONGEST)
    assert "circuit_opened" not in stand.kinds()
    assert stand.state(host) == "connected"


@simulate
async def test_an_address_to_which_the_peer_itself_moved_is_taken_back_from_quarantine() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    stand.scheduler.start()
    stand.learn(host, impostor.address)
    stand.want(host)
    await asyncio.sleep(400)
    assert stand.state(host) == "connected"
    taken = impostor.address
    stand.network.move(impostor, "10.8.8.8:7001")
    stand.network.move(host, taken)
    await asyncio.sleep(60)
    assert stand.state(host) == "connected"
    assert stand.vetting.verdict(host.endpoint_id, taken).state == "usable"


@simulate
async def test_a_peer_that_was_found_where_it_is_now_is_dialled_at_once_though_its_circuit_was_open() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    host.is_up = False
    host.fails_fast = True
    stand.scheduler.start()
    stand.learn(host, "10.9.9.9:7001")
    stand.want(host)
    await asyncio.sleep(20)
    assert stand.state(host) == "open"
    seen = len(stand.kinds())
    stand.network.move(impostor, "10.9.9.9:7001")
    stand.network.restore(host)
    await asyncio.sleep(30)
    assert stand.kinds()[seen : seen + 7] == [
        "circuit_half_open",
        "connecting",
        "failed",
        "circuit_opened",
        "quarantined",
        "circuit_closed",
        "connecting",
    ]
    (quarantined_at,) = (at for at, kind, _, _ in stand.events if kind == "quarantined")
    assert quarantined_at in stand.dialled_at(host)


@simulate
async def test_a_peer_that_is_found_at_an_address_when_its_quarantine_is_over_is_dialled_there_at_once() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    stand.scheduler.start()
    stand.learn(host, impostor.address)
    stand.want(host)
    await asyncio.sleep(400)
    taken = impostor.address
    stand.network.move(impostor, "10.8.8.8:7001")
    stand.network.move(host, taken)
    await asyncio.sleep(60)
    assert stand.state(host) == "connected"
    assert stand.dialled_at(host)[-1] == stand.prober.found_at[-1] - stand.started


@simulate
async def test_the_circuit_of_a_dead_peer_stays_open_though_somebody_else_answers_at_one_of_its_addresses() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    host.is_up = False
    stand.scheduler.start()
    stand.learn(host, impostor.address)
    stand.want(host)
    await asyncio.sleep(2000)
    assert stand.prober.probes.count(impostor.address) > 1
    assert "circuit_opened" in stand.kinds()
    assert "circuit_closed" not in stand.kinds()


@simulate
async def test_the_vetting_of_many_addresses_has_the_time_that_it_takes() -> None:
    stand = Stand(others=2)
    host, impostor = stand.others
    dead = [f"10.9.9.{number}:7001" for number in range(1, 20)]
    stand.scheduler.start()
    stand.learn(host, *dead, impostor.address)
    stand.want(host)
    await asyncio.sleep(40)
    assert stand.details("quarantined") == [{"address": impostor.address}]
    assert stand.prober.probes[:21] == [host.address, *dead, impostor.address]


@simulate
async def test_a_peer_that_is_forgotten_and_learned_anew_during_a_dial_is_dialled_again_at_once() -> None:
    stand = Stand()
    (host,) = stand.others
    host.is_up = False
    stand.begin()
    await asyncio.sleep(SOON)
    assert stand.scheduler.dials_in_flight == 1
    stand.network.restore(host)
    stand.scheduler.forget(host.endpoint_id)
    stand.learn(host)
    stand.want(host)
    await asyncio.sleep(SOON)
    assert stand.state(host) == "connected"


@simulate
async def test_a_caller_whom_nobody_knows_is_told_whether_the_node_stops_or_has_no_place_for_it() -> None:
    stand = Stand(others=1)
    stand.scheduler.start()
    stranger = stand.call_in(stand.others[0])
    assert not stand.scheduler.adopt(stranger)
    await stand.scheduler.stop()
    late = stand.call_in(stand.others[0])
    assert not stand.scheduler.adopt(late)
    assert [await stranger.closed(), await late.closed()] == ["removed", "stopped"]


@simulate
async def test_a_relay_that_was_dialled_in_vain_is_no_reason_to_dial_again() -> None:
    stand = Stand()
    (host,) = stand.others
    host.is_up = False
    host.fails_fast = True
    peer = dataclasses.replace(stand.network.peer(host), relay_url="https://relay.example/")
    stand.scheduler.start()
    stand.vetting.learn(host.endpoint_id, peer.direct_addresses, has_relay=True)
    stand.scheduler.learn(peer, host.endpoint_id)
    stand.want(host)
    await asyncio.sleep(20)
    assert stand.state(host) == "open"
    dials = stand.dialled_at(host)
    stand.scheduler.learn(peer, host.endpoint_id)
    await asyncio.sleep(0.2)
    assert stand.dialled_at(host) == dials


@simulate
async def test_stop_gives_up_dials_closes_connections_and_leaves_no_task() -> None:
    stand = Stand(others=30)
    for host in stand.others[:10]:
        host.is_up = False
    stand.begin()
    await asyncio.sleep(SOON)
    assert stand.scheduler.dials_in_flight > 0
    await stand.scheduler.stop()
    assert stand.scheduler.dials_in_flight == 0
    assert not stand.me.ends
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await stand.scheduler.stop()


@simulate
async def test_a_dial_that_cannot_be_cancelled_does_not_hold_up_the_stop() -> None:
    class Stubborn:
        async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
            ends = stand.clock.now() + 1000
            while stand.clock.now() < ends:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(ends - stand.clock.now())
            return stand.call_in(stand.others[0])

    stand = Stand(dialler=Stubborn())
    stand.begin()
    await asyncio.sleep(SOON)
    before = stand.clock.now()
    await stand.scheduler.stop()
    assert stand.clock.now() - before == CLOSE_WAIT
    await asyncio.sleep(1000)
    assert not stand.me.ends, "what it brought in the end was closed"


@simulate
async def test_after_a_stop_it_can_be_started_again() -> None:
    stand = Stand()
    stand.begin()
    await asyncio.sleep(SOON)
    await stand.scheduler.stop()
    stand.begin()
    await asyncio.sleep(SOON)
    assert stand.state(stand.others[0]) == "connected"


@simulate
async def test_a_connection_that_ends_while_it_is_being_closed_is_no_loss() -> None:
    stand = Stand()
    stand.begin()
    await asyncio.sleep(SOON)
    await stand.scheduler.stop()
    assert "disconnected" not in stand.kinds()


@simulate
async def test_an_idle_mesh_does_nothing() -> None:
    stand = Stand(others=20)
    stand.begin()
    await asyncio.sleep(60)
    before = len(stand.events)
    await asyncio.sleep(86_400)
    assert len(stand.events) == before
    assert len(stand.network.dials) == 20


@simulate
async def test_a_dial_that_fails_after_an_inbound_connection_came_is_no_failure() -> None:
    class Late:
        async def dial(self, peer: DiscoveredPeer, *, timeout: float) -> SimConnection:
            await asyncio.sleep(5)
            raise DialError("timeout", "too late")

    stand = _stand_where_own_id_is(greater=True, dialler=Late())
    await asyncio.sleep(SOON)
    assert stand.scheduler.adopt(stand.call_in(stand.others[0]))
    await asyncio.sleep(30)
    assert stand.kinds() == ["connecting", "connected"]
    assert stand.state(stand.others[0]) == "connected"


@simulate
async def test_a_peer_with_no_way_to_it_fails_without_a_dial() -> None:
    stand = Stand(others=1)
    (host,) = stand.others
    stand.scheduler.start()
    peer = dataclasses.replace(stand.network.peer(host), direct_addresses=())
    stand.vetting.learn(host.endpoint_id, (), has_relay=False)
    stand.scheduler.learn(peer, host.endpoint_id)
    stand.want(host)
    await asyncio.sleep(60)
    assert stand.dialled_at(host) == []
    assert {details["error"] for details in stand.details("failed")} == {"bad_address"}


@simulate
async def test_guests_that_do_not_answer_leave_half_of_the_slots_and_the_first_turn_to_others() -> None:
    stand = Stand(others=100)
    guests, member = stand.others[:-1], stand.others[-1]
    for host in stand.others:
        host.is_up = False
    stand.scheduler.start()
    for host in stand.others:
        stand.vetting.learn(host.endpoint_id, [host.address], has_relay=False)
        stand.scheduler.learn(stand.network.peer(host), host.endpoint_id, is_guest=host is not member)
    stand.want(*guests)
    await asyncio.sleep(SOON)
    assert stand.network.most_in_flight == MAX_DIALS // 2
    stand.want(*stand.others)
    await asyncio.sleep(SOON)
    assert len(stand.dialled_at(member)) == 1
