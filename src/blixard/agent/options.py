# SPDX-License-Identifier: MIT
"""The table of a node's settings: each one's place in the file, flag, variable, and how its value is read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from blixard.agent.advertise import parse_network
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.addresses import SocketAddress, parse_relay_url
from blixard.model.ids import EndpointId
from blixard.model.words import quoted, too_large, too_many, wrong_kind
from blixard.raft.voters import check_voters

_MAX_ITEMS = 1024
"""Most items of a list in the configuration; who has more names a directory of registries or a peers file."""

_BIND = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


@dataclass(frozen=True)
class Bind:
    """The address and UDP port that the endpoint binds; port 0 takes any free one."""

    ip: IPv4Address | IPv6Address
    port: int

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Parse `127.0.0.1:7001`, `0.0.0.0:7001` or `[::]:7001`; no host names, no zones."""
        match = _BIND.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise InputError(f"{quoted(text)} is no address to bind")
        try:
            ip = IPv6Address(match["v6"]) if match["v6"] else IPv4Address(match["v4"])
        except ValueError:
            raise InputError(f"{quoted(text)} has no IP address before its port") from None
        return cls(ip, int(match["port"]))

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


# How a JSON value becomes a field. Each takes (value, place); what to write instead is said by the option.
_Convert = Callable[[Any, str], Any]


def _text(value: Any, place: str) -> str:
    text = fields.text(value, place, most=4096)
    if "\0" in text:
        raise InputError("has a NUL character in it", place=place)
    return text


def _seconds(value: Any, place: str) -> float:
    if type(value) not in (int, float):
        raise InputError(wrong_kind("a number", value), place=place)
    if value < 0.1:
        raise InputError(f"must be at least 0.1, is {value}", place=place)
    if value > 86400:
        raise InputError(too_large(86400, value), place=place)
    return float(value)


def _flag(value: Any, place: str) -> bool:
    if type(value) is not bool:
        raise InputError(wrong_kind("true or false", value), place=place)
    return value


def _one_of(*choices: str) -> _Convert:
    def convert(value: Any, place: str) -> str:
        if value not in choices:
            raise InputError(f"must be one of {', '.join(choices)}", place=place)
        return str(value)

    return convert


