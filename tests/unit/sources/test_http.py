# SPDX-License-Identifier: MIT
"""Registries at URLs, from a real server with real TLS."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
import trustme
from tests.unit.peers.people import peer
from tests.unit.sources.files import CHECK, in_an_hour, registry_of
from tests.unit.sources.web import Web, authority, certified, reply, serving

from blixard.documents.limits import MAX_REGISTRY_BYTES
from blixard.errors import InputError
from blixard.sources import http_get
from blixard.sources.base import Answer, Failed, Found, Nothing
from blixard.sources.http import HttpRegistry
from blixard.sources.http_get import MOST_REDIRECTS

__all__ = ["authority"]

PATH = "/node1.json"
BODY = registry_of(peer(1, seq=5))


@pytest.fixture
def web(authority: trustme.CA) -> Iterator[Web]:
    """A server with a certificate that is trusted."""
    with serving(certified(authority, "localhost")) as running:
        yield running


def source(url: str) -> HttpRegistry:
    return HttpRegistry(url, check=CHECK, wall=in_an_hour)


def said(answer: Answer) -> str:
    assert isinstance(answer, Failed)
    assert "\n" not in answer.error
    return answer.error


async def test_a_registry_is_got_over_tls(web: Web) -> None:
    answer = await source(web.on(PATH, reply(200, BODY))).fetch()
    assert isinstance(answer, Found)
    assert answer.peers[0].node_id == 1
    assert answer.sightings[0].place == web.url + PATH


async def test_a_registry_is_got_without_tls_where_the_url_says_so(authority: trustme.CA) -> None:
    with serving() as plain:
        assert isinstance(await source(plain.on(PATH, reply(200, BODY))).fetch(), Found)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ({"ETag": '"v1"'}, {"If-None-Match": '"v1"'}),
        (
            {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
            {"If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"},
        ),
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


async def test_the_same_content_sent_again_is_the_very_same_answer(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, BODY)))
    assert await registry.fetch() is await registry.fetch()


async def test_a_new_version_is_a_new_answer(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": '"v1"'})))
    await registry.fetch()
    web.on(PATH, reply(200, registry_of(peer(1, "10.0.0.9:9", seq=6)), {"ETag": '"v2"'}))
    answer = await registry.fetch()
    assert isinstance(answer, Found)
    assert tuple(answer.peers[0].direct_addresses) == ("10.0.0.9:9",)


async def test_a_304_that_nobody_asked_for_is_a_failure(web: Web) -> None:
    assert "304" in said(await source(web.on(PATH, reply(304))).fetch())


async def test_a_version_that_could_not_be_used_is_asked_for_in_full_again(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, b"{", {"ETag": '"bad"'})))
    assert "not JSON" in said(await registry.fetch())
    await registry.fetch()
    assert all("If-None-Match" not in headers for _, headers in web.requests)


async def test_a_404_after_a_good_answer_is_a_failure_and_the_next_good_one_counts(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, BODY, {"ETag": '"v1"'})))
    good = await registry.fetch()
    web.on(PATH, reply(404))
    assert "404" in said(await registry.fetch())
    web.on(PATH, reply(304))
    assert await registry.fetch() is good


async def test_a_410_takes_the_node_away(web: Web) -> None:
    registry = source(web.on(PATH, reply(200, BODY)))
    await registry.fetch()
    web.on(PATH, reply(410))
    assert await registry.fetch() == Nothing()


@pytest.mark.parametrize("status", [204, 206, 401, 403, 500, 503])
async def test_any_other_status_is_a_failure_that_names_it(web: Web, status: int) -> None:
    assert str(status) in said(await source(web.on(PATH, reply(status))).fetch())


async def test_redirects_are_followed(web: Web) -> None:
    web.on(PATH, reply(200, BODY))
    web.on("/b", reply(308, headers={"Location": PATH}))
    assert isinstance(await source(web.on("/a", reply(302, headers={"Location": web.url + "/b"}))).fetch(), Found)


async def test_a_redirect_loop_ends(web: Web) -> None:
    url = web.on("/a", reply(302, headers={"Location": "/a"}))
    assert "redirects more than" in said(await source(url).fetch())
    assert len(web.requests) == MOST_REDIRECTS + 1


async def test_no_redirect_leads_from_https_to_http(web: Web, authority: trustme.CA) -> None:
    with serving() as plain:
        plain.on(PATH, reply(200, BODY))
        url = web.on("/a", reply(302, headers={"Location": plain.url + PATH}))
        assert "from https to" in said(await source(url).fetch())
        assert plain.requests == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://localhost/x", "//", "https://user:pw@localhost/x", None]
)
async def test_no_redirect_leads_to_anything_but_the_web(web: Web, target: str | None) -> None:
    headers = {} if target is None else {"Location": target}
    error = said(await source(web.on("/a", reply(302, headers=headers))).fetch())
    assert "redirects" in error
    assert "pw" not in error


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    with serving(certified(trustme.CA(), "localhost")) as impostor:
        error = said(await source(impostor.on(PATH, reply(200, BODY))).fetch())
        assert "certificate cannot be trusted" in error
        assert impostor.requests == []


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    with serving(certified(authority, "elsewhere.example")) as other:
        assert "certificate cannot be trusted" in said(await source(other.on(PATH, reply(200, BODY))).fetch())


def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send the head at once, and the body a byte at a time without end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        threading.Event().wait(0.02)


def drip_head(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send a line of the head at a time without end."""
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        handler.wfile.flush()
        threading.Event().wait(0.02)


