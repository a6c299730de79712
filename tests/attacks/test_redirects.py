# SPDX-License-Identifier: MIT
"""What a web server may have a node do: follow it within the network that it is in, and nothing further in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from tests.integration.web import Web, authority, certified, reply, serving
from tests.unit.peers.people import peer
from tests.unit.sources.files import CHECK, in_an_hour, registry_of

from blixard.errors import InputError
from blixard.model.addresses import Network, may_lead, network_of
from blixard.sources import http_client
from blixard.sources.base import Answer, Failed, Found, SourceContext
from blixard.sources.http_client import Deadline, Limits, Target
from blixard.sources.http_document import HttpSource
from blixard.sources.remote_files import RemoteSource

__all__ = ["authority"]

TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
BODY = registry_of(peer(1, seq=5))
GLOBAL, PRIVATE, LINK_LOCAL, LOOPBACK = "203.0.113.1", "10.0.0.1", "169.254.169.254", "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("127.0.0.1", "LOOPBACK"),
        ("127.255.0.1", "LOOPBACK"),
        ("0.0.0.0", "LOOPBACK"),
        ("::", "LOOPBACK"),
        ("::1", "LOOPBACK"),
        ("::ffff:127.0.0.1", "LOOPBACK"),
        ("::127.0.0.1", "LOOPBACK"),
        ("64:ff9b::127.0.0.1", "LOOPBACK"),
        ("64:ff9b:1::7f00:1", "LOOPBACK"),
        ("2002:7f00:1::1", "LOOPBACK"),
        ("169.254.169.254", "LINK_LOCAL"),
        ("fe80::1%eth0", "LINK_LOCAL"),
        ("::ffff:169.254.169.254", "LINK_LOCAL"),
        ("64:ff9b::a9fe:a9fe", "LINK_LOCAL"),
        ("2002:a9fe:a9fe::", "LINK_LOCAL"),
        ("fd00:ec2::254", "LINK_LOCAL"),
        ("168.63.129.16", "LINK_LOCAL"),
        ("100.100.100.200", "LINK_LOCAL"),
        ("10.1.2.3", "PRIVATE"),
        ("172.16.0.1", "PRIVATE"),
        ("192.168.0.1", "PRIVATE"),
        ("100.64.0.1", "PRIVATE"),
        ("224.0.0.1", "PRIVATE"),
        ("255.255.255.255", "PRIVATE"),
        ("fd12::1", "PRIVATE"),
        ("fec0::1", "PRIVATE"),
        ("64:ff9b::10.0.0.1", "PRIVATE"),
        ("64:ff9b:1::808:808", "PRIVATE"),
        ("::ffff:192.168.1.1", "PRIVATE"),
        ("8.8.8.8", "GLOBAL"),
        ("2606:4700::1111", "GLOBAL"),
        ("::ffff:8.8.8.8", "GLOBAL"),
        ("64:ff9b::8.8.8.8", "GLOBAL"),
    ],
)
def test_an_address_belongs_to_the_narrowest_network_that_it_may_lead_to(address: str, network: str) -> None:
    assert network_of(address).name == network


def test_who_may_send_a_node_where() -> None:
    allowed = {(start.name, to.name) for start in Network for to in Network if may_lead(start, to)}
    assert allowed == {
        ("LOOPBACK", "LOOPBACK"),
        ("LOOPBACK", "PRIVATE"),
        ("LOOPBACK", "GLOBAL"),
        ("LINK_LOCAL", "LINK_LOCAL"),
        ("LINK_LOCAL", "PRIVATE"),
        ("LINK_LOCAL", "GLOBAL"),
        ("PRIVATE", "PRIVATE"),
        ("PRIVATE", "GLOBAL"),
        ("GLOBAL", "GLOBAL"),
    }


class Internet:
    """Names at addresses of a test's choice. All answer from this machine, so that no packet leaves it.

    The addresses of the resolver's answers are what the code judges and connects to; only the last step, the
    connection itself, leads to loopback.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[str]] = {}
        self.connected: list[str] = []
        internet = self
        real = socket.socket

        class Socket(real):  # type: ignore[misc, valid-type]
            def connect(self, address: Any) -> None:
                internet.connected.append(address[0])
                self.meant = address
                super().connect(("127.0.0.1", address[1]))

            def getpeername(self) -> Any:
                return getattr(self, "meant", None) or super().getpeername()

        def resolve(host: str, port: int, **_: Any) -> list[Any]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            addresses = internet.names.get(host, [host])
            if len(addresses) > 1 and addresses[0] == "then":
                internet.names[host] = addresses[2:]
                addresses = [addresses[1]]
            return [(*kind, (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket, "socket", Socket)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    found = Internet(monkeypatch)
    # An address that is reserved for documentation stands for one of the internet.
    monkeypatch.setattr(
        http_client, "network_of", lambda address: Network.GLOBAL if address == GLOBAL else network_of(address)
    )
    return found


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


def at(web: Web, host: str, path: str) -> str:
    return f"http://{host}:{web.url.rpartition(':')[2]}{path}"


async def fetch(url: str) -> Answer:
    return await HttpSource(url, TOOLS).fetch()


@pytest.mark.parametrize("target", [PRIVATE, LINK_LOCAL, LOOPBACK])
@pytest.mark.parametrize("by_name", [False, True])
async def test_a_server_of_the_internet_leads_to_nothing_inside(
    internet: Internet, web: Web, target: str, by_name: bool
) -> None:
    internet.names = {"public.example": [GLOBAL], "inside.example": [target]}
    host = "inside.example" if by_name else target
    web.on("/a", reply(302, headers={"Location": at(web, host, "/b")}))
    web.on("/b", reply(200, BODY))
    answer = await fetch(at(web, "public.example", "/a"))
    assert isinstance(answer, Failed)
    assert "was redirected to" in answer.error
    assert "name this URL itself if it is meant" in answer.error
    assert internet.connected == [GLOBAL]
    assert [path for path, _ in web.requests] == ["/a"]


async def test_what_a_private_server_may_lead_to(internet: Internet, web: Web) -> None:
    web.on("/b", reply(200, BODY))
    for target, is_followed in ((GLOBAL, True), ("10.0.0.9", True), (LINK_LOCAL, False), (LOOPBACK, False)):
        web.on("/a", reply(307, headers={"Location": at(web, target, "/b")}))
        assert isinstance(await fetch(at(web, PRIVATE, "/a")), Found if is_followed else Failed), target


async def test_a_detour_over_the_internet_does_not_lead_back_inside(internet: Internet, web: Web) -> None:
    web.on("/a", reply(302, headers={"Location": at(web, GLOBAL, "/b")}))
    web.on("/b", reply(302, headers={"Location": at(web, PRIVATE, "/c")}))
    web.on("/c", reply(200, BODY))
    assert isinstance(await fetch(at(web, PRIVATE, "/a")), Failed)
    assert [path for path, _ in web.requests] == ["/a", "/b"]


async def test_a_name_that_has_another_address_a_moment_later_leads_nowhere(internet: Internet, web: Web) -> None:
    internet.names = {"moving.example": ["then", GLOBAL, LOOPBACK]}
    web.on("/a", reply(302, headers={"Location": "/b"}))
    web.on("/b", reply(200, BODY))
    assert isinstance(await fetch(at(web, "moving.example", "/a")), Failed)
    assert internet.connected == [GLOBAL]


async def test_of_several_addresses_only_those_count_that_are_allowed(internet: Internet, web: Web) -> None:
    internet.names = {"public.example": [GLOBAL], "both.example": [LOOPBACK, LINK_LOCAL, GLOBAL]}
    web.on("/a", reply(302, headers={"Location": at(web, "both.example", "/b")}))
    web.on("/b", reply(200, BODY))
    assert isinstance(await fetch(at(web, "public.example", "/a")), Found)
    assert internet.connected == [GLOBAL, GLOBAL]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "0", "localhost", "127.1"])
