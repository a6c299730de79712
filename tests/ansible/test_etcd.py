# SPDX-License-Identifier: MIT
"""A fleet whose record is published to an etcd with users, from which its nodes read it; against a real one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import BIN, Fleet
from tests.integration.etcd import EtcdServer, etcd_server

PASSWORD = "nobody-reads-this"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd in which `fleet` may do everything under its prefix."""
    with etcd_server(tmp_path / "etcd") as running:
        running.add_users("fleet", PASSWORD, "fleet")
        yield running


def source_of(fleet: Fleet, host: str, place: str) -> dict[str, Any]:
    """What a node says of its source in etcd."""
    words: list[str | Path] = [BIN / "blixard", "discover", "--data-dir", fleet.root / host, "--json"]
    found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    (source,) = (each for each in found["sources"] if each["name"] == f"registry:{place}")
    assert isinstance(source, dict)
    return source


def test_a_fleet_lives_from_etcd_and_no_password_is_shown(
    new_fleet: NewFleet, etcd: EtcdServer, tmp_path: Path
) -> None:
    fleet, place, password = new_fleet(2), f"{etcd.place}/fleet", tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    fleet.sign_with(tmp_path / "key")
    fleet.group |= {
        "blixard_etcd": [place],
        "blixard_etcd_user": "fleet",
        "blixard_etcd_password_file": str(password),
        "blixard_publish": [place],
    }
    controller = {"BLIXARD_ETCD_USER": "fleet", "BLIXARD_ETCD_PASSWORD_FILE": str(password)}

    run = fleet.play("site", "-vvv", "--diff", environment=controller)

    assert run.code == 0, run.output
    assert PASSWORD not in run.output
    kept = fleet.root / "node1" / "etcd-password"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (PASSWORD, 0o600)
    for host in fleet.hosts:
        source = source_of(fleet, host, place)
        assert (source["state"], source["peers"]) == ("found", 2)
    again = fleet.play("site", environment=controller)
    assert again.code == 0, again.output
    assert set(again.changed.values()) == {0}
