# SPDX-License-Identifier: MIT
"""The parsers that are fuzzed, each with valid input to start from."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from tests.unit.documents.samples import CLUSTER, NOW, attested, entry, key, peer
from tests.unit.peers.people import endpoint_id
from tests.unit.sources.test_mdns_iroh import announcement

from blixard.agent.node_config import parse_config
from blixard.documents.json_bytes import loads, sha256_hex
from blixard.documents.json_times import format_time, parse_time, upstream_time
from blixard.documents.parts import MAX_PART, join, read_index, split, write_index
from blixard.documents.peers_file import PeersParser, build_peers, format_peers, parse_peers
from blixard.documents.registry_file import format_registry, parse_registry
from blixard.documents.schemas import load_schema
from blixard.errors import InputError
from blixard.model.addresses import HostPort, SocketAddress, parse_relay_url
from blixard.model.encodings import encode_base32
from blixard.model.entry import DiscoveredPeer
from blixard.model.ids import EndpointId
from blixard.model.tickets import Ticket, format_ticket, looks_like_ticket, parse_ticket
from blixard.publishing.dns_zone import read_file as read_zone_file
from blixard.publishing.store import parse_index
from blixard.raft import codec as raft_codec
from blixard.raft.formation import Standing
from blixard.raft.registry_machine import RegistryMachine
from blixard.raft.storage import Snapshot, format_snapshot, parse_snapshot
from blixard.sources.cloud import CloudLocation, Instance, Own, registry_of, seeds_of
from blixard.sources.cloud_aws import parse_ec2
from blixard.sources.cloud_azure import joined, parse_list
from blixard.sources.cloud_gcp import parse_compute
from blixard.sources.dns_client import DnsLocation, records_of
from blixard.sources.dns_records import base32, format_node, id_of, parse_iroh, parse_node, strings_of
from blixard.sources.etcd_client import EtcdPlace, parse_range, parse_watch
from blixard.sources.http_client import Deadline, Document, Limits, Validators, exchange
from blixard.sources.http_client import Target as HttpTarget
from blixard.sources.mdns_iroh import parse_packet
from blixard.transport.hello import Hello, Welcome, decode_hello, decode_welcome, encode
from blixard.trust.attestation import verify_attestation
from blixard.trust.manifest import members_of, renew_manifest, verify_manifest
from blixard.trust.peers_signature import sign_peers, verify_peers

_RAFT_STANDING = Standing(
    node_id=1,
    expected=frozenset({1, 2, 3}),
    incarnation="a",
    members=frozenset({1, 2, 3}),
    genesis="g",
    admitted={1: "a", 2: "b"},
    term=7,
)
_RAFT_ENTRIES = [(b"\1", 5, 2), (raft_codec.membership("add", 4), 6, 2), (b'\0{"op":"barrier"}', 7, 3)]
_RAFT_FRAMES = (
    raft_codec.hello(_RAFT_STANDING, CLUSTER),
    *(
        raft_codec.frame(message, "g")
        for message in (
            {"type": "request_vote", "term": 3, "last_log_index": 7, "last_log_term": 3},
            {
                "type": "append_entries",
                "term": 3,
                "commit_index": 5,
                "prevLogIdx": 4,
                "prevLogTerm": 2,
                "entries": _RAFT_ENTRIES,
            },
            {"type": "append_entries", "term": 3, "commit_index": 5, "serialized": (b"xyz", True, False)},
            {"type": "next_node_idx", "term": 3, "next_node_idx": 8, "reset": False, "success": True},
            {"type": "apply_command", "command": b"\0{}", "request_id": 4},
            {"type": "apply_command_response", "request_id": 4, "log_idx": 8, "log_term": 3},
            {"type": "timeout_now", "term": 3},
        )
    ),
)


def _raft_frame(data: bytes) -> None:
    found = raft_codec.parse(data, "a voter")
    if found.message is not None:
        assert raft_codec.parse(raft_codec.frame(found.message, found.genesis), "a voter") == found
    else:
        assert found.standing is not None
        assert raft_codec.parse(raft_codec.hello(found.standing, found.cluster), "a voter") == found


def _raft_command(data: bytes) -> None:
    body = raft_codec.command_body(data)
    one, other = RegistryMachine(CLUSTER), RegistryMachine(CLUSTER)
    assert one.apply(body) == other.apply(body)
    RegistryMachine.check(one.to_json())


def _raft_snapshot() -> bytes:
    return format_snapshot(
        Snapshot(_RAFT_ENTRIES[1], _RAFT_ENTRIES[2], frozenset({1, 2, 3, 4}), RegistryMachine(CLUSTER).to_json())
    )


@dataclass(frozen=True)
class Target:
    """A parser: what it is called, how it is run on bytes, and valid input.

    `run` raises InputError or TrustError for input that it refuses, AssertionError for a promise that it breaks,
    and nothing else.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _of_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def _id(text: str) -> None:
    one = EndpointId.parse(text)
    assert EndpointId.parse(one.base64) == EndpointId.parse(one.hex) == one


