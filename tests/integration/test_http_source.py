# SPDX-License-Identifier: MIT
"""Registries and peers files at URLs, from a real server with real TLS."""

from __future__ import annotations

import base64
import gzip
import http.server
import itertools
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import trustme
from tests.integration.web import Reply, Web, authority, certified, presenting, reply, saying, serving
from tests.unit.peers.people import CLUSTER, NOON, key, peer
from tests.unit.sources.files import CHECK, in_an_hour, nodes, peers_file_of, registry_of, said

from blixard.clock import SystemClock
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.errors import InputError
from blixard.node_discovery import NodeDiscovery
from blixard.sources import http_document as http_source
from blixard.sources.base import Found, SourceContext
from blixard.sources.factory import Unusable, make_sources, registry_at
from blixard.sources.http_client import MAX_REDIRECTS, Limits
from blixard.sources.http_document import HttpSource
from blixard.trust.peers_signature import sign_peers

__all__ = ["authority"]

PATH = "/node1.json"
BODY = registry_of(peer(1, seq=5))
LIST = peers_file_of(peer(1, seq=5), peer(2))
FLEET = key(1000)
TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
SOON = Limits(connect=30.0, idle=30.0, total=0.3)
EARLIER = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}


@pytest.fixture
def web(authority: trustme.CA) -> Iterator[Web]:
    """A server with a certificate that is trusted."""
    with serving(certified(authority, "localhost")) as running:
        yield running


@pytest.fixture
def plain() -> Iterator[Web]:
    """A server without TLS."""
    with serving() as running:
        yield running


def source(url: str, **more: Any) -> HttpSource:
    return HttpSource(url, TOOLS, **more)


async def test_a_registry_is_got_over_tls(web: Web) -> None:
    answer = await source(web.on(PATH, reply(200, BODY))).fetch()
    assert nodes(answer) == [1]
    assert isinstance(answer, Found)
    assert answer.sightings[0].place == web.url + PATH
    [(_, headers)] = web.requests
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == web.url.removeprefix("https://")


async def test_a_peers_file_is_got_too(web: Web) -> None:
    assert nodes(await source(web.on("/peers.json", reply(200, LIST))).fetch()) == [1, 2]


async def test_an_empty_list_takes_all_peers_away(web: Web) -> None:
    assert await source(web.on("/peers.json", reply(200, b"[]"))).fetch() == Found(())


@pytest.mark.parametrize("state", ["draining", "absent"])
async def test_a_registry_of_a_node_that_leaves_takes_it_away(web: Web, state: str) -> None:
    assert await source(web.on(PATH, reply(200, registry_of(peer(1), state=state)))).fetch() == Found(())


async def test_where_signers_are_trusted_a_peers_file_needs_its_signature_beside_it(web: Web) -> None:
    context = SourceContext(CHECK, in_an_hour, lambda _: False, signers=[FLEET.public()], cluster=CLUSTER)
    peers = HttpSource(web.on("/peers.json?token=hush", reply(200, LIST, {"ETag": '"v1"'})), context)
    error = said(await peers.fetch())
    assert "/peers.json.sig?…: the server answers 404 Not Found" in error
    web.on("/peers.json.sig?token=hush", reply(200, signature(by=7)))
    assert "not one of the trusted signers" in said(await peers.fetch())
    web.on("/peers.json.sig?token=hush", reply(200, signature(by=1000)))
    assert nodes(await peers.fetch()) == [1, 2]


def signature(by: int) -> bytes:
    return sign_peers(LIST, key(by), cluster=CLUSTER, previous_seq=None, now=NOON)


async def test_node_discovery_finds_a_node_at_a_url(web: Web) -> None:
    [found] = await NodeDiscovery().find(web.on(PATH, reply(200, BODY)))
    assert found.node_id == 1


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ({"ETag": '"v1"'}, {"If-None-Match": '"v1"'}),
        (EARLIER, {"If-Modified-Since": EARLIER["Last-Modified"]}),
    ],
)
async def test_what_has_not_changed_is_not_sent_again(web: Web, told: dict[str, str], asked: dict[str, str]) -> None:
    registry = source(web.on(PATH, reply(200, BODY, told)))
    answer = await registry.fetch()
    web.on(PATH, reply(304))
    assert await registry.fetch() is answer
    first, second = (headers for _, headers in web.requests)
    assert not asked.items() <= first.items()
    assert asked.items() <= second.items()


