# SPDX-License-Identifier: MIT
"""Peers from DNS: a real server, records that change under a running manager, and servers that mean harm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.integration.dns_server import answer_to, answering, dns_server
from tests.integration.knot import ZONE, Knot, running_knot
from tests.integration.nodes import MakeNode, are_meshed, blixard, eventually
from tests.unit.peers.people import CLUSTER, HOUR, NOON, endpoint_id, key, peer
from tests.unit.sources.files import peers_file_of, write

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.sources import dns_client
from blixard.sources.base import Answer, Failed, Found, Nothing, Source, SourceContext
from blixard.sources.dns import MAX_PROBLEMS
from blixard.sources.dns_records import SERVICE, base32, format_node, strings_of, z_base32
from blixard.sources.factory import dns_at
from blixard.trust.attestation import AttestationCheck

NAME = f"{SERVICE}.{ZONE}"
DOMAIN = ZONE.rstrip(".")


@pytest.fixture
def knot(tmp_path: Path) -> Iterator[Knot]:
    with running_knot(tmp_path) as server:
        yield server


def quoted(text: str) -> str:
    return " ".join(f'"{each}"' for each in strings_of(text))


def txt(one: DiscoveredPeer, ttl: int = 60) -> str:
    """The TXT record of a peer, as a line of a zone file."""
    return f"{SERVICE} {ttl} TXT {quoted(format_node(one))}"


def srv(number: int, port: int = 7001) -> str:
    return f"{SERVICE} SRV 0 0 {port} {base32(endpoint_id(number))}.{ZONE}"


def wall() -> datetime:
    return datetime.now(timezone.utc)


def source(location: str, known: Mapping[EndpointId, int] | None = None) -> Source:
    return dns_at(
        location,
        SourceContext(
            check=AttestationCheck(cluster=CLUSTER, wall=wall),
            wall=wall,
            is_known=lambda _: False,
            node_ids=lambda: known or {},
        ),
    )


def named(answer: Answer) -> dict[int, tuple[str, ...]]:
    assert isinstance(answer, Found), answer
    return {each.peer.node_id: tuple(each.peer.direct_addresses) for each in answer.sightings}


def error(answer: Answer) -> str:
    assert isinstance(answer, Failed), answer
    return answer.error


# The forms of records


async def test_txt_records_name_nodes_also_with_their_signature(knot: Knot) -> None:
    signed = peer(2, *(f"10.0.0.{n}:7001" for n in range(2, 30)), seq=1_700_000_000, relay_url="https://relay.example/")
    knot.start([txt(peer(1)), txt(signed, ttl=30)])
    answer = await source(knot.location).fetch()
    assert isinstance(answer, Found)
    assert [each.peer.content() for each in answer.sightings] == [peer(1).content(), signed.content()]
    assert [each.peer.attestation for each in answer.sightings] == [None, signed.attestation]
    assert (answer.fresh_for, answer.problems) == (30.0, ())


async def test_srv_records_name_nodes_whose_targets_say_where_and_which(knot: Knot) -> None:
    one, two = base32(endpoint_id(1)), base32(endpoint_id(2))
    knot.start(
        [
            *(srv(1), srv(2, 7002), f"{one} A 10.0.0.1", f"{one} AAAA 2001:db8::1", f'{one} TXT "node=11"'),
            # The number may stand beside the SRV record too, and the addresses in the text.
            *(f'{SERVICE} TXT "node=12 id={endpoint_id(2).hex}"', f"{two} A 10.0.0.2"),
            *(srv(3), f'{base32(endpoint_id(3))} TXT "node=13 addr=10.0.0.3:7003"'),
        ]
    )
    assert named(await source(knot.location).fetch()) == {
        11: ("10.0.0.1:7001", "[2001:db8::1]:7001"),
        12: ("10.0.0.2:7002",),
        13: ("10.0.0.3:7003",),
    }


async def test_five_hundred_srv_records_come_over_tcp(knot: Knot) -> None:
    records = []
    for number in range(1, 501):
        label = base32(endpoint_id(number))
        records += [srv(number), f"{label} A 10.1.{number // 250}.{number % 250 + 1}", f'{label} TXT "node={number}"']
    knot.start(records)
    one = source(knot.location)
    first = await one.fetch()
    assert len(named(first)) == 500
    again = await one.fetch()
    assert isinstance(first, Found)
    assert isinstance(again, Found)
    assert again.sightings is first.sightings


async def test_a_fleet_larger_than_an_answer_is_spread_over_names_that_ptr_records_give(knot: Knot) -> None:
    records = [f"{SERVICE} PTR {SERVICE}.s{shard}.{ZONE}" for shard in range(2)]
    records += [txt(peer(number)).replace(SERVICE, f"{SERVICE}.s{number % 2}", 1) for number in range(1, 9)]
    knot.start(records)
    assert sorted(named(await source(knot.location).fetch())) == list(range(1, 9))


async def test_irohs_own_records_add_addresses_of_peers_that_are_known(knot: Knot) -> None:
    owner = f"_iroh.{z_base32(endpoint_id(1))}"
    knot.start(
        [
            f'{owner} TXT "addr=10.0.0.1:1 [2001:db8::1]:1"',
            f'{owner} TXT "addr=10.0.0.2:1"',
            f'{owner} TXT "relay=https://relay.example/"',
            f'{owner} TXT "user-data=x"',
        ]
    )
    location = knot.location.replace(ZONE, f"_iroh.{ZONE}")
    answer = await source(location, {endpoint_id(1): 4, endpoint_id(2): 5}).fetch()
    assert named(answer) == {4: ("10.0.0.1:1", "[2001:db8::1]:1", "10.0.0.2:1")}
    assert isinstance(answer, Found)
    assert [(each.peer.relay_url, each.is_hint) for each in answer.sightings] == [("https://relay.example/", True)]
    assert isinstance(await source(location).fetch(), Nothing)


async def test_a_server_is_asked_over_ipv6(tmp_path: Path) -> None:
    with running_knot(tmp_path, "::1") as knot:
        knot.start([txt(peer(1))])
        assert list(named(await source(knot.location).fetch())) == [1]


@pytest.mark.root  # for port 53
async def test_a_name_without_a_dot_is_completed_by_the_search_domains_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "resolv.conf"
    settings.write_text(f"nameserver 127.0.77.53\nsearch nothing.{DOMAIN} {DOMAIN}\n")
    monkeypatch.setattr(dns_client, "RESOLV_CONF", str(settings))
    with running_knot(tmp_path, "127.0.77.53") as knot:
        knot.port = 53
        knot.start([txt(peer(1)).replace(SERVICE, f"{SERVICE}.site", 1)])
        assert list(named(await source("dns:site").fetch())) == [1]
        assert list(named(await source(f"site.{DOMAIN}").fetch())) == [1]
        assert f"or {SERVICE}.elsewhere.{DOMAIN}." in error(await source("elsewhere").fetch())
    settings.write_text("")
    monkeypatch.setattr(dns_client, "RESOLV_CONF", str(tmp_path / "missing"))
    assert "names no DNS server" in error(await source("site").fetch())


# What is no answer, told apart


async def test_nothing_at_all_is_a_failure_and_none_is_an_answer(knot: Knot) -> None:
    knot.start()
    one = source(knot.location)
    assert "has no records at" in error(await one.fetch())  # NXDOMAIN
    knot.set([f"{SERVICE} A 10.0.0.1"])
    assert "has no records at" in error(await one.fetch())  # no data
    knot.set([f'{SERVICE} TXT "none"'])
    assert await one.fetch() == Nothing(fresh_for=60.0)


async def test_a_zone_that_is_not_served_and_a_server_that_is_down_are_told_apart(knot: Knot) -> None:
    knot.start()
    assert "REFUSED" in error(await source(knot.location.replace(ZONE, "other.test.")).fetch())
    knot.stop()
    assert "no DNS server answered" in error(await source(knot.location).fetch())


async def test_a_server_with_a_fault_is_told_by_its_word() -> None:
    def servfail(query: dns.message.Message, _: bool) -> bytes:
        answer = dns.message.make_response(query)
        answer.set_rcode(dns.rcode.SERVFAIL)
        return answer.to_wire()

    with dns_server(servfail) as where:
        assert "SERVFAIL" in error(await source(f"dns://{where}/{ZONE}").fetch())


async def test_an_answer_that_is_truncated_for_ever_is_a_failure() -> None:
    def cut(query: dns.message.Message, _: bool) -> bytes:
        answer = answer_to(query, {(NAME, "TXT"): [quoted(format_node(peer(1)))]})
        answer.flags |= dns.flags.TC
        return answer.to_wire()

    with dns_server(cut) as where:
        assert "truncated" in error(await source(f"dns://{where}/{ZONE}").fetch())


async def test_a_loop_of_names_is_a_failure(knot: Knot) -> None:
    knot.start([f"{SERVICE} CNAME x", "x CNAME y", f"y CNAME {SERVICE}"])
    assert "CNAME" in error(await source(knot.location).fetch())


@pytest.mark.parametrize("said", [None, b"", b"\0" * 600, b"\xff" * 64], ids=["silence", "empty", "zeros", "rubbish"])
async def test_silence_and_rubbish_are_a_failure_within_the_time_of_a_look(said: bytes | None) -> None:
    with dns_server(lambda *_: said) as where:
        assert ZONE in error(await source(f"dns://{where}/{ZONE}").fetch())


async def test_an_answer_to_another_question_is_not_believed() -> None:
    def other(query: dns.message.Message, is_tcp: bool) -> bytes:
        answer = dns.message.from_wire(answering({(NAME, "TXT"): [quoted(format_node(peer(1)))]})(query, is_tcp))
        answer.id ^= 1
        return answer.to_wire()

    with dns_server(other) as where:
        assert error(await source(f"dns://{where}/{ZONE}").fetch())


# What is wrong within an answer


async def test_bad_records_hide_no_good_one_and_are_told_with_the_reason(knot: Knot) -> None:
    foreign = peer(5, seq=1_700_000_000)
    forged = format_node(foreign).replace(foreign.direct_addresses[0], "10.9.9.9:1")
    knot.start(
        [
            txt(peer(1)),
            f'{SERVICE} TXT "node=2 id=bad addr=10.0.0.2:1"',
            f'{SERVICE} TXT "v=spf1 -all"',
            f"{SERVICE} TXT {quoted(forged)}",
            f"{SERVICE} SRV 0 0 7001 host.{ZONE}",
            srv(6),
        ]
    )
    answer = await source(knot.location).fetch()
    assert list(named(answer)) == [1]
    assert isinstance(answer, Found)
    told = "\n".join(answer.problems)
    for reason in (
        "not an Iroh node id",
        "/id: is missing",
        "signature does not fit",
        "not an endpoint id",
        "which node it is",
    ):
        assert reason in told, told


async def test_a_record_that_is_spoilt_leaves_what_was_known_of_its_node(knot: Knot) -> None:
    knot.start([txt(peer(1)), txt(peer(2)), srv(3), f'{base32(endpoint_id(3))} TXT "node=3 addr=10.0.0.3:1"'])
    one = source(knot.location)
    before = named(await one.fetch())
    assert list(before) == [1, 2, 3]
    knot.set([txt(peer(1)), txt(peer(2)).replace("node=2", "node=two"), srv(3)])
    answer = await one.fetch()
    assert named(answer) == before
    assert isinstance(answer, Found)
    assert len(answer.problems) == 2


async def test_two_records_that_clash_are_told_and_one_of_them_counts(knot: Knot) -> None:
    knot.start([txt(peer(1)), txt(peer(1, node_id=7)), txt(peer(2, node_id=1))])
    answer = await source(knot.location).fetch()
    assert len(named(answer)) == 1
    assert isinstance(answer, Found)
    assert len(answer.problems) == 2


async def test_64_kib_of_rubbish_in_txt_records_are_a_bounded_number_of_lines() -> None:
    rubbish = [f'"{"x" * 8}{n}"' for n in range(2400)]
    good = quoted(format_node(peer(1)))
    with dns_server(answering({(NAME, "TXT"): [*rubbish, good]})) as where:
        answer = await source(f"dns://{where}/{ZONE}").fetch()
    assert list(named(answer)) == [1]
    assert isinstance(answer, Found)
    # All of them are the same line, since the record itself is not repeated in it.
    assert len(answer.problems) <= MAX_PROBLEMS + 1


async def test_one_txt_record_of_64_kib_is_refused(knot: Knot) -> None:
    long = " ".join(['"' + "a" * 255 + '"'] * 240)
    with dns_server(answering({(NAME, "TXT"): [long]})) as where:
        assert "at most 8192 characters" in error(await source(f"dns://{where}/{ZONE}").fetch())


@pytest.mark.parametrize(
    ("target", "reason"),
    [(f"{SERVICE}.evil.example.", "is not below"), (f"{SERVICE}.gone.{ZONE}", "does not exist")],
)
async def test_a_ptr_record_leads_nowhere_else_and_not_to_nothing(knot: Knot, target: str, reason: str) -> None:
    knot.start([txt(peer(1)), f"{SERVICE} PTR {target}"])
    assert reason in error(await source(knot.location).fetch())


async def test_ptr_records_that_lead_in_a_circle_are_followed_once(knot: Knot) -> None:
    knot.start(
        [
            f"{SERVICE} PTR {NAME}",
            f"{SERVICE} PTR {SERVICE}.a.{ZONE}",
            f"{SERVICE}.a PTR {SERVICE}.a.{ZONE}",
            txt(peer(1)).replace(SERVICE, f"{SERVICE}.a", 1),
        ]
    )
    assert list(named(await source(knot.location).fetch())) == [1]


async def test_more_ptr_records_than_a_fleet_needs_are_refused() -> None:
    many = [f"{SERVICE}.s{n}.{ZONE}" for n in range(513)]
    with dns_server(answering({(NAME, "PTR"): many})) as where:
        assert "more than 512 PTR records" in error(await source(f"dns://{where}/{ZONE}").fetch())


async def test_what_a_zone_said_last_is_remembered_over_a_restart_until_it_says_none(
    knot: Knot, tmp_path: Path
) -> None:
    def started() -> DiscoveryManager:
        config = DiscoveryConfig([DiscoverySource.Dns([knot.location])], state_dir=tmp_path, auto_connect=False)
        return DiscoveryManager(config)

    async def peers_of(manager: DiscoveryManager) -> list[int]:
        await manager.refresh_peers()
        peers = [each.node_id for each in manager.get_peers()]
        await manager.stop()
        return peers

    knot.start([txt(peer(1)), txt(peer(2))])
    assert await peers_of(started()) == [1, 2]
    knot.set([])
    again = started()
    assert await peers_of(again) == [1, 2]
    (status,) = again.source_status()
    assert (status.state, status.memory_of is not None) == ("failed", True)
    knot.set([f'{SERVICE} TXT "none"'])
    assert await peers_of(started()) == []
    knot.set([])
    assert await peers_of(started()) == []


async def test_a_record_whose_signature_expires_while_it_stands_there_is_refused_from_then_on(knot: Knot) -> None:
    now = [NOON]
    one = peer(1, seq=1_700_000_000, expires_at=NOON + HOUR)
    knot.start([txt(one), txt(peer(2))])
    clock = SourceContext(
        check=AttestationCheck(cluster=CLUSTER, wall=lambda: now[0]), wall=lambda: now[0], is_known=lambda _: False
    )
    expiring = dns_at(knot.location, clock)
    assert list(named(await expiring.fetch())) == [1, 2]
    now[0] += 2 * HOUR
    answer = await expiring.fetch()
    assert list(named(answer)) == [2]
    assert isinstance(answer, Found)
    assert "expired" in answer.problems[0]


# Under a running manager


async def test_a_manager_follows_the_zone_and_keeps_its_peers_while_the_zone_is_gone(knot: Knot) -> None:
    knot.start([txt(peer(1)), txt(peer(2))])
    manager = DiscoveryManager(DiscoveryConfig([DiscoverySource.Dns([knot.location])], 0.3))
    await manager.start()
    try:
        assert [each.node_id for each in manager.get_peers()] == [1, 2]
        knot.set([txt(peer(1, "10.0.0.9:1")), txt(peer(3))])
        await manager.refresh_peers()
        assert manager.get_peers()[0].direct_addresses == ("10.0.0.9:1",)
        # Who is missing leaves after three intervals without being named, not before.
        for _ in range(600):
            await asyncio.sleep(0.05)
            if [each.node_id for each in manager.get_peers()] == [1, 3]:
                break
        knot.set([])
        await manager.refresh_peers()
        knot.stop()
        await manager.refresh_peers()
        assert [each.node_id for each in manager.get_peers()] == [1, 3]
        (status,) = manager.source_status()
        assert (status.state, status.ttl_s) == ("failed", 60.0)
        assert status.age_s is not None
    finally:
        await manager.stop()


async def test_a_server_that_hangs_holds_up_no_other_source(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    write(file, peers_file_of(peer(1)))
    with dns_server(lambda *_: None) as where:
        manager = DiscoveryManager(
            DiscoveryConfig([DiscoverySource.Dns([f"dns://{where}/{ZONE}"]), DiscoverySource.StaticFile(file)])
        )
        await manager.start()
        try:
            assert [each.node_id for each in manager.get_peers()] == [1]
        finally:
            await manager.stop()


async def test_where_signers_are_trusted_dns_makes_nobody_a_peer(knot: Knot) -> None:
    knot.start([txt(peer(1))])
    config = DiscoveryConfig([DiscoverySource.Dns([knot.location])], trusted_signers=[key(50).public()])
    manager = DiscoveryManager(config)
    await manager.start()
    try:
        assert manager.get_peers() == []
        assert ["hint" in line.reason for line in manager.dropped()] == [True]
    finally:
        await manager.stop()


def test_discover_shows_what_dns_says_with_its_age_and_ttl(knot: Knot) -> None:
    knot.start([txt(peer(1))])
    found = blixard("discover", "--registry", knot.location, "--json").document
    assert [each["node_id"] for each in found["peers"]] == [1]
    (told,) = found["sources"]
    assert (told["name"], told["ttl_s"]) == (knot.location, 60)
    assert told["age_s"] >= 0
    assert "fresh for 60.0 s" in blixard("discover", "--registry", knot.location).out


def test_a_domain_in_the_environment_counts_for_the_command_too(knot: Knot) -> None:
    knot.start([txt(peer(1))])
    found = blixard("discover", "--json", env={"BLIXARD_DNS": knot.location}).document
    assert [each["node_id"] for each in found["peers"]] == [1]


def test_nodes_that_know_only_a_domain_find_each_other_and_a_third_that_comes_later(knot: Knot, node: MakeNode) -> None:
    nodes = [node(number) for number in (1, 2, 3)]
    entries = [each.make_identity() for each in nodes]
    peers = [DiscoveredPeer.from_entry(entry, "dns", wall()) for entry in entries]
    knot.start([txt(each, ttl=1) for each in peers[:2]])
    words = ["--dns", knot.location, "--admission", "known", "--refresh-interval", "2"]
    for each in nodes:
        each.start(*words)
    eventually(lambda: are_meshed(nodes[:2]))
    assert nodes[0].status()["sources"][0]["name"] == knot.location
    knot.set([txt(each, ttl=1) for each in peers])
    eventually(lambda: are_meshed(nodes))


def test_a_stranger_in_the_zone_is_not_admitted_where_a_fleet_key_says_who_the_members_are(
    knot: Knot, node: MakeNode
) -> None:
    guarded, stranger = node(1), node(2)
    entries = [each.make_identity() for each in (guarded, stranger)]
    knot.start([txt(DiscoveredPeer.from_entry(entry, "dns", wall())) for entry in entries])
    guarded.start("--dns", knot.location, "--trusted-signers", key(50).public().hex)
    stranger.start("--dns", knot.location, "--admission", "known")

    eventually(lambda: [peer["state"] for peer in stranger.status()["peers"]] == ["refused"])
    assert guarded.status()["peers"] == []
    dropped = blixard("discover", "--data-dir", guarded.data_dir, "--json").document["dropped"]
    assert ["hint" in line["reason"] for line in dropped] == [True]