def _address(text: str) -> None:
    one = SocketAddress.parse(text)
    assert SocketAddress.parse(str(one)) == one


def _host_port(text: str) -> None:
    one = HostPort.parse(text)
    assert HostPort.parse(str(one)) == one


def _ticket(text: str) -> None:
    looks_like_ticket(text)
    one = parse_ticket(text)
    assert parse_ticket(format_ticket(one)).endpoint_id == one.endpoint_id


def _registry(data: bytes) -> None:
    one = parse_registry(data)
    assert parse_registry(format_registry(one)) == one
    if one.attestation is not None:
        verify_attestation(one, cluster=CLUSTER, now=NOW)


def _peers(data: bytes) -> None:
    again = _again(data)
    found = parse_peers(data)
    assert again == found
    assert parse_peers(format_peers(found)) == found


def _again(data: bytes) -> list[DiscoveredPeer] | None:
    """Parse it where another file was before; None when it is refused."""
    parser = PeersParser()
    parser.parse(PEERS)
    try:
        return parser.parse(data)
    except InputError:
        with pytest.raises(InputError):
            parse_peers(data)
        return None


def _time(data: bytes) -> None:
    moment = parse_time(loads(data))
    assert parse_time(format_time(moment)) == parse_time(upstream_time(moment)) == moment


def _signature(data: bytes) -> None:
    verify_peers(PEERS, data, signers=[key(100).public()], cluster=CLUSTER, min_seq=1)


def _manifest(data: bytes) -> None:
    one = verify_manifest(data, signers=[key(100).public()], cluster=CLUSTER)
    assert verify_manifest(
        renew_manifest(one.members, data, key(100), cluster=CLUSTER, now=NOW), signers=[], cluster=None
    )


def _dns_text(text: str) -> None:
    id_of(text)
    parse_iroh(text.splitlines())
    read_zone_file(text)
    one = parse_node(text)
    if one is not None and one.node_id is not None and one.endpoint_id is not None:
        content = one.node_id, one.endpoint_id.base64, one.addresses, one.relay_url
        peer = DiscoveredPeer(*content, "dns", NOW, one.attestation)
        assert parse_node("".join(strings_of(format_node(peer)))) == one


def _dns_answer(data: bytes) -> None:
    """Take `data` for what a DNS server answers; what dnspython refuses, its resolver counts as no answer."""
    try:
        message = dns.message.from_wire(data)
        assert isinstance(message, dns.message.QueryMessage)
        answer = dns.resolver.Answer(*_QUESTION, message)
    except Exception:
        raise InputError("is not an answer") from None
    records_of(answer)


def _mdns(data: bytes) -> None:
    if not parse_packet(data):
        raise InputError("says nothing of any endpoint")


