# SPDX-License-Identifier: MIT
"""What the kernel says of real links, in a network namespace of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from blixard.agent.netlink import read_network

pytestmark = pytest.mark.root

JUDGED = """
import json
from blixard.agent.interfaces import judge
from blixard.agent.netlink import read_network
network = read_network()
print(json.dumps({
    "kinds": {link.name: link.kind for link in network.links},
    "order": [str(each.ip) for each in judge(network) if not each.inner and not each.ip.is_link_local],
    "kept": {str(each.ip): each.inner for each in judge(network) if each.inner and not each.ip.is_link_local},
    "temporary": [str(each.ip) for each in judge(network) if each.is_temporary],
}))
"""

HARDWARE = """
ip link set lo up
ip link add eth0 type veth peer name out0
ip link set eth0 up; ip link set out0 up
ip address add 192.168.1.10/24 dev eth0
"""


def judged(links: str) -> dict[str, Any]:
    """Make links with a script, in a namespace that ends with it, and return how they are judged there."""
    script = f'set -e\n{links}\nexec "$0" -c "$1"'
    command = ["unshare", "--net", "sh", "-c", script, sys.executable, JUDGED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_address_of_the_default_route_comes_first_and_bridges_and_taps_do_not_come_before_it() -> None:
    found = judged(
        HARDWARE
        + """
        ip route add default via 192.168.1.1
        ip link add docker0 type bridge; ip link set docker0 up; ip address add 172.17.0.1/16 dev docker0
        ip link add ve-web type veth peer name c0; ip link set ve-web master docker0
        ip link add ve-mail type veth peer name c1; ip link set ve-mail up; ip address add 10.1.0.1/24 dev ve-mail
        ip tuntap add mode tun name tun7; ip link set tun7 up; ip address add 10.0.0.1/24 dev tun7
        """
    )
    assert found["order"] == ["192.168.1.10", "127.0.0.1", "::1", "10.0.0.1"]
    assert set(found["kept"]) == {"172.17.0.1", "10.1.0.1"}
    assert found["kinds"] | {"docker0": "bridge", "eth0": "veth", "tun7": "tun", "lo": ""} == found["kinds"]


def test_a_bridge_that_carries_the_uplink_is_told_and_one_of_virtual_machines_is_not() -> None:
    found = judged(
        """
        ip link add vmbr0 type bridge; ip link set vmbr0 up; ip address add 10.2.0.5/24 dev vmbr0
        ip link add eno1 type veth peer name out1; ip link set eno1 master vmbr0; ip link set eno1 up
        ip link add vmbr1 type bridge; ip link set vmbr1 up; ip address add 10.3.0.1/24 dev vmbr1
        ip tuntap add mode tap name tap100i0; ip link set tap100i0 master vmbr1
        """
    )
    assert (found["order"], set(found["kept"])) == (["10.2.0.5"], {"10.3.0.1"})


def test_the_metric_the_source_and_both_families_of_default_routes_are_read() -> None:
    found = judged(
        HARDWARE
        + """
        ip link add eth1 type veth peer name out1; ip link set eth1 up; ip link set out1 up
        ip address add 10.9.0.3/24 dev eth1; ip address add 10.9.0.4/24 dev eth1; ip address add 10.9.1.1/32 dev lo
        ip -6 address add 2001:db8::3/64 dev eth1 nodad
        ip route add default via 192.168.1.1 metric 600
        ip route add default via 10.9.0.1 src 10.9.0.4 metric 100
        ip -6 route add default via 2001:db8::1 dev eth1
        """
    )
    assert found["order"] == ["10.9.0.4", "10.9.0.3", "192.168.1.10", "2001:db8::3", "10.9.1.1", "127.0.0.1", "::1"]


def test_a_route_over_several_gateways_is_a_default_route_of_each_of_their_links() -> None:
    found = judged(
        HARDWARE
        + """
        ip link add virbr0 type bridge; ip link set virbr0 up; ip address add 10.4.0.2/24 dev virbr0
        ip route add default nexthop via 192.168.1.1 nexthop via 10.4.0.1
        """
    )
    assert (found["order"][:2], found["kept"]) == (["10.4.0.2", "192.168.1.10"], {})


def test_links_that_another_one_stands_on_are_followed() -> None:
    found = judged(
        HARDWARE
        + """
        ip link add virbr0 type bridge; ip link set virbr0 up
        ip link add link virbr0 name inner type macvlan; ip link set inner up; ip address add 10.5.0.1/24 dev inner
        ip link add link eth0 name outer type macvlan; ip link set outer up; ip address add 10.6.0.1/24 dev outer
        """
    )
    assert set(found["kept"]) == {"10.5.0.1"}
    assert "10.6.0.1" in found["order"]


def test_an_ipv6_address_that_another_one_replaces_soon_is_known_as_that() -> None:
    found = judged(
        """
        ip link add eth0 type veth peer name out0
        echo 2 > /proc/sys/net/ipv6/conf/eth0/use_tempaddr
        ip link set eth0 up; ip link set out0 up
        ip -6 address add 2001:db8::3/64 dev eth0 nodad mngtmpaddr
        """
    )
    assert len(found["temporary"]) == 1
    assert set(found["order"]) == {"2001:db8::3", *found["temporary"]}


def test_a_namespace_without_anything_has_no_address() -> None:
    assert judged("true")["order"] == []


def test_this_machine_has_loopback() -> None:
    assert any(link.is_loopback for link in read_network().links)
