# SPDX-License-Identifier: MIT
"""What a node says about itself, and how it remembers what it signed."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from tests.unit.agent.settings import settings
from tests.unit.documents.samples import CLUSTER, NOW, key

from blixard.agent.advertise import AdvertisePolicy
from blixard.agent.interfaces import BRIDGE, LocalAddress, Tier
from blixard.agent.own_entry import (
    REGISTRY_FILE_NAME,
    OwnEntry,
    advertised,
    current_entry,
    key_path,
    last_signed,
    not_reachable,
    own_entry,
    ports_of,
    signed_entry,
)
from blixard.clock import SystemClock
from blixard.documents.peers_file import build_peers, write_peers
from blixard.documents.registry_file import read_registry, write_registry
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest, verify_attestation
from blixard.trust.keys import create_secret_key

OWN = key(1).public()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this a host with one real address, loopback and a Docker bridge."""
    texts = ["127.0.0.1", "192.168.1.10", "172.17.0.1", "::1", "fe80::1", "2001:db8::10"]
    local = [LocalAddress(ip_address(text), inner=BRIDGE if text == "172.17.0.1" else "") for text in texts]
    monkeypatch.setattr("blixard.agent.own_entry.local_addresses", lambda: local)


def told(data_dir: Path, bind: str, **policy: object) -> list[str]:
    config = settings(data_dir, bind=bind, advertise=AdvertisePolicy(**policy))  # type: ignore[arg-type]
    return [str(decision.address) for decision in advertised(config, ports_of(config.bind)) if decision.advertised]


def attested(**changes: object) -> NodeRegistryEntry:
    """An entry of this node, signed at NOW, with `changes`."""
    entry = dataclasses.replace(
        NodeRegistryEntry(1, OWN.base64, ("127.0.0.1:7001",), None, "127.0.0.1:7001"),
        **changes,  # type: ignore[arg-type]
    )
    return attest(entry, key(1), cluster=CLUSTER, now=NOW)


@pytest.mark.usefixtures("host")
def test_a_node_bound_to_all_addresses_tells_those_that_others_can_reach(tmp_path: Path) -> None:
    assert told(tmp_path, "0.0.0.0:7001") == ["192.168.1.10:7001", "[2001:db8::10]:7001"]
    assert told(tmp_path, "[::]:7001") == ["[2001:db8::10]:7001", "192.168.1.10:7001"]


@pytest.mark.usefixtures("host")
def test_a_node_bound_to_one_address_tells_that_one_even_if_it_is_a_bridge(tmp_path: Path) -> None:
    assert told(tmp_path, "192.168.1.10:7001") == ["192.168.1.10:7001"]
    assert told(tmp_path, "172.17.0.1:7001") == ["172.17.0.1:7001"]


@pytest.mark.usefixtures("host")
def test_the_entry_has_the_real_port_and_the_first_address_that_is_told(tmp_path: Path) -> None:
    entry = own_entry(settings(tmp_path, node_id=5, bind="0.0.0.0:0"), OWN, {4: 4711})
    assert entry.to_json() == {
        "cluster_node_id": 5,
        "iroh_node_id": OWN.base64,
        "direct_addresses": ["192.168.1.10:4711"],
        "relay_url": None,
        "address": "192.168.1.10:4711",
    }


def test_the_seeds_bootstrap_node_tells_its_loopback_address(tmp_path: Path) -> None:
    entry = own_entry(settings(tmp_path), OWN, {4: 7001})
    assert (entry.direct_addresses, entry.address) == (("127.0.0.1:7001",), "127.0.0.1:7001")
    assert own_entry(settings(tmp_path, bind="127.0.0.1:0"), OWN, {4: 4711}).address == "127.0.0.1:4711"


def test_a_host_without_network_cannot_be_reached_unless_loopback_or_a_relay_is_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.agent.own_entry.local_addresses", lambda: [LocalAddress(ip_address("127.0.0.1"))])

    def why(**changes: object) -> str | None:
        config = settings(tmp_path, **changes)
        return not_reachable(config, ports_of(config.bind))

    assert (why(bind="0.0.0.0:7001") or "").startswith("nothing but 127.0.0.1:7001 is left to tell the peers")
    assert why(bind="127.0.0.1:7001") is None
    assert why(bind="0.0.0.0:7001", relay_url="https://relay.example.org") is None