def _list_of(item: _Convert) -> _Convert:
    def convert(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise InputError(wrong_kind("a list", value), place=place)
        if len(value) > _MAX_ITEMS:
            raise InputError(too_many(_MAX_ITEMS, len(value)), place=place)
        return tuple(item(each, f"{place}/{index}") for index, each in enumerate(value))

    return convert


def _placed(parse: Callable[[str], Any]) -> _Convert:
    """Turn a parser of texts into one that says where the text stood."""

    def convert(value: Any, place: str) -> Any:
        return fields.at(place, lambda text: parse(_text(text, "")), value)

    return convert


def from_words(text: str) -> list[str]:
    """Return the words of a text that separates them by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _from_bool(text: str) -> object:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)


def _from_number(text: str) -> object:
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)


def _as_is(text: str) -> object:
    return text


@dataclass(frozen=True)
class Option:
    """One setting: where it stands in the file, its flag, its variable and how its value is read."""

    key: str
    convert: _Convert
    help: str
    form: str
    """What to write, for whoever wrote something else."""
    from_text: Callable[[str], object] = _as_is
    flag: str = ""
    env: str = ""
    nullable: bool = False

    @property
    def flag_name(self) -> str:
        """The flag of the command line, from the key unless it is another."""
        return self.flag or "--" + self.key.replace(".", "-").replace("_", "-")

    @property
    def env_name(self) -> str:
        """The environment variable, from the key unless it is another."""
        return self.env or "BLIXARD_" + self.key.replace(".", "_").upper()


def _raft_voters(value: Any, place: str) -> tuple[int, ...]:
    numbers = _list_of(fields.node_id)(value, place)
    return check_voters(numbers, place) if numbers else ()


def _from_numbers(text: str) -> list[object]:
    return [_from_number(word) for word in from_words(text)]


_CIDRS = "a list of CIDRs, such as 10.0.0.0/8"
_LOCATIONS = "a list of paths, directories, tickets, URLs or HOST:PORT"
_DNS = "a list of NAME or dns://SERVER[:PORT]/NAME, such as fleet.example.org"


def _cloud_location(text: str) -> str:
    from blixard.sources.cloud import CloudLocation  # for those alone who ask a cloud

    return CloudLocation.parse(text).text


_locations = _list_of(_text)
_cloud_locations = _list_of(_placed(_cloud_location))
_networks = _list_of(parse_network)

OPTIONS = (
    Option("node_id", fields.node_id, "this node's number in the cluster", "an integer from 1", _from_number, "--id"),
    Option(
        "bind",
        _placed(Bind.parse),
        "where the Iroh endpoint listens (UDP); 0.0.0.0 or [::] is everywhere, in both families",
        "IP:PORT, such as 0.0.0.0:7001",
    ),
    Option("cluster", fields.cluster, "name of the cluster; nodes of another one are refused", "a name"),
    Option("data_dir", _text, "where the node keeps its key and its files; data/nodeID by default", "a path"),
    Option(
        "relay_url",
        _placed(parse_relay_url),
        "relay to use and to advertise",
        "a URL such as https://relay.example.org",
        nullable=True,
    ),
    Option("advertise.include", _networks, "advertise only addresses in these", _CIDRS, from_words),
    Option("advertise.exclude", _networks, "never advertise addresses in these", _CIDRS, from_words),
    Option(
        "advertise.extra",
        _list_of(_placed(SocketAddress.parse)),
        "also advertise these, such as the public side of a NAT",
        "a list of IP:PORT, such as 192.0.2.1:7001",
        from_words,
    ),
    Option(
        "advertise.bridges",
        _flag,
        "also advertise container and VM bridges, and links to containers",
        "true or false",
        _from_bool,
    ),
    Option("join", _locations, "registries to join through", _LOCATIONS, from_words),
    Option("registries", _locations, "registries of peers", _LOCATIONS, from_words, env="BLIXARD_NODE_REGISTRIES"),
    Option(
        "etcd",
        _locations,
        "prefixes in etcd with entries or a peers file; several endpoints of one cluster are several URLs",
        "a list of etcd://HOST:PORT/PREFIX, or etcds:// for TLS",
        from_words,
    ),
    Option("etcd_user", _text, "user at etcd", "a name", nullable=True),
    Option("etcd_password_file", _text, "file with that user's password, 0600", "a path", nullable=True),
    Option("etcd_ca_file", _text, "authorities that etcd's certificate must be of", "a path", nullable=True),
    Option("etcd_cert_file", _text, "this node's certificate at etcd", "a path", nullable=True),
    Option("etcd_key_file", _text, "its key, 0600", "a path", nullable=True),
    Option("etcd_live", _flag, "say there that this node runs, by a key with a lease", "true or false", _from_bool),
    Option("dns", _locations, "domains whose DNS records list peers", _DNS, from_words),
    Option(
        "cloud",
        _cloud_locations,
        "what a cloud is asked for peers",
        "a list of aws:, gcp: or azure: for the seeds in this machine's metadata, or aws:tag=KEY=VALUE for instances",
        from_words,
    ),
    Option("mdns", _flag, "announce this node on its links, and find those that are", "true or false", _from_bool),
    Option("peers_file", _text, "peers file; DATA_DIR/discovery-peers.json by default", "a path", nullable=True),
    Option(
        "refresh_interval_s",
        _seconds,
        "time between two looks at the sources",
        "seconds, such as 60",
        _from_number,
        "--refresh-interval",
    ),
    Option("auto_connect", _flag, "connect to the peers that are found", "true or false", _from_bool),
    Option(
        "admission",
        _one_of("open", "known"),
        "who may speak: known peers, or anyone of the cluster",
        "open or known",
        nullable=True,
    ),
    Option(
        "trusted_signers",
        _list_of(_placed(EndpointId.parse)),
        "fleet keys that may sign peers",
        "a list of ids, as `blixard key show` prints them",
        from_words,
    ),
    Option("raft", _flag, "vote in a Raft cluster of the fleet's registry", "true or false", _from_bool),
    Option(
        "raft_voters",
        _raft_voters,
        "node ids of the expected voters, the same on each",
        "a list of node ids, such as 1,2,3",
        _from_numbers,
    ),
    Option("gossip", _flag, "exchange news with connected peers", "true or false", _from_bool),
    Option(
        "metrics",
        _placed(Bind.parse),
        "where Prometheus metrics are served; off by default",
        "IP:PORT, such as 127.0.0.1:9101",
        nullable=True,
    ),
    Option("page", _flag, "also serve a page of this node there, on loopback alone", "true or false", _from_bool),
    Option("log_level", _one_of("debug", "info", "warning", "error"), "how much is logged", "info, or another level"),
    Option("log_format", _one_of("logfmt", "json"), "how it is written", "logfmt or json"),
)

# A setting's place in the file, such as ("advertise", "include").
PATHS = {tuple(option.key.split(".")): option.key for option in OPTIONS}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` a flag for every option; lists may be given several times or comma-separated."""
    for option in OPTIONS:
        repeatable = option.from_text in (from_words, _from_numbers)
        parser.add_argument(
            option.flag_name,
            dest=option.key,
            action="append" if repeatable else "store",
            metavar=option.key.rpartition(".")[2].upper(),
            help=f"{option.help}: {option.form} [{option.env_name}]",
        )
