# SPDX-License-Identifier: MIT
"""An address is judged by what its link is and where it leads; a name is only a hint."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from blixard.agent.interfaces import BRIDGE, INNER, Assigned, DefaultRoute, Link, LocalAddress, Network, judge


class Host:
    """A host's network, link by link; each address stands for its link."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.addresses: list[Assigned] = []
        self.routes: list[DefaultRoute] = []

    def link(self, name: str, kind: str = "", *ips: str, on: int | None = None, **about: Any) -> int:
        index = len(self.links) + 1
        self.links.append(Link(index=index, name=name, kind=kind, below=on, **about))
        for text in ips:
            ip, _, prefix = text.partition("/")
            self.addresses.append(Assigned(link=index, ip=ip_address(ip), prefix=int(prefix or 24)))
        return index

    def default(self, link: int, *, version: int = 4, **about: Any) -> None:
        self.routes.append(DefaultRoute(link=link, version=version, **about))

    def judged(self) -> dict[str, LocalAddress]:
        network = Network(links=tuple(self.links), addresses=tuple(self.addresses), routes=tuple(self.routes))
        return {str(each.ip): each for each in judge(network)}

    def order(self) -> list[str]:
        return [ip for ip, each in self.judged().items() if not each.inner]

    def kept(self) -> dict[str, str]:
        return {ip: each.inner for ip, each in self.judged().items() if each.inner}


@pytest.fixture
def host() -> Host:
    """A host with hardware that has the default route, and an address that is not its lowest one."""
    host = Host()
    host.link("lo", "", "127.0.0.1", is_loopback=True)
    host.default(host.link("eno1", "", "192.168.1.10"), gateway=ip_address("192.168.1.1"))
    return host


def test_the_default_route_comes_before_other_hardware_and_that_before_tunnels(host: Host) -> None:
    host.link("wg0", "wireguard", "10.0.0.1")
    host.link("eno2", "", "172.20.0.9")
    host.link("svc0", "dummy", "10.1.0.1")
    assert host.order() == ["192.168.1.10", "172.20.0.9", "10.1.0.1", "127.0.0.1", "10.0.0.1"]


def test_of_two_default_routes_the_one_counts_first_that_the_kernel_takes(host: Host) -> None:
    host.default(host.link("wlan0", "", "10.2.0.3"), metric=600)
    assert host.order()[:2] == ["192.168.1.10", "10.2.0.3"]


def test_a_tunnel_that_has_the_default_route_leads_out(host: Host) -> None:
    host.routes.clear()
    host.default(host.link("ppp0", "ppp", "203.0.113.7"))
    assert host.order()[0] == "203.0.113.7"


def test_of_the_addresses_of_a_link_the_source_of_the_route_comes_first_and_that_of_the_gateways_network_next() -> None:
    host = Host()
    link = host.link("eth0", "", "10.0.0.9", "10.9.0.4", "10.9.0.5")
    host.default(link, gateway=ip_address("10.9.0.1"))
    host.addresses.append(Assigned(link=link, ip=ip_address("10.9.0.2"), prefix=24, is_minor=True))
    assert host.order() == ["10.9.0.4", "10.9.0.5", "10.0.0.9", "10.9.0.2"]
    host.routes.clear()
    host.default(link, gateway=ip_address("10.9.0.1"), source=ip_address("10.0.0.9"))
    assert host.order()[0] == "10.0.0.9"


def test_a_router_whose_address_is_on_loopback_and_is_the_source_of_its_route_tells_that_one() -> None:
    host = Host()
    host.link("lo", "", "127.0.0.1", "10.255.0.7/32", is_loopback=True)
    host.default(host.link("swp1", ""), source=ip_address("10.255.0.7"))
    assert host.order()[0] == "10.255.0.7"


@pytest.mark.parametrize("name", ["docker0", "virbr0", "nerdctl0", "weave", "waydroid0", "lxcbr0", "br-lan", "vmbr1"])
def test_a_bridge_of_containers_and_virtual_machines_alone_is_kept_back_whatever_its_name(
    host: Host, name: str
) -> None:
    bridge = host.link(name, "bridge", "10.0.0.1")
    for port, kind in (("veth12", "veth"), ("tap7", "tun"), ("vxlan9", "vxlan"), ("mtu", "dummy")):
        host.link(port, kind, master=bridge)
    assert host.kept() == {"10.0.0.1": BRIDGE}