@pytest.mark.usefixtures("host")
def test_with_no_address_left_each_one_is_named_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    config = settings(tmp_path, bind="0.0.0.0:7001", advertise=AdvertisePolicy(exclude=(ip_network("0.0.0.0/0"),)))
    with pytest.raises(InputError) as caught:
        own_entry(config, OWN, {4: 7001})
    assert str(caught.value) == (
        "/advertise: no address to tell the peers: 127.0.0.1:7001 (excluded by 0.0.0.0/0), "
        "172.17.0.1:7001 (excluded by 0.0.0.0/0), 192.168.1.10:7001 (excluded by 0.0.0.0/0); "
        "name one with --advertise-extra, or include its network with --advertise-include"
    )


@pytest.mark.usefixtures("host")
def test_a_node_with_a_relay_needs_no_address(tmp_path: Path) -> None:
    nothing = AdvertisePolicy(exclude=(ip_network("0.0.0.0/0"),))
    config = settings(tmp_path, bind="0.0.0.0:7001", advertise=nothing, relay_url="https://relay.example.org")
    entry = own_entry(config, OWN, {4: 7001})
    assert (entry.direct_addresses, entry.relay_url) == ((), "https://relay.example.org")
    assert entry.address == "0.0.0.0:7001"


def test_a_host_without_any_address_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blixard.agent.own_entry.local_addresses", list)
    with pytest.raises(InputError, match="no address to tell the peers: this host has none"):
        own_entry(settings(tmp_path, bind="0.0.0.0:7001"), OWN, {4: 7001})


def test_a_signature_is_kept_while_nothing_changes_and_its_number_grows_when_something_does(tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = signed_entry(config, key(1), {4: 7001}, now=NOW, previous=None)
    later = NOW + timedelta(days=1)
    assert signed_entry(config, key(1), {4: 7001}, now=later, previous=first) == first
    moved = signed_entry(settings(tmp_path, bind="127.0.0.2:7001"), key(1), {4: 7001}, now=NOW, previous=first)
    assert moved.attestation is not None
    assert first.attestation is not None
    assert moved.attestation.seq == first.attestation.seq + 1


def test_what_was_signed_last_comes_from_the_registry_file(tmp_path: Path) -> None:
    entry = attested()
    write_registry(tmp_path / REGISTRY_FILE_NAME, entry)
    assert last_signed(settings(tmp_path), OWN, NOW) == entry


def test_a_node_that_lost_its_registry_takes_its_signature_from_the_peers_file(tmp_path: Path) -> None:
    config = settings(tmp_path)
    mine = attested()
    write_peers(config.peers_file, build_peers([mine]))
    previous = last_signed(config, OWN, NOW)
    assert signed_entry(config, key(1), {4: 7001}, now=NOW + timedelta(days=9), previous=previous) == mine


@pytest.mark.parametrize("newer_in", ["registry", "peers"])
def test_the_higher_number_of_registry_and_peers_file_counts(tmp_path: Path, newer_in: str) -> None:
    config = settings(tmp_path)
    old = attested()
    new = attest(
        dataclasses.replace(old, direct_addresses=("127.0.0.9:1",)), key(1), cluster=CLUSTER, now=NOW, previous=old
    )
    in_registry, in_peers = (new, old) if newer_in == "registry" else (old, new)
    write_registry(tmp_path / REGISTRY_FILE_NAME, in_registry)
    write_peers(config.peers_file, build_peers([in_peers]))
    found = last_signed(config, OWN, NOW)
    assert found is not None
    assert found.attestation == new.attestation


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[]", b"{}", json.dumps(attested().to_json() | {"relay_url": "https://other"}).encode()],
    ids=["empty", "truncated", "not UTF-8", "a list", "nothing in it", "changed after it was signed"],
)
def test_a_damaged_registry_file_is_no_memory_and_no_obstacle(tmp_path: Path, data: bytes) -> None:
    (tmp_path / REGISTRY_FILE_NAME).write_bytes(data)
    assert last_signed(settings(tmp_path), OWN, NOW) is None