def _http(data: bytes) -> None:
    """Take `data` for what a server sends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data[:_ROOM])
        theirs.shutdown(socket.SHUT_WR)
        answer = exchange(ours, URL, _MOST, Deadline(Limits()), Validators(URL.url, '"1"', None))
    assert not isinstance(answer, Document) or len(answer.body) <= _MOST


def _cloud_location(text: str) -> None:
    one = CloudLocation.parse(text)
    assert CloudLocation.parse(one.text) == one


def _instances(data: bytes, found: Callable[[bytes], tuple[list[Instance], object]]) -> None:
    """Take `data` for what a listing API answers, and read what it lists; one bad instance hides no other."""
    for each in found(data)[0]:
        with contextlib.suppress(InputError):
            parse_registry(registry_of(each, is_public=True))


def _azure(data: bytes) -> tuple[list[Instance], object]:
    values, link = parse_list(data)
    return joined(("blixard-cluster", "prod"), values, values, values), link


def _seeds(data: bytes) -> None:
    for each in seeds_of(Own({}, data.decode("utf-8", "replace"))) or ():
        _registry(registry_of(each))


_TAGS = {"blixard-cluster": "prod", "blixard-node-id": "1", "blixard-iroh-id": encode_base32(key(1).public().raw)}
_EC2 = b"""<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><instancesSet>
<item><instanceId>i-1</instanceId><privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>192.0.2.1</ipAddress><tagSet>
%b</tagSet><networkInterfaceSet><item><ipv6AddressesSet><item><ipv6Address>fd00::1</ipv6Address></item>
</ipv6AddressesSet><association><publicIp>192.0.2.1</publicIp></association></item></networkInterfaceSet></item>
</instancesSet></item></reservationSet><nextToken>x</nextToken></DescribeInstancesResponse>"""
_EC2_TAGS = "".join(f"<item><key>{name}</key><value>{value}</value></item>" for name, value in _TAGS.items())
_COMPUTE = {
    "items": {
        "zones/b": {"warning": {"code": "NO_RESULTS_ON_PAGE"}},
        "zones/a": {
            "instances": [
                {
                    "name": "a",
                    "status": "RUNNING",
                    "labels": _TAGS,
                    "metadata": {"items": [{"key": "blixard-port", "value": "7002"}]},
                    "networkInterfaces": [{"networkIP": "10.0.0.1", "accessConfigs": [{"natIP": "192.0.2.1"}]}],
                }
            ]
        },
    },
    "nextPageToken": "x",
}
_ARM = {
    "value": [
        {
            "id": "/subscriptions/s/resourceGroups/g/providers/x/1",
            "tags": _TAGS,
            "properties": {
                "virtualMachine": {"id": "/SUBSCRIPTIONS/s/resourceGroups/g/providers/x/1"},
                "ipConfigurations": [
                    {
                        "properties": {
                            "privateIPAddress": "10.0.0.1",
                            "publicIPAddress": {"id": "/subscriptions/s/resourceGroups/g/providers/x/1"},
                        }
                    }
                ],
                "ipAddress": "192.0.2.1",
            },
        }
    ],
    "nextLink": "https://management.azure.com/x",
}


def _etcd_place(text: str) -> None:
    one = EtcdPlace.parse(text)
    assert EtcdPlace.parse(str(one)) == one


def _etcd_range(data: bytes) -> None:
    answer = loads(data)
    if isinstance(answer, dict):
        parse_range(answer)


def _parts(data: bytes) -> None:
    digests, parts = split(data)
    assert join(digests, parts, len(data)) == data
    assert all(0 < len(part) <= MAX_PART for part in parts.values())
    named = read_index(data)
    assert named is None or read_index(write_index(named)) == named


def _dns_message(kind: str, *records: str) -> bytes:
    """An answer with records of a type, a bounded one of each other kind beside them."""
    question = dns.message.make_query(DOMAIN, kind, id=1)
    answer = dns.message.make_response(question)
    answer.answer.append(dns.rrset.from_text(DOMAIN, 60, "IN", kind, *records))
    answer.additional.append(dns.rrset.from_text(f"{base32(key(1).public())}.{DOMAIN}", 30, "IN", "A", "10.0.0.1"))
    return answer.to_wire()


DOMAIN = "fleet.example.org."
_QUESTION = dns.name.from_text(DOMAIN), dns.rdatatype.SRV, dns.rdataclass.IN
_ROOM = 64 * 1024  # what a socket's buffer holds while nobody reads
_MOST = 1024
URL = HttpTarget.parse("https://registry.example.org/nodes.json")
PEERS = format_peers(build_peers([attested(1), attested(2), entry(3)]))
FULL = Ticket(key(1).public(), "https://relay.example.org/", entry(1).socket_addresses)
OLDER = (
    b"\0"
    + key(1).public().raw
    + b"\1\x12https://relay.test"
    + b"\2\0\xc0\x00\x02\x01\xd9\x36\1"
    + bytes(15)
    + b"\1\x50"
)

TARGETS = [
    Target(
        "ids",
        _of_text(_id),
        tuple(
            text.encode()
            for number in (1, 2)
            for one in [key(number).public()]
            for text in (one.base64, one.hex, one.hex.upper(), encode_base32(one.raw))
        ),
    ),
    Target("addresses", _of_text(_address), (b"192.168.1.10:7001", b"[2001:db8::1]:7001", b"[::ffff:1.2.3.4]:65535")),
    Target("host:port", _of_text(_host_port), (b"0.0.0.0:7001", b"[::]:7001", b"node-1.example.org:7001")),
    Target("relay URLs", _of_text(parse_relay_url), (b"https://relay.example.org", b"http://[::1]:80/x?y#z")),
    Target("tickets", _of_text(_ticket), (format_ticket(FULL).encode(), b"node" + encode_base32(OLDER).encode())),
    Target("tickets' bytes", lambda data: _ticket("endpoint" + encode_base32(data)), (b"\0" + bytes(33), OLDER)),
    Target("older tickets' bytes", lambda data: _ticket("node" + encode_base32(data)), (OLDER,)),
    Target(
        "times",
        _time,
        (
            b'"2024-01-01T00:00:00.5+01:00"',
            b'{"secs_since_epoch": 1704067200, "nanos_since_epoch": 123456789}',
            b"[1704067200, 5]",
        ),
    ),
    Target("JSON", loads, (PEERS, b'{"a": [1, -2.5e3, true, null, "\\u00e9\\ud83d\\ude00"]}')),
    Target("registry files", _registry, (format_registry(attested(1)), format_registry(entry(2, extra={"x": [1]})))),
    Target("peers files", _peers, (PEERS, format_peers([peer(1)], upstream_compat=True), b"[]")),
    Target("signature files", _signature, (sign_peers(PEERS, key(100), cluster=CLUSTER, previous_seq=None, now=NOW),)),
    Target(
        "manifests",
        _manifest,
        (renew_manifest(members_of({"a": attested(1), "b": entry(2)}), None, key(100), cluster=CLUSTER, now=NOW),),
    ),
    Target(
        "node configurations",
        lambda data: parse_config(data, file="node-config.json"),
        tuple(json.dumps(example).encode() for example in load_schema("node-config")["examples"]),
    ),
    Target(
        "HTTP answers",
        _http,
        (
            b'HTTP/1.1 200 OK\r\nETag: "2"\r\nContent-Length: 5\r\n\r\n[1,2]',
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n[1\r\n1\r\n]\r\n0\r\nTrailer: x\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
            b"Date: Thu, 01 Jan 2026 09:00:00 GMT\r\n\r\n[]",
            b"HTTP/1.1 302 Found\r\nLocation: https://user:password@other.example.org:8443/a?b#c\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\n\r\n",
        ),
    ),
    Target("places in etcd", _of_text(_etcd_place), (b"etcd://a:2379,[::1]:9/fleet", b"etcds://a.example//fleet/x")),
    Target(
        "etcd's ranges",
        _etcd_range,
        (
            b'{"header":{"cluster_id":"14443903163313418560","revision":"5"},"kvs":[{"key":"Zm9vL2E=",'
            b'"create_revision":"2","mod_revision":"2","version":"1","value":"Zm9vL2E="}],"more":true,"count":"2"}',
        ),
    ),
    Target(
        "etcd's watches",
        parse_watch,
        (
            b'{"result":{"header":{"cluster_id":"1","revision":"7"},"events":[{"type":"DELETE","kv":{"key":"Zm8=",'
            b'"mod_revision":"7"}},{"kv":{"key":"Zm8=","mod_revision":"7","value":"Zm8="}}]}}\n',
            b'{"result":{"header":{"cluster_id":"1"},"canceled":true,"compact_revision":"4"}}',
        ),
    ),
    Target("documents in parts", _parts, (PEERS, write_index([sha256_hex(b"a")]))),
    Target(
        "locations in clouds",
        _of_text(_cloud_location),
        (b"aws:", b"gcp:tag=k=v&project=a:b", b"azure:tag=k%3D=v&public=true"),
    ),
    Target("EC2's lists", lambda data: _instances(data, parse_ec2), (_EC2 % _EC2_TAGS.encode(),)),
    Target("Compute's lists", lambda data: _instances(data, parse_compute), (json.dumps(_COMPUTE).encode(), b"{}")),
    Target("the Resource Manager's lists", lambda data: _instances(data, _azure), (json.dumps(_ARM).encode(),)),
    Target(
        "seeds of a cloud",
        _seeds,
        (format_registry(attested(1)), b"[" + format_registry(attested(1)) + b"," + format_registry(entry(2)) + b"]"),
    ),
    Target(
        "TXT records",
        _of_text(_dns_text),
        (
            format_node(peer(1)).encode(),
            format_node(DiscoveredPeer.from_entry(attested(2), "dns", NOW)).encode(),
            b"none",
            b"addr=10.0.0.1:1 [::1]:2\nrelay=https://relay.example.org/\nuser-data=x",
        ),
    ),
    Target("DNS locations", _of_text(DnsLocation.parse), (b"dns://[::1]:5353/fleet", b"dns:fleet.example.org.")),
    Target(
        "DNS answers",
        _dns_answer,
        (_dns_message("SRV", f"0 0 7001 {base32(key(1).public())}.{DOMAIN}", f"0 0 7001 host.{DOMAIN}"),),
    ),
    Target("PUBLISHED", parse_index, (b'{"registry/n1.json": "0f", "registry/n-2.json": "aa", "other": 5}',)),
    Target("mDNS packets", _mdns, (announcement(endpoint_id(1), ("10.0.0.7", 7001), relay="https://r.example/"),)),
    Target("hellos", decode_hello, (encode(Hello(cluster=CLUSTER, node_id=1, entry=attested(1), purpose="mesh")),)),
    Target(
        "welcomes",
        decode_welcome,
        (
            encode(Welcome(admitted=True, cluster=CLUSTER, node_id=1, entry=attested(1))),
            encode(Welcome(admitted=False, reason="unknown: not one of us")),
        ),
    ),
    Target("Raft frames", _raft_frame, _RAFT_FRAMES),
    Target(
        "Raft commands",
        _raft_command,
        tuple(
            raft_codec.command(raft_codec.REGULAR, body)
            for body in (
                {"op": "genesis", "id": "g", "voters": [1, 2, 3]},
                {"op": "admit", "voter": 1, "incarnation": "a"},
                {"op": "put", "client": "c", "number": 1, "name": "host1", "entry": attested(1).to_json()},
                {"op": "remove", "client": "c", "number": 2, "node_id": 1},
            )
        ),
    ),
    Target("Raft snapshots", lambda data: parse_snapshot(data, "a snapshot"), (_raft_snapshot(),)),
]
