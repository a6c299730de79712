# SPDX-License-Identifier: MIT
"""Metrics: the text that Prometheus reads, what is in it, and the server that hands it out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import NOW, key

from blixard.agent.metrics import (
    EventCounts,
    Family,
    NodeFacts,
    exposition,
    gossip_families,
    node_families,
    peer_families,
    source_families,
)
from blixard.agent.metrics_server import MAX_REQUEST_BYTES, serving_metrics
from blixard.agent.options import Bind
from blixard.dialling.protocols import DIAL_ERRORS
from blixard.errors import InputError
from blixard.peers.events import Event, EventKind
from blixard.peers.status import AnswerKind, PeerState, PeerStatus, SourceState, SourceStatus
from blixard.transport.acceptor import TurnedAway
from blixard.transport.hello import RefusalKind

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')


def read(text: bytes) -> Series:
    """Read the text form as Prometheus does."""
    series: Series = {}
    for line in text.decode().split("\n")[:-1]:
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            labels = tuple(
                (name, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value))
                for name, value in LABEL.findall(match[2] or "")
            )
            assert (match[1], labels) not in series
            series[match[1], labels] = float(match[3])
    return series


def peer(number: int, state: PeerState, **changes: object) -> PeerStatus:
    """The status of a peer in `state`."""
    status = PeerStatus(
        node_id=number,
        endpoint_id=key(number).public(),
        state=state,
        since=NOW,
        wanted=True,
        sources=("static",),
        addresses=(),
        relay_url=None,
        attested=True,
        seq=1,
        failures=0,
        attempts=1,
        waited_s=0.0,
        next_attempt_s=None,
        circuit="closed",
        trips=0,
        last_error=None,
        admitted=None,
        path=None,
        rtt_ms=None,
        claimed_node_id=None,
    )
    return dataclasses.replace(status, **changes)  # type: ignore[arg-type]


def event(kind: EventKind, **details: object) -> Event:
    return Event(kind, NOW, 2, key(2).public(), details)


@given(
    st.dictionaries(st.sampled_from(["source", "kind", "more"]), st.text(st.characters(exclude_categories=["Cs"]))),
    st.integers(-(2**53), 2**53) | st.floats(allow_nan=False),
)
def test_every_label_and_value_can_be_read_back(labels: Mapping[str, str], value: float) -> None:
    (((_, found), number),) = read(exposition([Family("blixard_test", "gauge", "A test.", [(labels, value)])])).items()
    assert dict(found) == labels
    assert number == value


def test_each_family_says_what_it_is_once() -> None:
    text = exposition([Family("blixard_test", "counter", "A test.", [({"a": 1}, 1), ({"a": 2}, 2)])])
    assert text.decode().splitlines() == [
        "# HELP blixard_test A test.",
        "# TYPE blixard_test counter",
        'blixard_test{a="1"} 1.0',
        'blixard_test{a="2"} 2.0',
    ]


def test_peers_are_counted_by_state_and_only_connected_ones_have_a_series_of_their_own() -> None:
    peers = [
        peer(2, "connected", path="direct", rtt_ms=1.5),
        peer(3, "connected", path=None),
        peer(4, "open", rtt_ms=9.0),
        peer(5, "open"),
    ]
    series = read(exposition(peer_families(peers)))
    states = {state: series["blixard_peers", (("state", state),)] for state in get_args(PeerState)}
    assert {state: count for state, count in states.items() if count} == {"connected": 2, "open": 2}
    paths = {path: series["blixard_connections", (("path", path),)] for path in ("direct", "relay", "unknown")}
    assert paths == {"direct": 1, "relay": 0, "unknown": 1}
    assert [(labels, value) for (name, labels), value in series.items() if name == "blixard_peer_rtt_seconds"] == [
        ((("node_id", "2"),), 0.0015)
    ]


@pytest.mark.parametrize(("state", "up"), [("found", 1), ("nothing", 1), ("failed", 0), ("not_asked", 0)])
def test_a_source_is_up_while_it_answers(state: SourceState, up: int) -> None:
    good_at = NOW - timedelta(seconds=90)
    name = 'static:/srv/"a"\n'
    source = SourceStatus(
        name=name, state=state, peers=7, good_at=good_at, error=None, problems=("x",), answers={"failed": 3}
    )
    series = read(exposition(source_families([source], NOW)))
    labels = (("source", name),)
    assert series["blixard_source_up", labels] == up
    assert series["blixard_source_peers", labels] == 7
    assert series["blixard_source_problems", labels] == 1
    assert series["blixard_source_seconds_since_good_answer", labels] == 90
    assert series["blixard_source_last_good_answer_timestamp_seconds", labels] == good_at.timestamp()
    answers = {
        kind: series["blixard_source_answers_total", (*labels, ("result", kind))] for kind in get_args(AnswerKind)
    }
    assert answers == {"found": 0, "nothing": 0, "failed": 3}


def test_a_source_that_counts_from_memory_is_told() -> None:
    about: dict[str, Any] = {"peers": 1, "good_at": None, "error": "no", "problems": (), "answers": {}}
    sources = [
        SourceStatus(name="a", state="failed", memory_of=NOW, **about),
        SourceStatus(name="b", state="failed", **about),
    ]
    series = read(exposition(source_families(sources, NOW)))
    assert series["blixard_source_from_memory", (("source", "a"),)] == 1
    assert series["blixard_source_from_memory", (("source", "b"),)] == 0


def test_a_source_that_never_answered_well_has_no_age() -> None:
    source = SourceStatus(name="static:x", state="failed", peers=0, good_at=None, error="no", problems=(), answers={})
    assert "blixard_source_seconds_since_good_answer{" not in exposition(source_families([source], NOW)).decode()


def test_events_are_counted_and_failures_by_their_kind() -> None:
    counts = EventCounts()
    kinds: list[EventKind] = ["connecting", "connecting", "connected", "disconnected", "circuit_opened", "quarantined"]
    for kind in kinds:
        counts.add(event(kind))
    for error in ("timeout", "timeout", "wrong_id"):
        counts.add(event("failed", error=error, message="m"))
    series = read(exposition(counts.families()))
    assert series["blixard_dials_total", ()] == 2
    assert series["blixard_connections_made_total", ()] == 1
    assert series["blixard_connections_lost_total", ()] == 1
    assert series["blixard_circuit_opened_total", ()] == 1
    assert series["blixard_addresses_quarantined_total", ()] == 1
    assert series["blixard_peers_discovered_total", ()] == 0
    assert series["blixard_dial_failures_total", (("kind", "timeout"),)] == 2
    assert series["blixard_dial_failures_total", (("kind", "wrong_id"),)] == 1


def test_the_node_says_who_it_is_and_whom_it_turned_away() -> None:
    about = NodeFacts(node_id=1, cluster="prod", version="0.1.0", refused={"unknown": 3})
    series = read(exposition(node_families(about)))
    assert series["blixard_info", (("node_id", "1"), ("cluster", "prod"), ("version", "0.1.0"))] == 1
    assert series["blixard_refused_callers_total", (("kind", "unknown"),)] == 3
    for name in ("blixard_not_remembered", "blixard_not_written", "blixard_not_reachable"):
        assert series[name, ()] == 0
    assert series["blixard_relay_configured", ()] == 0
    assert series["blixard_relay_connections", ()] == 0
    assert ("blixard_etcd_live", ()) not in series
    live = read(
        exposition(node_families(dataclasses.replace(about, live_in={"etcd://a/f": True, "etcd://b/f": False})))
    )
    assert live["blixard_etcd_live", (("place", "etcd://a/f"),)] == 1
    assert live["blixard_etcd_live", (("place", "etcd://b/f"),)] == 0
    worse = dataclasses.replace(
        about, not_remembered=2, not_written=3, is_reachable=False, has_relay=True, relay_connections=2
    )
    bad = read(exposition(node_families(worse)))
    assert bad["blixard_not_remembered", ()] == 2
    assert bad["blixard_not_written", ()] == 3
    assert bad["blixard_not_reachable", ()] == 1
    assert bad["blixard_relay_configured", ()] == 1
    assert bad["blixard_relay_connections", ()] == 2


def test_every_kind_of_failure_and_of_refusal_is_counted_from_nought_so_that_a_rate_sees_the_first() -> None:
    about = NodeFacts(node_id=1, cluster="prod", version="0.1.0", refused={"of another version": 3})
    counts = EventCounts()
    counts.add(event("failed", error="timeout", message="m"))
    series = read(exposition([*node_families(about), *counts.families()]))
    refused = {labels[0][1]: count for (name, labels), count in series.items() if "refused" in name}
    assert refused == {**dict.fromkeys((*get_args(RefusalKind), *get_args(TurnedAway)), 0), "of another version": 3}
    failures = {labels[0][1]: count for (name, labels), count in series.items() if "failures" in name}
    assert failures == {**dict.fromkeys(DIAL_ERRORS, 0), "timeout": 1}


async def fetched(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Send a request and return head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


ANY_PORT = Bind.parse("127.0.0.1:0")


async def test_the_metrics_are_served_as_they_are_at_that_moment() -> None:
    values = iter([b"one 1\n", b"two 2\n"])
    async with serving_metrics(ANY_PORT, lambda: next(values)) as port:
        head, body = await fetched(port, b"GET /metrics?x=y HTTP/1.1\r\nHost: localhost:9101\r\n\r\n")
        assert head.startswith(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 6"
        )
        assert body == b"one 1\n"
        head, body = await fetched(port, b"HEAD /metrics HTTP/1.0\r\n\r\n")
        assert (b"Content-Length: 6" in head, body) == (True, b"")


@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"), (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed")],
)
async def test_another_path_or_method_is_refused(request_: bytes, status: bytes) -> None:
    async with serving_metrics(ANY_PORT, lambda: b"") as port:
        head, _ = await fetched(port, request_)
        assert head.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("noise", [b"\0\xff" * 50 + b"\r\n\r\n", b"x" * (MAX_REQUEST_BYTES + 1), b"\r\n\r\n"])
async def test_nonsense_harms_nobody(noise: bytes) -> None:
    async with serving_metrics(ANY_PORT, lambda: b"one 1\n") as port:
        with contextlib.suppress(ConnectionError):
            await fetched(port, noise)
        assert (await fetched(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[1] == b"one 1\n"


async def test_a_taken_address_is_one_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = Bind(ANY_PORT.ip, taken.getsockname()[1])
        with pytest.raises(InputError, match=rf"/metrics: cannot listen at {bind}: .*; free the port"):
            async with serving_metrics(bind, lambda: b""):
                pass


async def test_an_address_that_this_host_does_not_have_is_not_called_a_taken_port() -> None:
    with pytest.raises(
        InputError, match=r"/metrics: .*this host has no such address.* choose another one with --metrics"
    ):
        async with serving_metrics(Bind.parse("203.0.113.7:9101"), lambda: b""):
            pass


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", b"200 OK"),
        ("LOCALHOST:8080", b"200 OK"),
        ("127.0.0.1:9101", b"200 OK"),
        ("127.9.9.9", b"200 OK"),
        ("[::1]:9101", b"200 OK"),
        ("evil.example", b"421 Misdirected"),
        ("localhost.evil.example:9101", b"421 Misdirected"),
        ("127.0.0.1.evil.example", b"421 Misdirected"),
        ("0.0.0.0:9101", b"421 Misdirected"),
        ("192.0.2.1", b"421 Misdirected"),
        ("", b"421 Misdirected"),
        ("localhost\r\nHost: evil.example", b"421 Misdirected"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics"])
async def test_on_loopback_a_name_of_somebody_elses_is_refused(path: str, host: str, status: bytes) -> None:
    async with serving_metrics(ANY_PORT, lambda: b"one 1\n", lambda: b"<p>secret") as port:
        head, body = await fetched(port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert head.startswith(b"HTTP/1.1 " + status)
        assert (b"secret" in body or b"one" in body) == (status == b"200 OK")


async def test_where_other_hosts_may_scrape_any_name_is_good() -> None:
    async with serving_metrics(Bind.parse("0.0.0.0:0"), lambda: b"one 1\n") as port:
        assert (await fetched(port, b"GET /metrics HTTP/1.1\r\nHost: node1.example\r\n\r\n"))[1] == b"one 1\n"


async def test_a_page_is_served_beside_the_metrics_and_may_be_framed_by_nobody() -> None:
    async with serving_metrics(ANY_PORT, lambda: b"", lambda: b"<p>page") as port:
        head, body = await fetched(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert body == b"<p>page"
        assert b"Content-Type: text/html; charset=utf-8\r\n" in head
        assert b"Content-Security-Policy: frame-ancestors 'none'\r\n" in head
        assert (await fetched(port, b"DELETE / HTTP/1.1\r\n\r\n"))[0].startswith(b"HTTP/1.1 405")


def test_gossip_is_counted_by_what_became_of_it() -> None:
    counts = {
        "exchanges": {"begun": 3, "answered": 2},
        "failed": {"too_slow": 1},
        "entries": {"taken": 4, "forged": 5},
        "sent": {"frames": 6, "bytes": 700},
    }
    series = read(exposition(gossip_families(counts)))
    assert series["blixard_gossip_exchanges_total", (("kind", "answered"),)] == 2
    assert series["blixard_gossip_failed_total", (("kind", "too_slow"),)] == 1
    assert series["blixard_gossip_entries_total", (("kind", "forged"),)] == 5
    assert series["blixard_gossip_sent_total", (("kind", "bytes"),)] == 700
