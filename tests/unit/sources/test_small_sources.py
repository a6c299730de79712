# SPDX-License-Identifier: MIT
"""Tickets, `host:port`, how a location is understood, and what all sources lean on."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.unit.peers.people import CLUSTER, HOUR, NOON, endpoint_id, peer
from tests.unit.sources.files import CHECK, in_an_hour, registry_of, write

from blixard.errors import BlixardError, InputError
from blixard.model.addresses import HostPort, SocketAddress
from blixard.model.entry import Attestation, DiscoveredPeer
from blixard.model.tickets import Ticket, format_ticket
from blixard.sources.base import Failed, Found, Nothing, SourceContext
from blixard.sources.factory import DiscoverySource, Unusable, make_sources, registry_at
from blixard.sources.node_locations import HostPortLocation, TicketLocation
from blixard.sources.registry_files import RegistryFiles
from blixard.sources.worker import StillBusy, Worker
from blixard.trust.attestation import AttestationCheck, verify_attestation

TICKET = Ticket(endpoint_id(1), None, (SocketAddress.parse("10.0.0.1:7001"),))
TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)


async def introduce(ticket: Ticket) -> DiscoveredPeer:
    return peer(1, seq=5)


async def test_a_tickets_endpoint_is_asked_once_who_it_is() -> None:
    asked = []

    async def ask(ticket: Ticket) -> DiscoveredPeer:
        asked.append(ticket)
        return peer(1, seq=5)

    location = TicketLocation(TICKET, introduce=ask, check=CHECK, own=None)
    answer = await location.fetch()
    assert isinstance(answer, Found)
    assert answer.peers == (peer(1, seq=5),)
    assert await location.fetch() is answer
    assert asked == [TICKET]


async def test_a_tickets_endpoint_that_does_not_answer_is_asked_again() -> None:
    answers: list[BlixardError | DiscoveredPeer] = [BlixardError("timeout: no answer"), peer(1, seq=5)]

    async def ask(ticket: Ticket) -> DiscoveredPeer:
        answer = answers.pop(0)
        if isinstance(answer, BlixardError):
            raise answer
        return answer

    location = TicketLocation(TICKET, introduce=ask, check=CHECK, own=None)
    first = await location.fetch()
    assert isinstance(first, Failed)
    assert "timeout: no answer" in first.error
    assert isinstance(await location.fetch(), Found)


async def test_the_own_ticket_names_nobody() -> None:
    assert await TicketLocation(TICKET, introduce=introduce, check=CHECK, own=endpoint_id(1)).fetch() == Nothing()


async def test_without_a_running_node_a_ticket_is_a_failure_that_says_why() -> None:
    answer = await TicketLocation(TICKET, introduce=None, check=CHECK, own=None).fetch()
    assert isinstance(answer, Failed)
    assert "no node id" in answer.error


async def test_an_introduction_with_a_broken_attestation_is_refused() -> None:
    async def lie(ticket: Ticket) -> DiscoveredPeer:
        attestation = peer(1, seq=5).attestation
        return DiscoveredPeer(*peer(1, "10.6.6.6:1").content(), "join", NOON, attestation)

    assert isinstance(await TicketLocation(TICKET, introduce=lie, check=CHECK, own=None).fetch(), Failed)


async def test_host_and_port_name_a_node_that_a_registry_knows_and_fail_otherwise() -> None:
    where = HostPort("10.0.0.1", 7001)
    known: set[HostPort] = set()
    location = HostPortLocation(where, known.__contains__)
    answer = await location.fetch()
    assert isinstance(answer, Failed)
    assert "registry file or ticket" in answer.error
    known.add(where)
    assert await location.fetch() == Found(())


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("/srv/registries", RegistryFiles),
        ("registry.json", RegistryFiles),
        ("file:///srv/n.json", RegistryFiles),
        ("/srv/*/node.json", RegistryFiles),
        (Path("10.0.0.1:7001"), RegistryFiles),
        ("10.0.0.1:7001", HostPortLocation),
        ("[fd00::1]:7001", HostPortLocation),
        ("node1.example.org:7001", HostPortLocation),
        ("/srv/10.0.0.1:7001", RegistryFiles),
        (format_ticket(TICKET), TicketLocation),
        (format_ticket(TICKET)[:-3], Unusable),
        ("", Unusable),
        ("a\0b", Unusable),
    ],
)
def test_a_location_is_understood_by_its_form(location: str | Path, kind: type[object]) -> None:
    assert isinstance(registry_at(location, TOOLS), kind)


def test_a_path_that_exists_is_a_path_whatever_it_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("10.0.0.1:7001", format_ticket(TICKET)):
        (tmp_path / name).touch()
        assert isinstance(registry_at(name, TOOLS), RegistryFiles)


async def test_an_unusable_location_is_reported_and_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "n.json", registry_of(peer(1)))
    made = make_sources([DiscoverySource.NodeRegistry(["a\0b", tmp_path / "n.json"])], TOOLS)
    answers = [await source.fetch() for source in made]
    assert [type(answer) for answer in answers] == [Failed, Found]


def test_a_source_that_is_named_twice_is_made_once(tmp_path: Path) -> None:
    twice = DiscoverySource.NodeRegistry([tmp_path / "n.json", str(tmp_path / "n.json")])
    static = DiscoverySource.StaticFile(tmp_path / "p.json")
    assert len(make_sources([twice, static, twice, static], TOOLS)) == 2


def test_an_attestation_is_verified_once_as_long_as_it_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []

    def noted(entry: DiscoveredPeer, **more: Any) -> Attestation:
        verified.append(entry)
        return verify_attestation(entry, **more)

    monkeypatch.setattr("blixard.trust.attestation.verify_attestation", noted)
    check = AttestationCheck(cluster=CLUSTER, wall=lambda: NOON)
    for each in (peer(1, seq=5), peer(1, seq=5), peer(1, seq=6), peer(1)):
        assert check.problem(each) is None
    assert len(verified) == 2


def test_an_attestation_that_was_good_is_refused_once_it_has_expired() -> None:
    now = [NOON]
    check = AttestationCheck(cluster=CLUSTER, wall=lambda: now[0])
    expiring = peer(1, seq=5, expires_at=NOON + HOUR)
    assert check.problem(expiring) is None
    now[0] = NOON + HOUR
    assert "expired" in str(check.problem(expiring))


def test_an_attestation_for_another_cluster_is_refused() -> None:
    check = AttestationCheck(cluster="other", wall=lambda: datetime.now(timezone.utc))
    assert "not" in str(check.problem(peer(1, seq=5)))


async def test_a_worker_that_is_stuck_says_so_and_can_be_used_when_it_is_free() -> None:
    free = threading.Event()
    worker: Worker[int] = Worker()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(worker.run(lambda: free.wait(10) and 1), 0.01)
    with pytest.raises(StillBusy):
        await worker.run(lambda: 2)
    free.set()
    while True:
        try:
            assert await worker.run(lambda: 3) == 3
            return
        except StillBusy:
            await asyncio.sleep(0.001)


async def test_a_worker_hands_on_what_its_work_raises() -> None:
    def work() -> int:
        raise InputError("bad")

    with pytest.raises(InputError, match="bad"):
        await Worker[int]().run(work)


async def test_of_a_tickets_endpoint_only_what_the_ticket_says_is_the_operators_word() -> None:
    async def ask(_: Ticket) -> DiscoveredPeer:
        return peer(1, "10.0.0.1:7001", "203.0.113.9:7001", seq=5, relay_url="https://relay.example/")

    answer = await TicketLocation(TICKET, introduce=ask, check=CHECK, own=None).fetch()
    assert isinstance(answer, Found)
    assert answer.sightings[0].vouched_ways() == ("10.0.0.1:7001",)
