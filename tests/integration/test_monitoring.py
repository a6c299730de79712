# SPDX-License-Identifier: MIT
"""Metrics, alerts and dashboard with a real Prometheus that scrapes real nodes, one of which is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.integration.etcd import free_tcp_ports
from tests.integration.nodes import Node, are_meshed, eventually, give_peers, killed_afterwards
from tests.integration.prometheus import MONITORING, Prometheus, needs_prometheus, prometheus, promtool
from tests.integration.test_agent import scraped

DASHBOARD = MONITORING / "grafana-dashboard.json"
VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": "5s"}


@dataclass
class Watched:
    """Three meshed nodes by the address of their metrics, and who scrapes them."""

    nodes: dict[str, Node]
    monitor: Prometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    needs_prometheus()
    room = tmp_path_factory.mktemp("watched")
    targets = [f"127.0.0.1:{port}" for port in free_tcp_ports(3)]
    nodes = {target: Node(number, room) for number, target in enumerate(targets, start=1)}
    give_peers(list(nodes.values()), [node.make_identity() for node in nodes.values()])
    with killed_afterwards(list(nodes.values())), prometheus(room / "prometheus", targets) as monitor:
        for target, node in nodes.items():
            node.launch("--metrics", target)
        eventually(lambda: len(monitor.query("up == 1")) == 3)
        eventually(lambda: are_meshed(list(nodes.values())))
        yield Watched(nodes, monitor)


def queries() -> dict[str, list[str]]:
    """The expressions of each panel of the dashboard, with its variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {panel["title"]: [filled(target["expr"]) for target in panel["targets"]] for panel in panels}


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def number(monitor: Prometheus, panel: str) -> float:
    """What a panel with one number shows."""
    (expression,) = queries()[panel]
    found = monitor.query(expression)
    return float(found[0]["value"][1]) if found else float("nan")


def by_node(monitor: Prometheus, panel: str) -> dict[str, float]:
    """What a panel with a line for each node shows."""
    (expression,) = queries()[panel]
    return {each["metric"]["instance"]: float(each["value"][1]) for each in monitor.query(expression)}


def test_the_metrics_of_a_node_are_as_prometheus_wants_them(watched: Watched) -> None:
    assert promtool("check", "metrics", stdin=scraped(f"http://{next(iter(watched.nodes))}/metrics")) == ""


def test_the_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("check", "rules", MONITORING / "blixard.rules.yml")
    promtool("test", "rules", MONITORING / "blixard.rules.test.yml")


@pytest.mark.parametrize("panel", queries())
def test_every_query_of_the_dashboard_finds_something(watched: Watched, panel: str) -> None:
    eventually(lambda: all(watched.monitor.query(expression) for expression in queries()[panel]))


def test_the_nodes_of_the_dashboard_are_those_that_prometheus_knows(watched: Watched) -> None:
    variables = {each["name"]: each for each in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    for name, label in (("job", "job"), ("instance", "instance")):
        query = filled(variables[name]["query"]["query"]).removeprefix("label_values(").rpartition(",")[0]
        values = {each["metric"][label] for each in watched.monitor.query(query)}
        assert values == ({"blixard"} if name == "job" else set(watched.nodes))


def test_a_killed_node_shows_in_the_dashboard_and_fires_the_alert_until_it_is_back(watched: Watched) -> None:
    monitor = watched.monitor
    dead, *others = watched.nodes
    eventually(lambda: number(monitor, "Nodes down") == 0 and number(monitor, "Lost edges") == 0)
    assert monitor.firing("BlixardNodeDown") == []
    watched.nodes[dead].kill()
    eventually(lambda: number(monitor, "Nodes down") == 1)
    eventually(lambda: by_node(monitor, "Nodes") == {dead: 0, **dict.fromkeys(others, 1)})
    eventually(lambda: by_node(monitor, "Peers not reached, by node") == dict.fromkeys(others, 1))
    eventually(lambda: [each["instance"] for each in monitor.firing("BlixardNodeDown")] == [dead])
    eventually(lambda: sorted(each["instance"] for each in monitor.firing("BlixardPeerLost")) == sorted(others))
    watched.nodes[dead].launch("--metrics", dead)
    eventually(lambda: number(monitor, "Nodes down") == 0 and number(monitor, "Lost edges") == 0)
    eventually(lambda: monitor.firing("BlixardNodeDown") == monitor.firing("BlixardPeerLost") == [])
