# SPDX-License-Identifier: MIT
"""How a node is to run on a host, and what follows from a look at it."""

from __future__ import annotations

from typing import Any

import pytest

from blixard.fleet.host_view import HostView
from blixard.fleet.wanted_service import paths, reasons, service

CONFIG = "/etc/blixard/node-config.json"
UNIT = "/etc/systemd/system/blixard.service"
FACTS = "/etc/ansible/facts.d/blixard.fact"
MARKER = "/opt/blixard/venv/.blixard-runtime"
OWN = {"owner": "blixard", "group": "blixard"}
ACCOUNT = {"user": "blixard", "group": "blixard"}


def _host(*, systemd: bool, uid: int) -> dict[str, Any]:
    """Return the look at a host where everything is as systemd would have it."""
    return {
        "version": "1.0.0",
        "config_sha256": "c1",
        "host": {"systemd": systemd, "uid": uid},
        "key": {"path": "/var/lib/blixard/iroh-secret-key", "state": "present", **OWN},
        "agent": {"state": "running", "config_sha256": "c1", "version": "1.0.0", "started": 100.0},
        "files": {
            "config": {"path": CONFIG, "kind": "file", "sha256": "c1", "mode": "0640", "group": "blixard"},
            "unit": {"path": UNIT, "kind": "file", "expected": True, "mode": "0644", "mtime": 90.0},
            "enabled": {"path": "/etc/link", "kind": "link", "mtime": 90.0},
            "facts": {"path": FACTS, "kind": "file", "expected": True, "mode": "0644", "mtime": 90.0},
            "runtime": {"path": MARKER, "kind": "file", "sha256": "m1", "mtime": 90.0},
            "data_dir": {"mode": "0700", **OWN},
        },
    }


@pytest.mark.parametrize(
    ("systemd", "uid", "asked", "manager"),
    [
        (True, 0, "auto", "systemd"),
        (True, 1000, "auto", "process"),
        (False, 0, "auto", "process"),
        (True, 0, "process", "process"),
        (False, 0, "systemd", "systemd"),
    ],
)
def test_systemd_runs_the_node_where_it_is_there_and_ansible_is_root_or_where_it_was_asked_for(
    systemd: bool, uid: int, asked: str, manager: str
) -> None:
    said = service(_host(systemd=systemd, uid=uid), manager=asked, **ACCOUNT)

    account = "blixard" if manager == "systemd" else None
    assert said == {"manager": manager, "owner": account, "group": account, "kept": True, "pending": []}


def test_a_process_needs_no_unit_and_its_settings_belong_to_no_group() -> None:
    look = _host(systemd=True, uid=0)
    look["files"]["unit"] = look["files"]["enabled"] = {"path": UNIT, "kind": "absent"}
    look["files"]["facts"] = {"path": FACTS, "kind": "absent"}
    look["files"]["config"]["group"] = "root"

    assert service(look, manager="process", **ACCOUNT)["pending"] == []
    assert service(look, manager="systemd", **ACCOUNT)["pending"] == [
        f"{CONFIG} is not as wanted",
        f"{UNIT} is missing",
        f"{UNIT} is missing",
        f"{FACTS} is missing",
    ]


def test_a_look_describes_every_file_that_is_compared_and_those_that_a_node_joins_through() -> None:
    seen = paths("/var/lib/blixard", CONFIG, "/opt/blixard/venv", "blixard", ["/var/lib/blixard/registry.d/a.json"])

    assert seen.items() >= {"config": CONFIG, "unit": UNIT, "runtime": MARKER, "data_dir": "/var/lib/blixard/."}.items()
    assert seen["enabled"] == "/etc/systemd/system/multi-user.target.wants/blixard.service"
    assert seen["facts"] == FACTS
    assert seen["signature"] == "/var/lib/blixard/discovery-peers.json.sig"
    assert seen["/var/lib/blixard/registry.d/a.json"] == "/var/lib/blixard/registry.d/a.json"


def test_hosts_with_the_same_reasons_are_one_line_whatever_their_data_directories_are_called() -> None:
    def host(number: int, *lines: str, managed: bool = True) -> HostView:
        folder = f"/srv/n{number}"
        pending = [line.format(folder=folder) for line in lines]
        look = {"key": {"path": f"{folder}/iroh-secret-key"}, "service": {"pending": pending}}
        return HostView(f"n{number}", number, managed=managed, variables={"__blixard_look": look})

    hosts = [
        host(1, "{folder}/c.json is missing", "it is off"),
        host(2),
        host(3, "{folder}/c.json is missing", "it is off"),
    ]
    hosts += [host(4, "it is off"), host(5, "it is off", managed=False), HostView("n6", 6)]

    assert reasons(hosts) == ["n1, n3: c.json is missing; it is off", "n4: it is off"]