@pytest.mark.parametrize(("port", "kind"), [("eno2", ""), ("bond0", "bond"), ("lan1", "dsa"), ("wlan0", "")])
@pytest.mark.parametrize("name", ["br-lan", "vmbr0", "lxdbr0"])
def test_a_bridge_with_a_way_out_is_told_whatever_its_name(host: Host, name: str, port: str, kind: str) -> None:
    bridge = host.link(name, "bridge", "10.0.0.1")
    host.link(port, kind, master=bridge)
    assert host.kept() == {}


def test_a_bridge_that_has_the_default_route_comes_first(host: Host) -> None:
    host.routes.clear()
    host.default(host.link("virbr1", "bridge", "192.168.122.1"))
    assert (host.order()[0], host.kept()) == ("192.168.122.1", {})


def test_a_vlan_leads_where_the_link_below_it_leads(host: Host) -> None:
    inner, outer = host.link("virbr0", "bridge"), host.link("vmbr0", "bridge")
    host.link("eno2", "", master=outer)
    host.link("virbr0.5", "vlan", "10.5.0.1", on=inner)
    host.link("vmbr0.6", "vlan", "10.6.0.1", on=outer)
    host.link("eno1.7", "vlan", "10.7.0.1", on=2)
    assert host.kept() == {"10.5.0.1": BRIDGE}
    assert host.order() == ["192.168.1.10", "10.6.0.1", "10.7.0.1", "127.0.0.1"]


def test_a_bridge_is_followed_over_a_vlan_and_over_a_pair_of_links_to_the_next_bridge(host: Host) -> None:
    tagged = host.link("br-mgmt", "bridge", "10.1.0.1")
    host.link("eno1.4", "vlan", on=2, master=tagged)
    paired = host.link("br-paired", "bridge", "10.2.0.1")
    host.link("pair-a", "veth", on=len(host.links) + 2, master=paired)
    host.link("pair-b", "veth", on=len(host.links), master=tagged)
    assert host.kept() == {}


def test_two_bridges_that_are_ports_of_each_other_lead_nowhere(host: Host) -> None:
    one = host.link("a", "bridge", "10.1.0.1", master=len(host.links) + 2)
    host.link("b", "bridge", "10.2.0.1", master=one)
    assert host.kept() == {"10.1.0.1": BRIDGE, "10.2.0.1": BRIDGE}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("ve-web", "veth"), ("cali123", "veth"), ("foo", "veth"), ("vnet0", "tun"), ("vmnet8", "")),
        *(("ovn-k8s-mp0", "openvswitch"), ("vxlan.calico", "vxlan"), ("flannel.1", "vxlan"), ("tunl0", "ipip")),
        *(("kube-ipvs0", "dummy"), ("nodelocaldns", "dummy"), ("cilium_host", "veth")),
    ],
)
def test_a_link_to_containers_is_kept_back(host: Host, name: str, kind: str) -> None:
    host.link(name, kind, "10.0.0.1")
    assert host.kept() == {"10.0.0.1": INNER}


def test_a_container_tells_its_own_addresses_also_on_a_network_without_a_way_out() -> None:
    host = Host()
    host.link("lo", "", "127.0.0.1", is_loopback=True)
    host.link("eth0", "veth", "10.88.0.5", on=9, is_below_here=False)
    host.link("eth1", "macvlan", "10.89.0.5", on=3, is_below_here=False)
    nested = host.link("docker0", "bridge", "172.17.0.1")
    host.link("vethab12", "veth", master=nested, on=2, is_below_here=False)
    assert host.kept() == {"172.17.0.1": BRIDGE}
    assert host.order() == ["10.88.0.5", "10.89.0.5", "127.0.0.1"]


def test_a_container_whose_own_link_is_a_port_of_its_bridge_tells_the_bridge() -> None:
    host = Host()
    bridge = host.link("br-lan", "bridge", "10.88.0.5")
    host.link("eth0", "veth", master=bridge, on=9, is_below_here=False)
    assert host.kept() == {}


def test_an_address_that_two_links_have_counts_where_it_leads_out(host: Host) -> None:
    host.link("docker0", "bridge", "192.168.1.10")
    assert host.kept() == {}
    assert host.order()[0] == "192.168.1.10"