def test_other_spellings_of_loopback_lead_nowhere(host: str) -> None:
    with pytest.raises(InputError, match=r"is a loopback address|is not a URL"):
        http_client._dial(Target.parse(f"http://{host}:9/"), Deadline(Limits()), Network.GLOBAL)


async def test_a_password_is_not_sent_over_plain_http_but_to_this_machine(internet: Internet, web: Web) -> None:
    web.on("/a", reply(200, BODY))
    internet.names = {"public.example": [GLOBAL], "home.example": [LOOPBACK]}
    for host in (GLOBAL, PRIVATE, LINK_LOCAL, "public.example"):
        answer = await fetch(at(web, f"user:hush@{host}", "/a"))
        assert isinstance(answer, Failed)
        assert answer.error.endswith("use https")
        assert "hush" not in answer.error
    assert internet.connected == []
    assert isinstance(await fetch(at(web, "user:hush@home.example", "/a")), Found)
    assert web.requests[0][1]["Authorization"].startswith("Basic ")


async def test_a_password_goes_out_over_https(authority: trustme.CA) -> None:
    with serving(certified(authority, "localhost")) as secure:
        secure.on("/a", reply(200, BODY))
        assert isinstance(await fetch(f"https://user:hush@{secure.url.partition('://')[2]}/a"), Found)


@pytest.mark.parametrize("scheme", ["ftp", "webdav", "webhdfs"])
async def test_other_protocols_without_encryption_take_no_password_either(scheme: str) -> None:
    answer = await RemoteSource(f"{scheme}://user:hush@files.example/peers.json", TOOLS).fetch()
    assert isinstance(answer, Failed)
    assert "password" in answer.error
    assert "hush" not in answer.error
