# SPDX-License-Identifier: MIT
"""Questions to DNS servers: the system's or a named one, and the answers told apart from what is no answer."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from blixard.errors import InputError, one_line
from blixard.model.words import quoted

QUERY_TIMEOUT = 4.0
"""Seconds for one question, with all its servers and tries; a look asks three at the same time, then those below."""

TRY_TIMEOUT = 1.5
"""Seconds that one server is given: datagrams are lost."""

AT_ONCE = 16
"""Questions at the same time."""

RESOLV_CONF = "/etc/resolv.conf"

_UDP_PAYLOAD = 1232
"""Bytes of a datagram that arrives everywhere unfragmented; what is longer comes over TCP."""

_DNS_PORT = 53
_URI = re.compile(r"dns:(?://(?P<server>\[[^\]/?]*\]|[^/?:\[\]]*)(?::(?P<port>[0-9]{1,5}))?/)?(?P<name>[^/?]+)", re.I)
_FORM = "write dns:NAME, or dns://SERVER[:PORT]/NAME with the IP address of a DNS server"


@dataclass(frozen=True)
class DnsLocation:
    """A name, and which server is asked about it; None for those of the system.

    Attributes:
        name: the domain. With a server of its own, or with a dot in it, it is whole. Else the system's search domains
            complete it.
    """

    name: str
    server: str | None = None
    port: int = _DNS_PORT

    @classmethod
    def parse(cls, text: str) -> DnsLocation:
        """Read `NAME`, `dns:NAME` or `dns://SERVER[:PORT]/NAME` (RFC 4501).

        Raises:
            InputError: it is none of them.
        """
        match = _URI.fullmatch(text if is_dns_location(text) else f"dns:{text}")
        if match is None:
            raise InputError(f"{quoted(text)} is not a DNS name", mend=_FORM)
        name = urllib.parse.unquote(match["name"])
        _name(name)
        server = (match["server"] or "").strip("[]")
        port = int(match["port"] or _DNS_PORT)
        if not server and match["server"] is not None and match["port"]:
            raise InputError(f"{quoted(text)} has a port and no server", mend=_FORM)
        if not 1 <= port <= 0xFFFF:
            raise InputError(f"{quoted(text)} has no usable port", mend=_FORM)
        if server:
            try:
                ipaddress.ip_address(server)
            except ValueError:
                raise InputError(f"{quoted(server)} is not the IP address of a DNS server", mend=_FORM) from None
        return cls(name, server or None, port)

    def __str__(self) -> str:
        if self.server is None:
            return f"dns:{self.name}"
        host = f"[{self.server}]" if ":" in self.server else self.server
        port = "" if self.port == _DNS_PORT else f":{self.port}"
        return f"dns://{host}{port}/{self.name}"


def is_dns_location(text: str) -> bool:
    """Tell whether a location is one of DNS."""
    return text[:4].lower() == "dns:"


def _name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise InputError(f"{quoted(text)} is not a DNS name: {error}") from None


Hosts = tuple[tuple[str, ...], float]
"""IP addresses of one name, and the seconds for which they may be used."""


@dataclass(frozen=True)
class Records:
    """The records of one name and type, by type; empty where there are none.

    Attributes:
        texts: of TXT, the strings of each joined.
        services: of SRV, target (whole, lower case) and port.
        names: of PTR, whole and in lower case.
        addresses: of A and AAAA.
        ttl: seconds for which they may be used.
        hosts: the addresses of other names that came along (the additional section).
        name_exists: whether there is such a name at all.
    """

    texts: tuple[str, ...] = ()
    services: tuple[tuple[str, int], ...] = ()
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ttl: float = 0.0
    hosts: Mapping[str, Hosts] = field(default_factory=dict)
    name_exists: bool = True

    def __bool__(self) -> bool:
        return bool(self.texts or self.services or self.names or self.addresses)


class DnsClient:
    """Asks the servers of one location."""

    def __init__(self, location: DnsLocation) -> None:
        """Take over the system's settings where the location names no server.

        Raises:
            InputError: the system has none.
        """
        try:
            self._resolver = dns.asyncresolver.Resolver(RESOLV_CONF, configure=location.server is None)
        except dns.resolver.NoResolverConfiguration:
            mend = f"see to {RESOLV_CONF}, or name a server with dns://SERVER/NAME"
            raise InputError("this system names no DNS server", mend=mend) from None
        if location.server is not None:
            self._resolver.nameservers = [location.server]
            self._resolver.port = location.port
        self._resolver.timeout = TRY_TIMEOUT
        self._resolver.lifetime = QUERY_TIMEOUT
        self._resolver.use_edns(0, 0, _UDP_PAYLOAD)
        self._location = location
        self._slots = asyncio.Semaphore(AT_ONCE)

    def domains(self) -> list[str]:
        """Return the whole names that the location may mean, in the order in which they are asked for."""
        name = self._location.name
        if self._location.server is not None or "." in name:
            return [name.rstrip(".") + "."]
        search = [each.to_text() for each in self._resolver.search] or [self._resolver.domain.to_text()]
        return [f"{name}.{domain.lstrip('.')}" for domain in search]

    async def ask(self, name: str, kind: str) -> Records:
        """Return the records of a name, given whole.

        Raises:
            InputError: there was no answer, a server said that it has a fault, or an answer cannot be used.
        """
        async with self._slots:
            try:
                answer = await self._resolver.resolve(_name(name), kind, raise_on_no_answer=False, search=False)
            except dns.resolver.NXDOMAIN:
                return Records(name_exists=False)
            except dns.resolver.LifetimeTimeout:
                reason = f"{kind}: no DNS server answered in {QUERY_TIMEOUT:g} s"
                mend = "does the server run, and does a firewall let UDP and TCP through?"
                raise InputError(reason, file=name, mend=mend) from None
            except dns.resolver.NoNameservers as error:
                raise InputError(f"{kind}: {_why(error)}", file=name) from None
            except (dns.exception.DNSException, OSError, ValueError) as error:
                raise InputError(f"{kind}: {_words(error)}", file=name) from None
        if answer.response.flags & dns.flags.TC:
            raise InputError(f"{kind}: the answer is truncated over TCP too", file=name, mend="use more, smaller names")
        return records_of(answer)


def records_of(answer: dns.resolver.Answer) -> Records:
    """Return what an answer says, of one of the types that `Records` has."""
    if answer.rrset is None:
        return Records()
    ttl, kind = float(answer.chaining_result.minimum_ttl), answer.rrset.rdtype
    each: Iterable[Any] = answer.rrset
    if kind == dns.rdatatype.TXT:
        return Records(texts=tuple(b"".join(rdata.strings).decode("utf-8", "replace") for rdata in each), ttl=ttl)
    if kind == dns.rdatatype.SRV:
        services = tuple((_text(rdata.target), rdata.port) for rdata in each)
        return Records(services=services, ttl=ttl, hosts=_hosts(answer))
    if kind == dns.rdatatype.PTR:
        return Records(names=tuple(_text(rdata.target) for rdata in each), ttl=ttl)
    return Records(addresses=tuple(rdata.address for rdata in each), ttl=ttl)


def _hosts(answer: dns.resolver.Answer) -> dict[str, Hosts]:
    found: dict[str, Hosts] = {}
    for rrset in answer.response.additional:
        if rrset.rdclass == dns.rdataclass.IN and rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            addresses, ttl = found.get(_text(rrset.name), ((), float("inf")))
            rdatas: Iterable[Any] = rrset
            found[_text(rrset.name)] = (*addresses, *(rdata.address for rdata in rdatas)), min(ttl, float(rrset.ttl))
    return found


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text()


def _why(error: dns.resolver.NoNameservers) -> str:
    """Return what the last server said or did."""
    errors = error.kwargs.get("errors") or []
    if not errors:
        return "no DNS server can be asked"
    server, _, _, fault, _ = errors[-1]
    return f"{server}: {_words(fault)}"


def _words(error: object) -> str:
    said = one_line(str(error)) if str(error) else ""
    name = type(error).__name__
    return said or name
