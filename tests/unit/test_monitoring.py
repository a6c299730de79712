# SPDX-License-Identifier: MIT
"""What is shipped for Prometheus and Grafana names only what nodes tell, and says all that has to be said of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from tests.unit.documents.samples import NOW

from blixard.agent.metrics import (
    EventCounts,
    NodeFacts,
    gossip_families,
    node_families,
    peer_families,
    source_families,
    start_families,
)
from blixard.agent.raft_node import raft_families

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "monitoring" / "grafana-dashboard.json"
RULES = ROOT / "monitoring" / "blixard.rules.yml"
RULE_TESTS = ROOT / "monitoring" / "blixard.rules.test.yml"
GUIDE = ROOT / "docs" / "monitoring.md"


VOTER = {"state": "running", "role": "leader", "leader": 1, "term": 1, "members": [], "refused": {}} | dict.fromkeys(
    ("commit_index", "applied_index", "entries"), 0
)


def told() -> set[str]:
    """The names of all metrics of a node."""
    about = NodeFacts(
        node_id=1,
        cluster="prod",
        version="0.1.0",
        refused={},
        live_in={"etcd://e/p": True},
        more=[*raft_families(VOTER), *gossip_families({n: {} for n in ("exchanges", "failed", "entries", "sent")})],
    )
    families = [
        *start_families(NOW),
        *node_families(about),
        *peer_families([]),
        *source_families([], NOW),
        *EventCounts().families(),
    ]
    return {family.name for family in families}


def named(text: str) -> set[str]:
    """The names of metrics in expressions or prose."""
    return set(re.findall(r"\b(?:blixard_[a-z_]+|process_[a-z_]+)", text))


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    dashboard = json.loads(DASHBOARD.read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    yield from (each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query")


def test_alerts_and_dashboard_ask_for_metrics_that_nodes_have() -> None:
    assert {name for each in expressions() for name in named(each)} - told() == set()


def test_the_guide_lists_every_metric_and_every_alert_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE)
    assert sorted(row for row in rows if not row.startswith("Blixard")) == sorted(told())
    assert [row for row in rows if row.startswith("Blixard")] == [rule["alert"] for rule in rules()]


def test_every_alert_is_seen_to_fire_and_to_stay_silent() -> None:
    tests = [each for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for each in test["alert_rule_test"]]
    for rule in rules():
        assert {bool(each["exp_alerts"]) for each in tests if each["alertname"] == rule["alert"]} == {True, False}


def lost(given: object, kept: object, place: str = "") -> Iterator[str]:
    """Yield the place of everything in `given` that `kept` has not."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            yield from lost(value, kept.get(name), f"{place}/{name}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (value, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(value, other, f"{place}/{index}")
    elif given != kept:
        yield place


def read_by_grafana(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Return what of a dashboard Grafana's own types take up."""
    register_default_plugins()
    document: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    return document


def test_the_dashboard_has_no_field_that_grafana_would_pass_over() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert list(lost(dashboard, read_by_grafana(dashboard))) == []


@pytest.mark.parametrize("field", ["gridPos", "expr", "legendFormat", "reduceOptions", "spanNulls", "templating"])
def test_a_field_with_a_slip_of_the_pen_is_found(field: str) -> None:
    dashboard = json.loads(DASHBOARD.read_text().replace(f'"{field}"', f'"{field}s"'))
    assert list(lost(dashboard, read_by_grafana(dashboard))) != []


def test_panels_have_their_own_ids_lie_side_by_side_and_say_what_they_show() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"].endswith(".") for panel in panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
