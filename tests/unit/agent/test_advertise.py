# SPDX-License-Identifier: MIT
"""Which addresses a node tells others: never those that lead to the wrong machine."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import ifaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.agent.advertise import (
    AddressDecision,
    AdvertisePolicy,
    LocalAddresses,
    candidates_of,
    decide,
    local_addresses,
    parse_network,
)
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress

LAN, PUBLIC, DOCKER, LOOPBACK, LINK_LOCAL = "192.168.1.10", "203.0.113.7", "172.17.0.1", "127.0.0.1", "169.254.3.4"


def at(ip: str, port: int = 7001) -> SocketAddress:
    return SocketAddress(ip_address(ip), port)


def judged(*ips: str, bridges: tuple[str, ...] = (DOCKER,), **policy: Any) -> list[AddressDecision]:
    return decide(map(at, ips), AdvertisePolicy(**policy), bridge_addresses=frozenset(map(ip_address, bridges)))


def advertised(*ips: str, **policy: Any) -> list[str]:
    return [str(decision.address.ip) for decision in judged(*ips, **policy) if decision.advertised]


def test_a_docker_host_does_not_tell_the_address_that_every_docker_host_has() -> None:
    assert advertised(LAN, DOCKER, LOOPBACK) == [LAN]
    assert advertised(LAN, DOCKER, LOOPBACK, bridges=()) == [DOCKER, LAN]


def test_the_bridge_is_told_when_the_operator_says_so() -> None:
    decisions = decide(
        map(at, [LAN, DOCKER]), AdvertisePolicy(bridges=True), bridge_addresses=frozenset([ip_address(DOCKER)])
    )
    assert all(decision.advertised for decision in decisions)


def test_loopback_is_told_when_there_is_nothing_else() -> None:
    assert advertised(LOOPBACK) == [LOOPBACK]
    assert advertised(LOOPBACK, DOCKER, LINK_LOCAL) == [LOOPBACK]
    assert advertised("::1", "fe80::1") == ["::1"]


def test_loopback_stays_at_home_where_there_is_a_real_address_of_any_family() -> None:
    assert advertised(LOOPBACK, "::1", "2001:db8::1") == ["2001:db8::1"]


@pytest.mark.parametrize("ip", [LINK_LOCAL, "fe80::1"])
def test_a_link_local_address_is_never_told_even_if_included(ip: str) -> None:
    assert advertised(LAN, ip) == [LAN]
    assert advertised(ip, include=(ip_network("0.0.0.0/0"), ip_network("::/0"))) == []


def test_only_what_is_included_is_told() -> None:
    assert advertised(LAN, PUBLIC, LOOPBACK, include=(ip_network("203.0.113.0/24"),)) == [PUBLIC]
    assert advertised(LAN, LOOPBACK, include=(ip_network("203.0.113.0/24"),)) == []


def test_what_is_included_by_name_is_told_even_if_it_is_a_bridge_or_loopback() -> None:
    assert advertised(LAN, DOCKER, include=(ip_network("172.17.0.0/16"),)) == [DOCKER]
    assert advertised(LAN, LOOPBACK, include=(ip_network("127.0.0.0/8"),)) == [LOOPBACK]


def test_exclusion_wins_over_inclusion() -> None:
    assert advertised(LAN, PUBLIC, include=(ip_network("0.0.0.0/0"),), exclude=(ip_network("192.168.0.0/16"),)) == [
        PUBLIC
    ]


def test_exclusion_of_all_real_addresses_brings_loopback_back_unless_that_is_excluded_too() -> None:
    assert advertised(LAN, LOOPBACK, exclude=(ip_network("192.168.0.0/16"),)) == [LOOPBACK]
    assert advertised(LAN, LOOPBACK, exclude=(ip_network("0.0.0.0/0"),)) == []


def test_extra_addresses_come_first_in_the_operators_order_and_once() -> None:
    extra = (at(PUBLIC, 17001), at("203.0.113.1", 17001), at(PUBLIC, 17001), at(LAN))
    decisions = judged(LAN, LOOPBACK, extra=extra)
    assert [(str(each.address), each.advertised) for each in decisions] == [
        ("203.0.113.7:17001", True),
        ("203.0.113.1:17001", True),
        ("192.168.1.10:7001", True),
        ("127.0.0.1:7001", False),
    ]


def test_each_reason_says_which_rule_decided() -> None:
    def reasons(*ips: str, **policy: Any) -> dict[str, str]:
        return {str(each.address.ip): each.reason for each in judged(*ips, **policy)}

    assert reasons(LAN, LOOPBACK, LINK_LOCAL, DOCKER, extra=(at(PUBLIC),)) == {
        PUBLIC: "extra",
        LAN: "address of this host",
        LOOPBACK: "loopback",
        LINK_LOCAL: "link-local",
        DOCKER: "container or VM bridge",
    }
    assert reasons(LOOPBACK) == {LOOPBACK: "loopback, and there is nothing else"}
    within, without = (ip_network("192.168.0.0/16"),), (ip_network("203.0.113.0/24"),)
    assert reasons(LAN, PUBLIC, LOOPBACK, include=within, exclude=without) == {
        LAN: "included by 192.168.0.0/16",
        PUBLIC: "excluded by 203.0.113.0/24",
        LOOPBACK: "outside of what is included",
    }


def test_an_extra_address_is_told_even_if_its_network_is_excluded() -> None:
    assert advertised(LAN, extra=(at(PUBLIC),), exclude=(ip_network("0.0.0.0/0"),)) == [PUBLIC]


def test_a_host_with_more_addresses_than_an_entry_holds_tells_as_many_as_fit() -> None:
    many = [f"10.0.0.{n}" for n in range(1, 95)]
    decisions = judged(*many, extra=(at(PUBLIC),))
    assert sum(decision.advertised for decision in decisions) == 64
    assert decisions[0].advertised
    assert decisions[-1].reason == "more than 64 addresses"


def test_addresses_that_are_kept_back_take_no_room_from_those_that_are_told() -> None:
    bridges = tuple(f"172.17.0.{n}" for n in range(1, 101))
    many = [f"10.0.0.{n}" for n in range(1, 64)]
    assert len(advertised(*bridges, *many, PUBLIC, bridges=bridges)) == 64
    assert advertised(*bridges, *many, PUBLIC, "192.0.2.1", bridges=bridges) == [*many, "192.0.2.1"]
    (kept,) = (each for each in judged(*bridges, *many, PUBLIC, "192.0.2.1", bridges=bridges) if "64" in each.reason)
    assert (str(kept.address.ip), kept.reason) == (PUBLIC, "more than 64 addresses")


addresses = st.lists(
    st.sampled_from([LAN, PUBLIC, DOCKER, LOOPBACK, LINK_LOCAL, "::1", "fe80::1", "2001:db8::1", "fd00::1", "10.0.0.1"])
)
networks = st.lists(
    st.sampled_from([ip_network(text) for text in ("0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "::/0", "fd00::/8")]),
    max_size=2,
).map(tuple)


@given(data=st.data(), ips=addresses, include=networks, exclude=networks, bridges=st.booleans())
def test_the_order_of_the_interfaces_changes_nothing_and_every_address_has_a_reason(
    data: st.DataObject, ips: list[str], include: Any, exclude: Any, bridges: bool
) -> None:
    policy = AdvertisePolicy(include=include, exclude=exclude, bridges=bridges)
    docker = frozenset([ip_address(DOCKER)])
    decisions = decide(map(at, ips), policy, bridge_addresses=docker)
    assert decide(map(at, data.draw(st.permutations(ips))), policy, bridge_addresses=docker) == decisions
    assert {decision.address for decision in decisions} == set(map(at, ips))
    assert all(decision.reason for decision in decisions)
    for decision in decisions:
        ip = decision.address.ip
        assert not (decision.advertised and (ip.is_link_local or any(ip in network for network in exclude)))


def test_a_socket_on_one_address_is_reached_there_alone() -> None:
    local = LocalAddresses(frozenset(map(ip_address, [LAN, LOOPBACK])), frozenset())
    assert candidates_of((ip_address(PUBLIC), 7001), local) == [at(PUBLIC)]


def test_a_socket_on_all_addresses_is_reached_at_those_of_its_family() -> None:
    ips = [LOOPBACK, LAN, "::1", "2001:db8::1", "0.0.0.0", "::", "224.0.0.1"]
    local = LocalAddresses(frozenset(map(ip_address, ips)), frozenset())
    assert candidates_of((ip_address("0.0.0.0"), 7001), local) == [at(LOOPBACK), at(LAN)]
    assert candidates_of((ip_address("::"), 7001), local) == [at("::1"), at("2001:db8::1")]


def adapter(name: str, *ips: Any) -> ifaddr.Adapter:
    return ifaddr.Adapter(name, name, [ifaddr.IP(ip, 24, name) for ip in ips])


def test_bridges_are_told_from_other_interfaces_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [
        adapter("lo", LOOPBACK, ("::1", 0, 0)),
        adapter("eth0", LAN, ("fe80::1%eth0", 0, 2)),
        adapter("br0", PUBLIC),
        adapter("docker0", DOCKER),
        adapter("docker_gwbridge", "172.18.0.1"),
        adapter("br-0123456789ab", "172.19.0.1"),
        adapter("kube-ipvs0", "10.96.0.1"),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    local = local_addresses()
    assert local.bridges == set(map(ip_address, [DOCKER, "172.18.0.1", "172.19.0.1", "10.96.0.1"]))
    assert local.all - local.bridges == set(map(ip_address, [LOOPBACK, "::1", LAN, "fe80::1", PUBLIC]))


def test_this_machine_has_a_loopback_address() -> None:
    assert any(ip.is_loopback for ip in local_addresses().all)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.1.2.3/8", "fd00::/8", "192.0.2.1"])
def test_a_network_may_be_written_with_host_bits_or_as_one_address(text: str) -> None:
    assert ip_address(text.partition("/")[0]) in parse_network(text)


@pytest.mark.parametrize("text", ["", "x", "10.0.0.0/33", "10.0.0/8", "fd00::/129", 10, None, [], True, 1.5])
def test_what_is_no_network_is_refused_with_what_to_write(text: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_network(text, "/advertise/include/0")
    assert str(caught.value).startswith("/advertise/include/0: ")
    assert str(caught.value).endswith("; write a CIDR such as 10.0.0.0/8")
