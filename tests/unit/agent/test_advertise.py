# SPDX-License-Identifier: MIT
"""Which addresses a node tells others: never those that lead to the wrong machine."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any, NoReturn

import ifaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.agent.advertise import (
    AddressDecision,
    AdvertisePolicy,
    Candidate,
    candidates_of,
    decide,
    local_addresses,
    only_loopback,
    parse_network,
)
from blixard.agent.interfaces import BRIDGE, INNER, LocalAddress, Tier
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress

LAN, PUBLIC, DOCKER, LOOPBACK, LINK_LOCAL = "192.168.1.10", "203.0.113.7", "172.17.0.1", "127.0.0.1", "169.254.3.4"


def at(ip: str, port: int = 7001) -> SocketAddress:
    return SocketAddress(ip_address(ip), port)


def candidate(ip: str, *, inner: str = "", **tier: int) -> Candidate:
    return Candidate(at(ip), LocalAddress(ip_address(ip), Tier(**tier), inner))


def with_bridges(ips: Iterable[str], bridges: Iterable[str] = (DOCKER,)) -> list[Candidate]:
    return [candidate(ip, inner=BRIDGE if ip in bridges else "") for ip in ips]


def judged(*ips: str, inner: tuple[str, ...] = (DOCKER,), **policy: Any) -> list[AddressDecision]:
    return decide(with_bridges(ips, inner), AdvertisePolicy(**policy))


def advertised(*ips: str, **policy: Any) -> list[str]:
    return [str(decision.address.ip) for decision in judged(*ips, **policy) if decision.advertised]


def test_a_docker_host_does_not_tell_the_address_that_every_docker_host_has() -> None:
    assert advertised(LAN, DOCKER, LOOPBACK) == [LAN]
    assert advertised(LAN, DOCKER, LOOPBACK, inner=()) == [DOCKER, LAN]


def test_the_bridge_is_told_when_the_operator_says_so() -> None:
    assert all(decision.advertised for decision in judged(LAN, DOCKER, bridges=True))


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
    assert len(advertised(*bridges, *many, PUBLIC, inner=bridges)) == 64
    assert advertised(*bridges, *many, PUBLIC, "192.0.2.1", inner=bridges) == [*many, "192.0.2.1"]
    (kept,) = (each for each in judged(*bridges, *many, PUBLIC, "192.0.2.1", inner=bridges) if "64" in each.reason)
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
    decisions = decide(with_bridges(ips), policy)
    assert decide(with_bridges(data.draw(st.permutations(ips))), policy) == decisions
    assert {decision.address for decision in decisions} == set(map(at, ips))
    assert all(decision.reason for decision in decisions)
    for decision in decisions:
        ip = decision.address.ip
        assert not (decision.advertised and (ip.is_link_local or any(ip in network for network in exclude)))


def test_a_socket_on_one_address_is_reached_there_alone() -> None:
    local = [LocalAddress(ip_address(ip)) for ip in (LAN, LOOPBACK)]
    assert candidates_of(ip_address(PUBLIC), {4: 7001}, local) == [candidate(PUBLIC)]


def test_a_socket_on_all_addresses_is_reached_at_those_of_the_families_that_it_has() -> None:
    ips = [LOOPBACK, LAN, "::1", "2001:db8::1", "0.0.0.0", "::", "224.0.0.1"]
    local = [LocalAddress(ip_address(ip)) for ip in ips]
    both = candidates_of(ip_address("0.0.0.0"), {4: 7001, 6: 7002}, local)
    assert [str(each.address) for each in both] == [
        "127.0.0.1:7001",
        "192.168.1.10:7001",
        "[::1]:7002",
        "[2001:db8::1]:7002",
    ]
    assert candidates_of(ip_address("::"), {4: 7001, 6: 7002}, local) == both
    assert candidates_of(ip_address("::"), {6: 7001}, local) == [candidate("::1"), candidate("2001:db8::1")]


def test_the_addresses_of_the_default_route_come_first_and_those_of_tunnels_last() -> None:
    known = [
        candidate("10.0.0.1", number=3),
        candidate("10.8.0.2", number=1),
        candidate("192.168.7.9", number=0, metric=600),
        candidate("203.0.113.7", number=0, metric=100, place=1),
        candidate("203.0.113.5", number=0, metric=100, place=3),
        candidate("2001:db8::7", number=0, metric=1024),
    ]
    v4 = [str(each.address.ip) for each in decide(known, AdvertisePolicy())]
    assert v4 == ["203.0.113.7", "203.0.113.5", "192.168.7.9", "2001:db8::7", "10.8.0.2", "10.0.0.1"]
    v6 = [str(each.address.ip) for each in decide(known, AdvertisePolicy(), version=6)]
    assert v6 == ["2001:db8::7", "203.0.113.7", "203.0.113.5", "192.168.7.9", "10.8.0.2", "10.0.0.1"]


def test_of_too_many_addresses_the_one_of_the_default_route_is_never_cut_off() -> None:
    many = [candidate(f"10.0.0.{n}", number=2) for n in range(1, 100)]
    decisions = decide([*many, candidate(PUBLIC, number=0)], AdvertisePolicy())
    assert (str(decisions[0].address.ip), decisions[0].advertised) == (PUBLIC, True)


def test_a_link_to_containers_is_kept_back_like_a_bridge_and_told_with_them() -> None:
    links = [candidate(LAN), candidate("10.244.0.1", inner=INNER)]
    assert [each.advertised for each in decide(links, AdvertisePolicy())] == [False, True]
    assert all(each.advertised for each in decide(links, AdvertisePolicy(bridges=True)))


def test_an_address_that_another_one_replaces_within_a_day_is_told_only_if_it_is_included() -> None:
    temporary = Candidate(at("2001:db8::77"), LocalAddress(ip_address("2001:db8::77"), is_temporary=True))
    assert [each.advertised for each in decide([temporary, candidate(LAN)], AdvertisePolicy())] == [True, False]
    assert decide([temporary], AdvertisePolicy(include=(ip_network("::/0"),)))[0].advertised


def test_a_host_that_is_left_with_loopback_alone_says_what_it_keeps_back_and_why() -> None:
    assert only_loopback(judged(LOOPBACK, DOCKER, "fe80::1")) == (
        "nothing but 127.0.0.1:7001 is left to tell the peers, which on another host leads to themselves; kept back: "
        "172.17.0.1:7001 (container or VM bridge), [fe80::1]:7001 (link-local); "
        "name an address with advertise.extra, or include its network with advertise.include"
    )
    assert "kept back" not in (only_loopback(judged(LOOPBACK)) or "")


def test_nothing_is_said_where_another_address_is_told_or_loopback_was_asked_for() -> None:
    assert only_loopback(judged(LOOPBACK, LAN)) is None
    assert only_loopback(judged(LOOPBACK, include=(ip_network("127.0.0.0/8"),))) is None
    assert only_loopback(judged(LOOPBACK, extra=(at(LOOPBACK),))) is None
    assert only_loopback(judged(LOOPBACK, exclude=(ip_network("0.0.0.0/0"),))) is None


def adapter(name: str, *ips: Any) -> ifaddr.Adapter:
    return ifaddr.Adapter(name, name, [ifaddr.IP(ip, 24, name) for ip in ips])


def test_where_the_kernel_cannot_be_asked_the_names_of_the_interfaces_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise OSError("not here")

    adapters = [
        adapter("lo", LOOPBACK, ("::1", 0, 0)),
        adapter("eth0", LAN, ("fe80::1%eth0", 0, 2)),
        adapter("br0", PUBLIC),
        adapter("br-lan", "192.168.8.1"),
        adapter("docker0", DOCKER),
        adapter("docker_gwbridge", "172.18.0.1"),
        adapter("br-0123456789ab", "172.19.0.1"),
        adapter("kube-ipvs0", "10.96.0.1"),
        adapter("wg0", "10.7.0.1"),
    ]
    monkeypatch.setattr("blixard.agent.advertise.read_network", refuse)
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    local = local_addresses()
    assert [str(each.ip) for each in local if each.inner] == ["10.96.0.1", DOCKER, "172.18.0.1", "172.19.0.1"]
    outer = [str(each.ip) for each in local if not each.inner]
    assert outer == ["192.168.1.10", "192.168.8.1", PUBLIC, "fe80::1", LOOPBACK, "::1", "10.7.0.1"]


def test_this_machine_has_a_loopback_address() -> None:
    assert any(each.ip.is_loopback for each in local_addresses())


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.1.2.3/8", "fd00::/8", "192.0.2.1"])
def test_a_network_may_be_written_with_host_bits_or_as_one_address(text: str) -> None:
    assert ip_address(text.partition("/")[0]) in parse_network(text)


@pytest.mark.parametrize("text", ["", "x", "10.0.0.0/33", "10.0.0/8", "fd00::/129", 10, None, [], True, 1.5])
def test_what_is_no_network_is_refused_with_what_to_write(text: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_network(text, "/advertise/include/0")
    assert str(caught.value).startswith("/advertise/include/0: ")
    assert str(caught.value).endswith("; write a CIDR such as 10.0.0.0/8")
