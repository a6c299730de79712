# SPDX-License-Identifier: MIT
"""Servers that say they are an etcd: what they send costs bounded time and memory, has a reason, and erases nobody."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.etcd import encoded
from tests.integration.web import Reply, Web, reply, saying, serving
from tests.unit.peers.people import peer
from tests.unit.sources.files import CHECK, in_an_hour, peers_file_of, registry_of

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.sources import etcd_client, etcd_watch
from blixard.sources.base import Answer, Failed, Found, Source, SourceContext
from blixard.sources.etcd import EtcdSource
from blixard.sources.etcd_client import EtcdPlace
from blixard.sources.factory import Named
from blixard.sources.http_client import Limits

TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
SHORT = Limits(connect=30.0, idle=30.0, total=0.5)
KEY = "fleet/registry/n1"
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


@pytest.fixture
def web() -> Iterator[Web]:
    """A server whose answers a test sets."""
    with serving() as running:
        yield running


def place_of(web: Web) -> EtcdPlace:
    return EtcdPlace.parse(web.url.replace("http://", "etcd://") + "/fleet")


def header(cluster: int = 1, revision: int = 9) -> dict[str, str]:
    return {"cluster_id": str(cluster), "revision": str(revision)}


def item(key: str | bytes = KEY, number: int = 1, revision: int = 5) -> dict[str, str]:
    return {"key": encoded(key), "mod_revision": str(revision), "value": encoded(registry_of(peer(number)))}


def answer(**members: Any) -> Reply:
    return reply(200, json.dumps({"header": header(), **members}).encode())


def good() -> Reply:
    return answer(kvs=[item()], count="1")


def said(given: Answer) -> str:
    assert isinstance(given, Failed), given
    assert "\n" not in given.error
    return given.error


def nodes(given: Answer) -> list[int]:
    assert isinstance(given, Found), given
    return [each.node_id for each in given.peers]


async def error_of(web: Web, lie: Reply) -> str:
    web.on("/v3/kv/range", lie)
    return said(await EtcdSource(place_of(web), TOOLS).fetch())


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (reply(200, b"<html>login</html>"), "does not answer as an etcd does: is not JSON"),
        (reply(200, b"[]"), "does not answer as an etcd does: is no object"),
        (reply(200, b"{}"), "has no header"),
        (reply(302, headers={"Location": "http://192.0.2.1/"}), "the server answers 302, and not as an etcd does"),
        (reply(404, b"<html>"), "the server answers 404"),
        (reply(500, b'{"message": "etcdserver: no leader", "code": 14}'), "answers 500 (gRPC code 14)"),
        (reply(200, b"{}", {"Content-Length": "99999999999"}), "is too large"),
        (reply(200, b"{}", {"Content-Encoding": "gzip"}), "has no header"),
        (answer(kvs=[item("elsewhere/n1")], count="1"), "answers with keys that were not asked for"),
        (answer(kvs=[item(), item()], count="2"), "answers with keys that were not asked for"),
        (answer(kvs=[{"key": "!"}], count="1"), "not in base64"),
        (answer(kvs={}, count="1"), "kvs is no list"),
        (answer(kvs=[1], count="1"), "a key is no object"),
        (answer(count="-1"), 'count is "-1", and no number'),
        (answer(count="9" * 30), "and no number"),
        (answer(count=True), "and no number"),
    ],
)
async def test_what_is_no_answer_of_an_etcd_is_named(web: Web, lie: Reply, reason: str) -> None:
    assert reason in await error_of(web, lie)


async def test_a_servers_own_words_are_not_repeated(web: Web) -> None:
    assert "evil" not in await error_of(web, reply(400, b'{"message": "evil", "code": 3}'))


async def test_pages_without_an_end_end(web: Web) -> None:
    assert "keys that were not asked for" in await error_of(web, answer(kvs=[item()], count="9", more=True))


async def test_a_body_without_an_end_is_too_large() -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with saying(endless, *([CHUNK] * 1000)) as where:
        error = said(await EtcdSource(EtcdPlace.parse(f"etcd://{where}/fleet"), TOOLS).fetch())
    assert "is too large" in error


async def test_a_drip_runs_into_the_time_limit(web: Web) -> None:
    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            handler.connection.settimeout(0.05)
            try:
                if not handler.connection.recv(1):
                    return
            except TimeoutError:
                continue

    web.on("/v3/kv/range", drip)
    assert "took longer than 0.5 s" in said(await EtcdSource(place_of(web), TOOLS, limits=SHORT).fetch())


async def test_what_was_known_stays_when_an_etcd_begins_to_lie(web: Web) -> None:
    web.on("/v3/kv/range", good())
    config = DiscoveryConfig([DiscoverySource.Etcd([str(place_of(web))])], auto_connect=False)
    manager = DiscoveryManager(config)
    for lie in (reply(200, b"<html>"), answer(kvs=[], count="0"), answer(kvs=[item(number=2)], count="9", more=True)):
        web.on("/v3/kv/range", good())
        await manager.refresh_peers()
        web.on("/v3/kv/range", lie)
        await manager.refresh_peers()
        assert [each.node_id for each in manager.get_peers()] == [1]
        assert manager.source_status()[0].error
    await manager.stop()


async def test_a_count_that_is_never_right_costs_a_whole_look_each_time_and_no_more(web: Web) -> None:
    web.on("/v3/kv/range", answer(kvs=[item()], count="7"))
    liar = EtcdSource(place_of(web), TOOLS)
    for _ in range(3):
        assert nodes(await liar.fetch()) == [1]
    assert len(web.requests) == 1 + 2 * 2


@contextmanager
def watched(web: Web, watch: Reply) -> Iterator[EtcdSource]:
    """A source whose looks are answered well, and whose watch is not."""
    web.on("/v3/kv/range", good())
    web.on("/v3/watch", watch)
    yield EtcdSource(place_of(web), TOOLS)


async def ended(source: EtcdSource) -> str:
    """Let the watch begin; returns why it has ended."""
    if source._watch is None:
        await source.fetch()
    assert not await source.changed()
    for _ in range(600):
        assert source._watch is not None
        if source._watch._end is not None:
            return source._watch._end
        await asyncio.sleep(0.05)
    raise AssertionError("the watch goes on")


def message(**members: Any) -> bytes:
    return json.dumps({"result": {"header": header(), **members}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (reply(200, b"<html>\n"), "does not answer as an etcd does"),
        (reply(403, b'{"message": "etcdserver: permission denied", "code": 7}\n'), "does not let this user do that"),
        (reply(200, message(canceled=True, compact_revision="7")), "changes before revision 7 are compacted"),
        (reply(200, message(canceled=True)), "etcd ended the watch"),
        (reply(200, message(events=[{}])), "has no kv"),
        (reply(200, message(events=[1])), "an event is no object"),
        (reply(200, b'{"error": {}}\n'), "the watch ended with an error"),
        (reply(200, b""), "the connection ended"),
    ],
)
async def test_a_watch_that_is_none_ends_and_looks_go_on(web: Web, lie: Reply, reason: str) -> None:
    with watched(web, lie) as source:
        assert reason in await ended(source)
        assert not await source.changed()  # it was good for nothing, so nothing is asked anew because of it
        assert nodes(await source.fetch()) == [1]


async def test_a_line_without_an_end_ends_the_watch(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(web, reply(200, b" " * 200_000)) as source:
        await source.fetch()
        monkeypatch.setattr(etcd_client, "MAX_ANSWER", 100_000)
        assert "a line of more than 100000 bytes" in await ended(source)


async def test_changes_that_nobody_takes_have_their_bounds(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_watch, "ROOM", 10_000)
    events = [{"kv": item(f"fleet/registry/n{number}", revision=20)} for number in range(100)]
    with watched(web, reply(200, message(events=events))) as source:
        assert await ended(source) == "too much has changed at once"


async def test_messages_without_an_end_that_nobody_takes_end_the_watch(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_watch, "UNTAKEN", 10)
    with watched(web, reply(200, message() * 20)) as source:
        assert await ended(source) == "too much has changed at once"


async def test_a_watch_of_another_cluster_changes_nothing(web: Web) -> None:
    lie = {"result": {"header": header(cluster=2), "events": [{"type": "DELETE", "kv": item(revision=30)}]}}
    with watched(web, reply(200, json.dumps(lie).encode() + b"\n")) as source:
        await ended(source)
        assert nodes(await source.fetch()) == [1]


async def test_events_of_long_ago_change_nothing(web: Web) -> None:
    events = [{"type": "DELETE", "kv": item(revision=3)}]
    with watched(web, reply(200, message(events=events))) as source:
        await ended(source)
        assert nodes(await source.fetch()) == [1]


async def test_an_etcd_that_hangs_keeps_no_other_source_waiting(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(peers_file_of(peer(7)))
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # accepts in the kernel, and nobody reads
        where = f"localhost:{hanging.getsockname()[1]}"
        named: list[Named | Source] = [
            DiscoverySource.Etcd([f"etcd://{where}/fleet"]),
            DiscoverySource.StaticFile(path),
        ]
        manager = DiscoveryManager(DiscoveryConfig(named, auto_connect=False))
        await manager.start()
        assert [each.node_id for each in manager.get_peers()] == [7]
        await manager.stop()
