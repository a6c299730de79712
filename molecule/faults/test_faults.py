# SPDX-License-Identifier: MIT
"""Every fault is noticed, is over soon after it is over, and leaves nothing lost behind."""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node
    from molecule.faults.conftest import Measured, Watch

HERE = Path(__file__).parent
DATA_DIR = "/var/lib/blixard"
CLI = "/opt/blixard/venv/bin/blixard"
RARE = pytest.mark.skipif(os.environ.get("FAULTS") != "all", reason="only with make faults")

# What users may count on, in seconds. `make faults` judges that, on a machine that does nothing else; elsewhere it is
# enough that what is broken is noticed and mended.
NOTICED_WITHIN, WHOLE_AFTER_HEAL, WHOLE_AFTER_RESTART = (
    (15, 30, 5) if os.environ.get("FAULTS") == "all" else (60, 120, 60)
)


@pytest.fixture(autouse=True)
def nothing_is_lost(fleet: Fleet, watch: Watch) -> Iterator[None]:
    """Before and after each fault the fleet is whole; after it nobody is missing, and every file is what was sent."""
    watch.whole_since(watch.now(), within=120)
    before = {peer["node_id"] for peer in fleet.peers()}
    yield
    assert {peer["node_id"] for peer in fleet.peers()} >= before
    whole = fleet.peers_file.read_bytes()
    for node in fleet.up:
        node.run(f"{CLI} registry validate {DATA_DIR}/node-registry.json")
        assert node.host.file(f"{DATA_DIR}/discovery-peers.json").content == whole
        assert node.run(f"find {DATA_DIR} -name '*.tmp*' -o -name '.*' -type f") == ""


def interface(node: Node) -> str:
    """Return the name that the host's network interface has on this machine."""
    index = node.run("cat /sys/class/net/eth0/iflink")
    links = Path("/sys/class/net").iterdir()
    return next(link.name for link in links if (link / "ifindex").read_text().strip() == index)


def set_link(name: str, state: str) -> None:
    subprocess.run(["ip", "link", "set", name, state], check=True)


def address(node: Node) -> str:
    return node.run("ip -4 -brief address show dev eth0").split()[2].split("/")[0]


@contextmanager
def rules(nodes: list[Node], *rules: str) -> Iterator[None]:
    """Keep firewall rules on hosts for a while."""
    for node in nodes:
        node.run(" && ".join(f"iptables -I {rule}" for rule in rules))
    try:
        yield
    finally:
        for node in nodes:
            node.run(" && ".join(f"iptables -D {rule}" for rule in rules))


def lasts(seconds: float) -> None:
    """Let a fault go on; there is nothing to wait for but the time."""
    time.sleep(seconds)


def test_link_cut(fleet: Fleet, measured: Measured) -> None:
    node = fleet.nodes["node4"]
    link = interface(node)
    with measured("link of one host cut for 30 s", {4}) as fault:
        set_link(link, "down")
        lasts(30)
        fault.over()
        set_link(link, "up")
    assert fault.noticed <= NOTICED_WITHIN
    assert fault.whole <= WHOLE_AFTER_HEAL


def test_loss(fleet: Fleet, measured: Measured) -> None:
    with (
        measured("30% of one host's incoming packets lost for 30 s", {4}) as fault,
        rules([fleet.nodes["node4"]], "INPUT -p udp -m statistic --mode random --probability 0.3 -j DROP"),
    ):
        lasts(30)
        dropped = fleet.nodes["node4"].run("iptables -L INPUT -v -n -x | awk '/statistic/ { print $1 }'")
        fault.over()
    assert int(dropped) > 10
    assert fault.whole <= WHOLE_AFTER_HEAL