async def test_a_date_that_may_hide_a_later_change_is_not_relied_on(web: Web) -> None:
    just_now = http.server.BaseHTTPRequestHandler.date_time_string
    now = SystemClock().wall().timestamp()
    registry = source(web.on(PATH, reply(200, BODY, {"Last-Modified": just_now(None, now)})))  # type: ignore[arg-type]
    await registry.fetch()
    await registry.fetch()
    assert all("If-Modified-Since" not in headers for _, headers in web.requests)


@pytest.mark.parametrize("etag", ["", " ", '"caf\xe9"', '"\x7f"', '"' + "x" * 1023 + '"'])
async def test_an_etag_that_is_none_is_not_sent_back_and_no_304_is_taken_for_an_answer(web: Web, etag: str) -> None:
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": etag})))
    good = await registry.fetch()
    assert await registry.fetch() is good
    web.on(PATH, reply(304))
    assert "304" in said(await registry.fetch())
    assert all("If-None-Match" not in headers for _, headers in web.requests)


async def test_an_empty_etag_beside_a_good_date_is_not_sent_back(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": ""} | EARLIER)))
    await registry.fetch()
    await registry.fetch()
    _, second = (headers for _, headers in web.requests)
    assert "If-Modified-Since" in second
    assert "If-None-Match" not in second


async def test_a_long_etag_is_sent_back_whole(web: Web) -> None:
    etag = '"' + "x" * 1022 + '"'
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": etag})))
    await registry.fetch()
    await registry.fetch()
    assert web.requests[1][1]["If-None-Match"] == etag


def dated(headers: dict[str, str]) -> Reply:
    """An answer with no date but those of `headers`."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        for name, value in {"Content-Length": str(len(BODY)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(BODY)

    return answer


NOW = {"Date": "Fri, 02 Jan 2026 00:00:00 GMT"}


@pytest.mark.parametrize(
    "dates",
    [
        EARLIER,
        EARLIER | {"Date": ""},
        EARLIER | {"Date": "today"},
        EARLIER | {"Date": EARLIER["Last-Modified"]},
        NOW | {"Last-Modified": ""},
        NOW | {"Last-Modified": "yesterday"},
        NOW | {"Last-Modified": "Thu, 99 Jan 2026 00:00:00 GMT"},
        NOW | {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 +9999999999999999"},
        NOW | {"Last-Modified": "Sat, 03 Jan 2026 00:00:00 GMT"},
    ],
)
async def test_a_date_that_says_nothing_is_not_sent_back(web: Web, dates: dict[str, str]) -> None:
    registry = source(web.on(PATH, dated(dates)))
    good = await registry.fetch()
    assert nodes(good) == [1]
    assert await registry.fetch() is good
    assert all("If-Modified-Since" not in headers for _, headers in web.requests)


async def test_a_date_of_the_day_before_the_answer_is_sent_back(web: Web) -> None:
    registry = source(web.on(PATH, dated(NOW | EARLIER)))
    await registry.fetch()
    await registry.fetch()
    assert web.requests[1][1]["If-Modified-Since"] == EARLIER["Last-Modified"]


@pytest.mark.parametrize("body", [BODY, LIST])
async def test_the_same_content_sent_again_is_the_very_same_answer(web: Web, body: bytes) -> None:
    registry = source(web.on(PATH, reply(200, body)))
    assert await registry.fetch() is await registry.fetch()


async def test_a_new_version_is_a_new_answer(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": '"v1"'})))
    await registry.fetch()
    web.on(PATH, reply(200, registry_of(peer(1, "10.0.0.9:9", seq=6)), {"ETag": '"v2"'}))
    answer = await registry.fetch()
    assert isinstance(answer, Found)
    assert tuple(answer.peers[0].direct_addresses) == ("10.0.0.9:9",)
    web.on(PATH, reply(304))
    assert await registry.fetch() is answer
    assert [headers.get("If-None-Match") for _, headers in web.requests] == [None, '"v1"', '"v2"']


async def test_a_url_may_change_between_a_registry_and_a_list(web: Web) -> None:
    changing = source(web.on(PATH, reply(200, BODY)))
    seen = []
    for body in (BODY, LIST, BODY, LIST):
        web.on(PATH, reply(200, body))
        seen.append(nodes(await changing.fetch()))
    assert seen == [[1], [1, 2], [1], [1, 2]]


async def test_a_304_that_nobody_asked_for_is_a_failure(web: Web) -> None:
    assert "304" in said(await source(web.on(PATH, reply(304))).fetch())


async def test_a_version_that_could_not_be_used_is_asked_for_in_full_again(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, b"{", {"ETag": '"bad"'})))
    error = said(await registry.fetch())
    assert error.startswith(f"{web.url}{PATH}: is not JSON")
    await registry.fetch()
    assert all("If-None-Match" not in headers for _, headers in web.requests)


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_gone_after_a_good_answer_is_a_failure_that_says_how_to_remove_peers(
    web: Web, status: int
) -> None:
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": '"v1"'})))
    good = await registry.fetch()
    web.on(PATH, reply(status))
    error = said(await registry.fetch())
    assert str(status) in error
    assert "serve [] there" in error
    web.on(PATH, reply(304))
    assert await registry.fetch() is good


@pytest.mark.parametrize("status", [204, 206, 300, 401, 403, 429, 500, 503, 599])
async def test_any_other_status_is_a_failure_that_names_it(web: Web, status: int) -> None:
    assert f"the server answers {status}" in said(await source(web.on(PATH, reply(status))).fetch())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(web: Web, status: int) -> None:
    web.on("/b/n.json", reply(200, BODY))
    web.on("/b/a", reply(status, headers={"Location": "n.json"}))
    url = web.on("/a", reply(302, headers={"Location": web.url + "/b/a"}))
    assert nodes(await source(url).fetch()) == [1]


async def test_a_version_belongs_to_where_a_redirect_led(web: Web) -> None:
    web.on("/b", reply(200, BODY, {"ETag": '"v1"'}))
    web.on("/c", reply(200, LIST, {"ETag": '"v1"'}))
    registry = source(web.on("/a", reply(302, headers={"Location": "/b"})))
    await registry.fetch()
    await registry.fetch()
    web.on("/a", reply(302, headers={"Location": "/c"}))
    await registry.fetch()
    asked = [path for path, headers in web.requests if "If-None-Match" in headers]
    assert asked == ["/b"]


async def test_a_redirect_loop_ends(web: Web) -> None:
    url = web.on("/a", reply(302, headers={"Location": "/a"}))
    assert f"redirects more than {MAX_REDIRECTS} times" in said(await source(url).fetch())
    assert len(web.requests) == MAX_REDIRECTS + 1


async def test_no_redirect_leads_from_https_to_http(web: Web, plain: Web) -> None:
    plain.on(PATH, reply(200, BODY))
    url = web.on("/a", reply(302, headers={"Location": plain.url + PATH}))
    assert "redirects from https to http://" in said(await source(url).fetch())
    assert plain.requests == []


async def test_a_redirect_leads_from_http_to_https(web: Web, plain: Web) -> None:
    web.on(PATH, reply(200, BODY))
    assert nodes(await source(plain.on("/a", reply(301, headers={"Location": web.url + PATH}))).fetch()) == [1]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://localhost/x", "//", "https://user:hush@localhost:1/x", "https://[/", None]
)
async def test_no_redirect_leads_to_anything_but_the_web(web: Web, target: str | None) -> None:
    headers = {} if target is None else {"Location": target}
    error = said(await source(web.on("/a", reply(302, headers=headers))).fetch())
    assert "hush" not in error
    assert error.startswith((f"{web.url}/a: redirects to", "https://"))


async def test_user_and_password_are_sent_to_their_own_host_only_and_shown_nowhere(web: Web, plain: Web) -> None:
    web.on("/b", reply(302, headers={"Location": "/c"}))
    host = web.url.removeprefix("https://")
    registry = source(f"https://user:h%40sh@{host}/b")
    web.on("/c", reply(500))
    error = said(await registry.fetch())
    assert all("user" not in text and "sh@" not in text for text in (error, registry.name))
    basic = "Basic " + base64.b64encode(b"user:h@sh").decode()
    assert [headers.get("Authorization") for _, headers in web.requests] == [basic, basic]
    plain.on("/a", reply(302, headers={"Location": web.url + "/c"}))
    await source(f"http://user:hush@{plain.url.removeprefix('http://')}/a").fetch()
    assert "Authorization" in plain.requests[0][1]
    assert "Authorization" not in web.requests[-1][1]


async def test_a_query_may_be_secret_and_is_shown_nowhere(web: Web) -> None:
    registry = source(web.on(f"{PATH}?token=hush", reply(200, b"{")))
    assert "hush" not in registry.name + said(await registry.fetch())
    web.on(f"{PATH}?token=hush", reply(404))
    assert "hush" not in said(await registry.fetch())


def test_urls_that_differ_only_in_what_is_hidden_are_two_sources() -> None:
    named = DiscoverySource.NodeRegistry(["https://h/n?a", "https://h/n?b", "https://u:p@h/n", "https://h/n?a"])
    made = make_sources([named], TOOLS)
    assert [type(each) for each in made] == [HttpSource] * 3


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    with serving(certified(trustme.CA(), "localhost")) as impostor:
        error = said(await source(impostor.on(PATH, reply(200, BODY))).fetch())
        assert "certificate is refused: unable to get local issuer certificate" in error
        assert impostor.requests == []


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    with serving(certified(authority, "elsewhere.example")) as other:
        error = said(await source(other.on(PATH, reply(200, BODY))).fetch())
        assert "certificate is refused: Hostname mismatch" in error
        assert other.requests == []


async def test_a_certificate_that_has_expired_is_refused(authority: trustme.CA) -> None:
    now = SystemClock().wall()
    old = authority.issue_cert("localhost", not_before=now - timedelta(days=2), not_after=now - timedelta(days=1))
    with serving(presenting(old)) as late:
        assert "certificate has expired" in said(await source(late.on(PATH, reply(200, BODY))).fetch())
        assert late.requests == []


async def test_a_certificate_for_an_address_is_good_for_a_url_with_that_address(authority: trustme.CA) -> None:
    with serving(certified(authority, "127.0.0.1"), host="127.0.0.1") as bare:
        assert nodes(await source(bare.on(PATH, reply(200, BODY))).fetch()) == [1]


async def test_https_to_a_server_without_tls_is_a_failure(plain: Web) -> None:
    url = plain.on(PATH, reply(200, BODY)).replace("http://", "https://")
    assert "TLS failed" in said(await source(url).fetch())


def every_20_ms(say: Callable[[http.server.BaseHTTPRequestHandler], object]) -> Reply:
    """Say something again and again, until the other side hangs up."""

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        pace = threading.Event()
        while not pace.wait(0.02):
            say(handler)
            handler.wfile.flush()

    return drip


def drip_body(length: int | None) -> Reply:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        every_20_ms(lambda each: each.wfile.write(b" "))(handler)

    return answer


def drip_chunks(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    every_20_ms(lambda each: each.wfile.write(b"1\r\n \r\n"))(handler)


drip_head = every_20_ms(lambda each: each.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n"))


@pytest.mark.parametrize("slow", [drip_body(None), drip_body(10_000), drip_chunks, drip_head])
async def test_a_slow_answer_ends_with_the_time_limit_although_bytes_keep_coming(web: Web, slow: Reply) -> None:
    assert "took longer than 0.3 s" in said(await source(web.on(PATH, slow), limits=SOON).fetch())


async def test_slow_redirects_share_one_time_limit(web: Web) -> None:
    pace = threading.Event()

    def later(handler: http.server.BaseHTTPRequestHandler) -> None:
        pace.wait(0.2)
        reply(302, headers={"Location": PATH})(handler)

    assert "took longer than 0.3 s" in said(await source(web.on(PATH, later), limits=SOON).fetch())


async def test_a_body_that_stops_in_the_middle_ends_with_the_time_limit(web: Web) -> None:
    end = threading.Event()

    def stop(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:-1])
        handler.wfile.flush()
        end.wait(60)

    stalled = source(web.on(PATH, stop), limits=Limits(idle=0.2, total=60.0))
    assert "did not answer in time" in said(await stalled.fetch())
    end.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_accepts_and_says_nothing_ends_with_the_time_limit(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://localhost:{silent.getsockname()[1]}/"
        assert "took longer than 0.3 s" in said(await source(url, limits=SOON).fetch())


async def test_a_name_server_that_hangs_is_waited_for_no_longer_than_the_rest(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()
    monkeypatch.setattr(http_source, "_GRACE", 0.0)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: end.wait(60))
    registry = source(web.on(PATH, reply(200, BODY)), limits=SOON)
    for _ in range(2):
        assert "does the name server answer?" in said(await registry.fetch())
    end.set()


def endless(head: str) -> Reply:
    """Send a head, and then more and more."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        while True:
            handler.wfile.write(b"[" * 65536)

    return answer


@pytest.mark.parametrize(
    "huge",
    [
        endless(""),
        endless("Content-Length: 99999999999\r\n"),
        endless("Content-Length: -1\r\n"),
        endless("Transfer-Encoding: chunked\r\n\r\n10000000\r\n"),
        endless("Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
        reply(200, b" " * 1001),
    ],
)
async def test_a_huge_body_is_refused_without_being_read_to_its_end(
    web: Web, huge: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "MAX_PEERS_BYTES", 1000)
    error = said(await source(web.on(PATH, huge)).fetch())
    assert "is too large" in error or "does not speak HTTP" in error


async def test_a_body_that_is_cut_off_is_refused_even_where_it_could_be_read(web: Web) -> None:
    cut = reply(200, BODY, {"Content-Length": str(len(BODY) + 10)})
    assert "is cut off: 10 bytes are missing" in said(await source(web.on(PATH, cut)).fetch())


async def test_a_compressed_body_is_refused_before_it_is_unpacked(web: Web) -> None:
    bomb = reply(200, gzip.compress(b" " * 10_000_000), {"Content-Encoding": "gzip"})
    assert "comes compressed" in said(await source(web.on(PATH, bomb)).fetch())


@pytest.mark.parametrize("body", [b"", b"<!doctype html><title>Sign in</title>", b"\x00\xff", b'"text"', b"[[]]"])
async def test_what_is_neither_a_registry_nor_a_list_is_refused_by_url(web: Web, body: bytes) -> None:
    assert said(await source(web.on(PATH, reply(200, body))).fetch()).startswith(f"{web.url}{PATH}: ")


@pytest.mark.parametrize(
    "garbage",
    [
        b"220 mail.example ESMTP\r\n",
        b"",
        b"\x00" * 100_000,
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
    ],
)
async def test_what_is_no_http_is_a_failure(garbage: bytes) -> None:
    with saying(garbage) as where:
        error = said(await source(f"http://{where}/").fetch())
    assert "does not speak HTTP" in error or "cannot be read from" in error


async def test_a_port_where_nobody_listens_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = said(await source(f"http://127.0.0.1:{port}/").fetch())
    assert f"cannot be read from 127.0.0.1:{port}: Connection refused" in error


async def test_a_name_that_does_not_exist_is_a_failure() -> None:
    assert "its host cannot be looked up" in said(await source("https://nobody.invalid/").fetch())


async def test_proxies_of_the_environment_are_not_used_and_an_error_says_so(
    plain: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert nodes(await source(plain.on(PATH, reply(200, BODY))).fetch()) == [1]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "proxies of the environment are not used" in said(await source(f"http://127.0.0.1:{port}/").fetch())


async def test_a_registry_whose_attestation_does_not_hold_is_refused(web: Web) -> None:
    forged = BODY.replace(b"10.0.0.1:7001", b"10.6.6.6:7001")
    assert "signature does not fit" in said(await source(web.on(PATH, reply(200, forged))).fetch())


async def test_http_without_tls_is_warned_of_once(web: Web, plain: Web, caplog: pytest.LogCaptureFixture) -> None:
    sources = [source(each.on(PATH, reply(200, BODY))) for each in (web, plain)]
    for each, _ in itertools.product(sources, range(2)):
        assert nodes(await each.fetch()) == [1]
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.__dict__["source"] for each in warnings] == [f"registry:{plain.url}{PATH}"]


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "https://:1/",
        "https://h:x/",
        "https://h:99999/",
        "https://hush:hu/sh@h/",
        "https://h/a b",
        "https://h/\r\nX: y",
        "https://ü/",
        "http://[::1/",
        "https://h/" + "a" * 10_000,
    ],
)
def test_what_is_no_good_url_is_refused_at_once_and_reported(url: str) -> None:
    with pytest.raises(InputError) as caught:
        source(url)
    unusable = registry_at(url, TOOLS)
    assert isinstance(unusable, Unusable)
    assert "hu" not in str(caught.value) + unusable.name


