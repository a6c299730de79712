# SPDX-License-Identifier: MIT
"""Names and servers of DNS locations, and a node that has not the package for them."""

from __future__ import annotations

import sys

import pytest
from tests.unit.sources.files import CHECK, in_an_hour

from blixard.errors import InputError
from blixard.sources.base import Failed, SourceContext
from blixard.sources.dns_client import DnsClient, DnsLocation
from blixard.sources.factory import registry_at

TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)


@pytest.mark.parametrize(
    ("text", "name", "server", "port", "shown"),
    [
        ("fleet.example.org", "fleet.example.org", None, 53, "dns:fleet.example.org"),
        ("dns:fleet.example.org.", "fleet.example.org.", None, 53, "dns:fleet.example.org."),
        ("DNS:fleet", "fleet", None, 53, "dns:fleet"),
        ("dns:///fleet.example.org", "fleet.example.org", None, 53, "dns:fleet.example.org"),
        ("dns://192.0.2.53/fleet", "fleet", "192.0.2.53", 53, "dns://192.0.2.53/fleet"),
        ("dns://192.0.2.53:5353/a%2eb", "a.b", "192.0.2.53", 5353, "dns://192.0.2.53:5353/a.b"),
        ("dns://[2001:db8::53]:5353/fleet", "fleet", "2001:db8::53", 5353, "dns://[2001:db8::53]:5353/fleet"),
        ("_iroh.example.org", "_iroh.example.org", None, 53, "dns:_iroh.example.org"),
    ],
)
def test_a_location_names_a_domain_and_perhaps_a_server(
    text: str, name: str, server: str | None, port: int, shown: str
) -> None:
    location = DnsLocation.parse(text)
    assert (location.name, location.server, location.port, str(location)) == (name, server, port, shown)
    assert DnsLocation.parse(str(location)) == location


@pytest.mark.parametrize(
    "text",
    [
        *("", "dns:", "dns://", "dns:///", "dns://192.0.2.53", "dns://:53/fleet", "dns://ns.example.org/fleet"),
        *("dns://192.0.2.53:0/fleet", "dns://192.0.2.53:65536/fleet", "dns://192.0.2.53:x/fleet", "dns://[::1/fleet"),
        *(
            "dns:fleet?type=SRV",
            "a..b",
            "x" * 64,
            "x." * 130,
            "dns://2001:db8::53/fleet",
            "a/b",
            "dns://user@1.2.3.4/f",
        ),
    ],
)
def test_what_is_no_location_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError):
        DnsLocation.parse(text)


def test_only_a_name_without_a_dot_and_without_a_server_is_completed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = tmp_path_factory.mktemp("etc") / "resolv.conf"
    settings.write_text("search a.test b.test\nnameserver 192.0.2.53\n")
    monkeypatch.setattr("blixard.sources.dns_client.RESOLV_CONF", str(settings))

    def domains(text: str) -> list[str]:
        return DnsClient(DnsLocation.parse(text)).domains()

    assert domains("fleet") == ["fleet.a.test.", "fleet.b.test."]
    assert domains("fleet.test") == domains("fleet.test.") == ["fleet.test."]
    assert domains("dns://192.0.2.53/fleet") == ["fleet."]


async def test_a_location_that_cannot_be_used_is_a_failed_source_that_says_why() -> None:
    source = registry_at("dns://ns.example.org/fleet", TOOLS)
    assert (source.kind, source.name) == ("dns", "dns://ns.example.org/fleet")
    answer = await source.fetch()
    assert isinstance(answer, Failed)
    assert '"ns.example.org" is not the IP address of a DNS server' in answer.error


async def test_without_the_package_the_source_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "blixard.sources.dns", raising=False)
    monkeypatch.delitem(sys.modules, "blixard.sources.dns_client", raising=False)
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    answer = await registry_at("dns:fleet.example.org", TOOLS).fetch()
    assert isinstance(answer, Failed)
    assert "pip install 'blixard[dns]'" in answer.error