def test_what_another_key_or_another_cluster_signed_is_not_adopted(tmp_path: Path) -> None:
    config = settings(tmp_path)
    write_registry(tmp_path / REGISTRY_FILE_NAME, attested())
    assert last_signed(config, key(2).public(), NOW) is None
    assert last_signed(settings(tmp_path, cluster="another"), OWN, NOW) is None
    write_registry(tmp_path / REGISTRY_FILE_NAME, dataclasses.replace(attested(), attestation=None))
    assert last_signed(config, OWN, NOW) is None


def names_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


async def test_the_entry_of_a_node_that_does_not_run_is_signed_and_nothing_is_written(tmp_path: Path) -> None:
    config = settings(tmp_path, bind="127.0.0.1:0")
    own = create_secret_key(key_path(tmp_path)).public()
    entry = await current_entry(config)
    assert verify_attestation(entry, cluster=CLUSTER)
    assert entry.endpoint_id == own
    assert entry.socket_addresses[0].port > 0
    assert names_in(tmp_path) == [key_path(tmp_path).name]


async def test_without_a_key_there_is_no_entry(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="iroh-secret-key: does not exist"):
        await current_entry(settings(tmp_path))


def test_a_running_node_writes_its_registry_only_when_it_must(tmp_path: Path) -> None:
    path = tmp_path / REGISTRY_FILE_NAME
    config = settings(tmp_path)
    own = OwnEntry(config, key(1), {4: 7001}, SystemClock())
    assert own.update(config) is False
    first = path.stat()
    assert first.st_mode & 0o777 == 0o644
    assert read_registry(path) == own.entry
    assert OwnEntry(config, key(1), {4: 7001}, SystemClock()).update(config) is False
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert own.update(settings(tmp_path, bind="127.0.0.2:7001")) is True
    assert read_registry(path).socket_addresses == (SocketAddress.parse("127.0.0.2:7001"),)
    path.write_bytes(b"damaged")
    assert own.update(settings(tmp_path, bind="127.0.0.2:7001")) is False
    assert read_registry(path) == own.entry


def test_a_registry_file_that_cannot_be_written_is_said_and_written_later(tmp_path: Path) -> None:
    path = tmp_path / REGISTRY_FILE_NAME
    path.mkdir()
    own = OwnEntry(settings(tmp_path), key(1), {4: 7001}, SystemClock())
    own.update(settings(tmp_path, bind="127.0.0.2:7001"))
    assert str(own.problem).startswith(f"{path}: cannot be written: ")
    path.rmdir()
    own.write_again()
    assert not own.problem
    assert read_registry(path) == own.entry


def test_what_was_said_last_stands_when_there_is_no_address_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path)
    own = OwnEntry(config, key(1), {4: 7001}, SystemClock())
    own.update(config)
    before = own.entry
    with pytest.raises(InputError):
        own.update(settings(tmp_path, advertise=AdvertisePolicy(exclude=(ip_network("127.0.0.0/8"),))))
    assert own.entry is before
    assert read_registry(tmp_path / REGISTRY_FILE_NAME) == before


def test_of_several_addresses_that_of_the_default_route_is_the_address_of_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [LocalAddress(ip_address(ip)) for ip in ("192.168.1.10", "10.0.0.1")]
    several = [*others, LocalAddress(ip_address("192.168.1.20"), Tier(0))]
    monkeypatch.setattr("blixard.agent.own_entry.local_addresses", lambda: several)

    entry = own_entry(settings(tmp_path, bind="0.0.0.0:7001"), OWN, {4: 7001})

    assert len(entry.direct_addresses) == 3
    assert entry.address == entry.direct_addresses[0] == "192.168.1.20:7001"


@pytest.mark.parametrize(("bind", "ip"), [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")])
async def test_a_node_that_does_not_run_says_a_port_that_can_be_had_in_the_family_of_its_address(
    tmp_path: Path, bind: str, ip: str
) -> None:
    config = settings(tmp_path, bind=bind)
    create_secret_key(key_path(config.data_dir))

    entry = await current_entry(config)

    (address,) = map(SocketAddress.parse, entry.direct_addresses)
    assert str(address.ip) == ip
    assert address.port > 1023
