# SPDX-License-Identifier: MIT
"""Socket addresses, host:port pairs and relay URLs, checked strictly before iroh sees them.

Iroh takes any string as an address and fails the whole dial later because of one bad one, so each is
checked here first.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import re
import urllib.parse
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from blixard.errors import InputError
from blixard.model.limits import MAX_HOST, MAX_URL
from blixard.model.words import EMPTY, quoted, too_long, wrong_kind

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_ZONE = "has an IPv6 zone, which means nothing on another host"
_NO_HOST = "is not a URL: its host or port cannot be read"
_FORM = 'write "192.0.2.1:7001" or "[2001:db8::1]:7001"'
_ANY_KEY = bytes.fromhex("58" + "66" * 31)  # the curve's base point: some good key, whose does not matter
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")

_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_V4_AT_THE_END = (ipaddress.IPv6Network("64:ff9b::/96"), _LOCAL_NAT64, ipaddress.IPv6Network("::/96"))
"""NAT64 (RFC 6052, RFC 8215), and the form that is out of use: they stand for the IPv4 address at their end."""

_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
"""Where clouds answer machines about themselves, keys included, outside 169.254.0.0/16."""


def _text(value: object, most: int) -> str:
    if not isinstance(value, str):
        raise InputError(wrong_kind("a string", value))
    if not value:
        raise InputError(EMPTY)
    if len(value) > most:
        raise InputError(too_long(most, len(value)))
    return value


def _split(text: str) -> tuple[str, int, bool]:
    """Split `host:port` or `[v6]:port` into host, port and whether there were brackets."""
    host, colon, digits = text.rpartition(":")
    if not colon or not host:
        raise InputError(f"{quoted(text)} is not an address with a port", mend=_FORM)
    bracketed = host.startswith("[") and host.endswith("]")
    if not bracketed and ":" in host:
        raise InputError(f"{quoted(text)} has an IPv6 address without brackets", mend=_FORM)
    if digits.strip("0") == "" and digits:
        raise InputError(f"{quoted(text)} has port 0; it must be 1 to 65535")
    if not _PORT.fullmatch(digits) or int(digits) > 0xFFFF:
        raise InputError(f"{quoted(text)} has no usable port; it must be 1 to 65535")
    return (host[1:-1] if bracketed else host), int(digits), bracketed


def _v6(host: str, text: str) -> ipaddress.IPv6Address:
    if "%" in host:
        raise InputError(f"{quoted(text)} {_ZONE}", mend="leave out what follows the %")
    try:
        return ipaddress.IPv6Address(host)
    except ValueError:
        raise InputError(f"{quoted(text)} has no IPv6 address in its brackets", mend=_FORM) from None


def _v4(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _ip_text(ip: IPAddress) -> str:
    # Written out because Python changed how it prints mapped addresses in 3.13, and this text is signed.
    if isinstance(ip, ipaddress.IPv6Address):
        return f"[::ffff:{ip.ipv4_mapped}]" if ip.ipv4_mapped else f"[{ip.compressed}]"
    return str(ip)


@functools.total_ordering
@dataclass(frozen=True)
class SocketAddress:
    """An address that can be dialled: a unicast IP address and a port from 1 to 65535.

    Ordered by family (IPv4 first), address, port.

    Raises:
        InputError: the port is out of range, or the address is unspecified, multicast or broadcast, or has
            a zone.
    """

    ip: IPAddress
    port: int

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 0xFFFF:
            raise InputError(f"port {self.port} is not from 1 to 65535")
        fault = _undialable(self.ip)
        if fault is not None:
            raise InputError(f"{quoted(str(self))} {fault}")

    @classmethod
    def parse(cls, text: object) -> SocketAddress:
        """Read `192.0.2.1:7001` or `[2001:db8::1]:7001`; no host names, no zones, no leading zeros.

        Raises:
            InputError: `text` is anything else, or an address that the class refuses.
        """
        return _parse_socket_address(_text(text, MAX_HOST))

    def __str__(self) -> str:
        return f"{_ip_text(self.ip)}:{self.port}"

    def __lt__(self, other: SocketAddress) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, int, int]:
        return self.ip.version, int(self.ip), self.port


@functools.lru_cache(maxsize=65536)
def _parse_socket_address(text: str) -> SocketAddress:
    host, port, bracketed = _split(text)
    if bracketed:
        return SocketAddress(_v6(host, text), port)
    ip = _v4(host)
    if ip is None:
        raise InputError(_not_an_ip(host, text), mend=_FORM)
    return SocketAddress(ip, port)


def _undialable(ip: IPAddress) -> str | None:
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return _ZONE
        if ip.ipv4_mapped is not None:
            return _undialable(ip.ipv4_mapped)
    if ip.is_unspecified:
        return "is the unspecified address, which nobody can dial"
    if ip.is_multicast:
        return "is a multicast address"
    return "is the broadcast address" if ip == _BROADCAST else None


def _not_an_ip(host: str, text: str) -> str:
    if _is_name(host):
        return f"{quoted(text)} has a host name; here it must be an IP address"
    return f"{quoted(text)} has no IP address before its port"


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= MAX_HOST and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


@dataclass(frozen=True, order=True)
class HostPort:
    """A host and a port: where a node listens, or a name to look up. `host` is without brackets.

    Unlike a SocketAddress it may be the unspecified address, since a node may be bound to it.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: object) -> HostPort:
        """Read `host:port`, the host being a DNS name, an IPv4 address or an IPv6 address in brackets.

        Raises:
            InputError: no such form, a port outside 1 to 65535, or a zone.
        """
        whole = _text(text, MAX_HOST + len(":65535"))
        host, port, bracketed = _split(whole)
        if bracketed:
            return cls(_ip_text(_v6(host, whole))[1:-1], port)
        if _v4(host) is None and not _is_name(host):
            raise InputError(f"{quoted(whole)} has no IP address or host name before its port")
        return cls(host, port)

    @property
    def ip(self) -> IPAddress | None:
        """The host as an IP address, None when it is a name."""
        return ipaddress.IPv6Address(self.host) if ":" in self.host else _v4(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_relay_url(text: object) -> str:
    """Return `text` as it is when it is an http or https URL of a relay: a host, perhaps a port and a path.

    Raises:
        InputError: no such URL, or one with a user name or password in it.
    """
    url = _text(text, MAX_URL)
    if not url.isascii() or any(c <= " " or c == "\x7f" or c in '<>"\\^`{|}' for c in url):
        raise InputError(f"{quoted(url)} is not a URL: it has characters that a URL cannot have")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError(f"{quoted(url)} {_NO_HOST}") from None
    if parts.scheme not in ("http", "https") or "://" not in url:
        raise InputError(f"{quoted(url)} is not a relay URL", mend='write "https://relay.example.org"')
    if "@" in parts.netloc:
        raise InputError("has a user name or password in the URL", mend="leave them out; this file is shared")
    if not _good_host(parts.netloc, parts.hostname or "") or port == 0 or not _iroh_reads(url):
        raise InputError(f"{quoted(url)} {_NO_HOST}")
    return url


@functools.lru_cache(maxsize=4096)
def _iroh_reads(url: str) -> bool:
    """Ask iroh, which makes an address of any text and fails the dial later: bad punycode, "relay.0x1"."""
    import iroh

    try:
        iroh.EndpointTicket.from_addr(iroh.EndpointAddr(iroh.EndpointId.from_bytes(_ANY_KEY), url, []))
    except iroh.IrohError:
        return False
    return True


def _good_host(netloc: str, host: str) -> bool:
    if not netloc.startswith("["):
        return _v4(host) is not None or _is_name(host)
    try:
        return ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False


class Network(enum.IntEnum):
    """The narrowest first."""

    LOOPBACK = 0
    LINK_LOCAL = 1
    """Also where clouds answer machines about themselves."""
    PRIVATE = 2
    """All that is neither of the others: private, shared, reserved."""
    GLOBAL = 3


def network_of(address: str) -> Network:
    """Return the network of an IP address, of IPv6 also with a zone; one that carries an IPv4 address is in its."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return min(map(_of, (ip, *_carried(ip))))


def may_lead(start: Network, to: Network) -> bool:
    """Tell whether a server in `start` may send a client on `to` there: never into a narrower network than its own.

    To link-local addresses only from one: nothing but a cloud's metadata is there to be asked.
    """
    return to == start or (to > start and to is not Network.LINK_LOCAL)


def _of(ip: IPv4Address | IPv6Address) -> Network:
    if ip.is_loopback or ip.is_unspecified:  # 0.0.0.0 and :: connect to this machine
        return Network.LOOPBACK
    if ip.is_link_local or ip in _METADATA:
        return Network.LINK_LOCAL
    is_global = ip.is_global and not ip.is_multicast
    if ip.version == 6:  # which older versions of Python take for global
        is_global = is_global and not ip.is_site_local and ip not in _LOCAL_NAT64
    return Network.GLOBAL if is_global else Network.PRIVATE


def _carried(ip: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address may be translated to."""
    if ip.version == 4:
        return []
    found = [ip.sixtofour, *(ip.teredo or ())]
    if int(ip) > 1 and any(ip in network for network in _V4_AT_THE_END):
        found.append(IPv4Address(int(ip) & 0xFFFF_FFFF))
    return [each for each in found if each is not None]