async def test_garbage_over_a_good_answer_keeps_the_good_peers_and_the_status_says_why(web: Web) -> None:
    url = web.on("/peers.json", reply(200, LIST, {"ETag": '"v1"'}))
    manager = DiscoveryManager(DiscoveryConfig([DiscoverySource.NodeRegistry([url])]))
    await manager.start()
    for bad, reason in [
        (reply(200, b"<html>"), "is not JSON"),
        (reply(200, LIST[:-20]), "is not JSON"),
        (reply(200, LIST.replace(b"10.0.0.1:7001", b"10.0.0.1:0")), "/0/direct_addresses/0"),
        (reply(404), "404 Not Found"),
        (reply(503), "503 Service Unavailable"),
        (reply(200, LIST, {"Content-Encoding": "br"}), "compressed"),
        (reply(302, headers={"Location": "/peers.json"}), "redirects more than"),
    ]:
        web.on("/peers.json", bad)
        await manager.refresh_peers()
        assert [each.node_id for each in manager.get_peers()] == [1, 2]
        [status] = manager.source_status()
        assert status.state == "failed"
        assert reason in (status.error or "")
        assert status.good_at is not None
    web.on("/peers.json", reply(200, peers_file_of(peer(1, seq=5), peer(2), peer(3)), {"ETag": '"v2"'}))
    await manager.refresh_peers()
    assert [each.node_id for each in manager.get_peers()] == [1, 2, 3]
    assert [status.state for status in manager.source_status()] == ["found"]
    await manager.stop()