@pytest.mark.parametrize("slow", [drip, drip_head])
async def test_a_slow_answer_ends_with_the_time_limit_although_bytes_keep_coming(
    web: Web, slow: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_get, "TIMEOUT", 0.3)
    assert callable(slow)
    assert "no full answer" in said(await source(web.on(PATH, slow)).fetch())


async def test_a_server_that_accepts_and_says_nothing_ends_with_the_time_limit(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_get, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("http", "https"):
            url = f"{scheme}://localhost:{silent.getsockname()[1]}/"
            assert "no full answer" in said(await source(url).fetch())


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Send more and more."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"[" * 65536)


@pytest.mark.parametrize("huge", [endless, reply(200, b" " * (MAX_REGISTRY_BYTES + 1))])
async def test_a_huge_body_is_refused_without_being_read_to_its_end(web: Web, huge: object) -> None:
    assert callable(huge)
    assert "too large" in said(await source(web.on(PATH, huge)).fetch())


async def test_a_body_that_is_cut_off_is_refused_even_where_it_could_be_read(web: Web) -> None:
    cut = reply(200, BODY, {"Content-Length": str(len(BODY) + 10)})
    assert "ends early" in said(await source(web.on(PATH, cut)).fetch())


async def test_a_compressed_body_is_refused(web: Web) -> None:
    assert "encoded as gzip" in said(await source(web.on(PATH, reply(200, BODY, {"Content-Encoding": "gzip"}))).fetch())


async def test_what_is_no_http_at_all_is_a_failure(authority: trustme.CA) -> None:
    with socket.create_server(("127.0.0.1", 0)) as strange:

        def greet() -> None:
            connected, _ = strange.accept()
            with connected:
                connected.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        assert "cannot be asked" in said(await source(f"http://localhost:{strange.getsockname()[1]}/").fetch())
        thread.join()


async def test_a_port_where_nobody_listens_is_a_failure(authority: trustme.CA) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "cannot be asked" in said(await source(f"http://127.0.0.1:{port}/").fetch())


async def test_a_registry_whose_attestation_does_not_hold_is_refused(web: Web) -> None:
    forged = BODY.replace(b"10.0.0.1:7001", b"10.6.6.6:7001")
    assert "signature does not fit" in said(await source(web.on(PATH, reply(200, forged))).fetch())


async def test_a_query_may_be_secret_and_is_shown_nowhere(web: Web) -> None:
    registry = source(web.on(f"{PATH}?token=hush", reply(200, b"{")))
    assert "hush" not in registry.name + said(await registry.fetch())
    web.on(f"{PATH}?token=hush", reply(404))
    assert "hush" not in said(await registry.fetch())


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "https://:1/",
        "https://h:0/",
        "https://h:x/",
        "https://u:p@h/",
        "https://h/a b",
        "https://ü/",
        "http://[::1/",
    ],
)
def test_what_is_no_good_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InputError) as caught:
        source(url)
    assert "u:p" not in str(caught.value)