def test_half_and_half(fleet: Fleet, measured: Measured) -> None:
    left = [fleet.nodes["node1"], fleet.nodes["node2"]]
    right = [address(fleet.nodes[name]) for name in ("node3", "node4", "node5")]
    cut = [f"{chain} {side} {ip} -j DROP" for ip in right for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d"))]
    # Long enough for every circuit across the cut to be open. Hours are simulated (tests/simulation/heal.py).
    with measured("half the fleet cut off from the other half for 120 s", {1, 2}) as fault, rules(left, *cut):
        lasts(120)
        fault.over()
    assert fault.noticed <= NOTICED_WITHIN
    assert fault.whole <= WHOLE_AFTER_HEAL


def test_sigkill(fleet: Fleet, measured: Measured) -> None:
    """Restarted at once, nobody notices; so systemd is told to wait."""
    node = fleet.nodes["node3"]
    later = "/run/systemd/system/blixard.service.d/later.conf"
    node.run(
        f"install -D /dev/null {later} && printf '[Service]\\nRestartSec=20\\n' >{later} && systemctl daemon-reload"
    )
    with measured("agent killed (SIGKILL), restarted by systemd after 20 s", {3}) as fault:
        node.run("systemctl kill --signal=SIGKILL blixard")
        fleet.settles(lambda: node.unit("ActiveState"), ["activating"])
        fleet.settles(lambda: node.unit("ActiveState"), ["active"])
        (started,) = node.unit("ExecMainStartTimestampMonotonic")
        fault.over(int(started) / 1_000_000)
    node.run(f"rm {later} && systemctl daemon-reload")
    assert fault.noticed <= NOTICED_WITHIN
    assert fault.whole <= WHOLE_AFTER_RESTART


def test_sigstop(fleet: Fleet, measured: Measured) -> None:
    node = fleet.nodes["node3"]
    with measured("agent stopped (SIGSTOP) for 60 s; systemd's watchdog may act first", {3}) as fault:
        node.run("systemctl kill --signal=SIGSTOP blixard")
        lasts(60)
        fault.over()
        node.run("systemctl kill --signal=SIGCONT blixard")
    assert fault.noticed <= NOTICED_WITHIN
    assert fault.whole <= WHOLE_AFTER_HEAL


@RARE
def test_delay(fleet: Fleet, measured: Measured) -> None:
    node = fleet.nodes["node4"]
    node.run(f"cat >/tmp/delay.py <<'EOF'\n{(HERE / 'delay.py').read_text()}\nEOF")
    node.run("systemd-run --quiet --unit=delay python3 /tmp/delay.py 200 50")
    with (
        measured("200 ± 50 ms of delay on what one host sends, for 30 s", {4}) as fault,
        rules([node], "OUTPUT -p udp -j NFQUEUE --queue-num 1 --queue-bypass"),
    ):
        lasts(30)
        delayed = node.run("cat /proc/net/netfilter/nfnetlink_queue").split()
        fault.over()
    node.run("systemctl stop delay")
    assert int(delayed[7]) > 10, "packets went through the queue"
    assert fault.whole <= WHOLE_AFTER_HEAL


@RARE
def test_pause(fleet: Fleet, measured: Measured) -> None:
    with measured("host paused for 60 s", {4}) as fault:
        fleet.engine("pause", "node4")
        lasts(60)
        fault.over()
        fleet.engine("unpause", "node4")
    assert fault.noticed <= NOTICED_WITHIN
    assert fault.whole <= WHOLE_AFTER_HEAL


@RARE
def test_power_loss_while_the_peers_file_is_written(fleet: Fleet, watch: Watch, measured: Measured) -> None:
    """The file is sent over and over; whenever the power fails, it is the old one or the new one."""
    node = fleet.nodes["node4"]
    python = "/opt/blixard/venv/bin/python -c"
    prepare = (
        "from pathlib import Path; from blixard.documents.files import write_atomic\n"
        f"path = Path('{DATA_DIR}/discovery-peers.json'); data = path.read_bytes()\n"
    )
    with measured("power of one host lost while its peers file is written", {4}) as fault:
        node.run(f'systemd-run --quiet --unit=sending {python} "{prepare}while True: write_atomic(path, data, 0o644)"')
        lasts(1)
        fleet.engine("kill", "node4")
        lasts(20)
        fleet.engine("start", "node4")
        fault.over()
        watch.follow(node)
    # What the killed write left goes with the next one.
    node.run(
        f'{python} "{prepare}write_atomic(path, data, 0o644)"; chown blixard:blixard {DATA_DIR}/discovery-peers.json'
    )
    assert fault.noticed <= NOTICED_WITHIN
    assert fault.whole <= WHOLE_AFTER_HEAL


@RARE
def test_disk_full(fleet: Fleet, measured: Measured) -> None:
    node = fleet.nodes["node5"]
    with measured("data directory of one host full, agent restarted on it", {5}) as fault:
        node.run(f"cat /dev/zero >{DATA_DIR}/filling 2>/dev/null || true")
        node.run("systemctl kill --signal=SIGKILL blixard")
        lasts(15)
        fault.over()
        node.run(f"rm {DATA_DIR}/filling")
    assert fault.whole <= WHOLE_AFTER_HEAL


@RARE
def test_clock_set_back(fleet: Fleet, measured: Measured) -> None:
    node = fleet.nodes["node5"]
    with measured("clock of one agent set back by an hour for 30 s", {5}) as fault:
        node.run("echo -3600 >/etc/faketime")
        lasts(30)
        fault.over()
        node.run("echo +0 >/etc/faketime")
    assert fault.whole <= WHOLE_AFTER_HEAL


@RARE
def test_address_taken_over(fleet: Fleet, measured: Measured) -> None:
    gone, other = fleet.nodes["node4"], fleet.nodes["node3"]
    ip = address(gone)
    link = interface(gone)
    with measured("address of one host taken over by another node for 60 s", {4}) as fault:
        set_link(link, "down")
        other.run(f"ip address add {ip}/24 dev eth0")
        lasts(60)
        fault.over()
        other.run(f"ip address del {ip}/24 dev eth0")
        set_link(link, "up")
        for node in fleet.up:
            node.run("ip neighbour flush dev eth0")
    assert fault.noticed <= NOTICED_WITHIN
    # The transport may fail at the good address too, for a minute after the other node has answered.
    assert fault.whole <= 60 + WHOLE_AFTER_HEAL


@contextmanager
def told_of_a_sixth(fleet: Fleet, services: Node) -> Iterator[None]:
    """Have the fleet know a sixth node by a URL alone, whose host name a name server tells."""
    ip = address(services)
    services.run(
        f"systemd-run --quiet --unit=node6 {CLI} node --id 6 --bind 0.0.0.0:7001 --admission open --data-dir /srv/node6"
        " && install -d /srv/www && until cp /srv/node6/node-registry.json /srv/www/ 2>/dev/null; do sleep 0.1; done"
    )
    serve(services)
    for node in fleet.up:
        node.run(f"cp /etc/resolv.conf /run/resolv.conf && echo nameserver {ip} >/etc/resolv.conf")
    settings = {"blixard_registries": ["http://registries.test/node-registry.json"], "blixard_refresh_interval": 10}
    assert fleet.playbook("site.yml", "-e", json.dumps(settings)).returncode == 0
    for node in fleet.up:
        fleet.settles(partial(node.states, {6}), {6: "connected"})
    try:
        yield
    finally:
        services.run("systemctl stop names web node6")
        for node in fleet.up:
            node.run("cat /run/resolv.conf >/etc/resolv.conf")
        assert fleet.playbook("site.yml").returncode == 0


def serve(services: Node) -> None:
    services.run(
        "systemd-run --quiet --unit=web python3 -m http.server --directory /srv/www 80"
        " && systemd-run --quiet --unit=names dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null"
        f" --no-resolv --no-hosts --address=/registries.test/{address(services)}"
    )


def failed(node: Node) -> bool:
    """Tell whether the node's source at a URL fails; if so it must say since when."""
    (source,) = (each for each in node.status()["sources"] if "registries.test" in each["name"])
    assert source["good_at"]
    return source["error"] is not None


@RARE
def test_names_and_web_gone(fleet: Fleet, watch: Watch, measured: Measured) -> None:
    """Whoever is known stays known and connected, however long its source does not answer."""
    services = fleet.beside("services")
    with told_of_a_sixth(fleet, services):
        with measured("name server and web server of a registry's URL gone for 60 s", {6}) as fault:
            services.run("systemctl stop names web")
            fleet.settles(lambda: any(failed(node) for node in fleet.up))
            fault.noticed = watch.now() - fault.began
            lasts(60 - fault.noticed)
            assert all(failed(node) for node in fleet.up)
            assert "last good answer" in fleet.nodes["node1"].run(f"{CLI} status --data-dir {DATA_DIR}")
            assert math.isinf(watch.noticed_since(fault.began, {6})), "the sixth node was lost"
            fault.over()
            serve(services)
        fleet.settles(lambda: any(failed(node) for node in fleet.up), wanted=False)
    assert fault.whole <= WHOLE_AFTER_HEAL
