# SPDX-License-Identifier: MIT
"""Which settings a running node takes over."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.settings import settings
from tests.unit.documents.samples import key

from blixard.agent.advertise import AdvertisePolicy
from blixard.agent.node_config import NEEDS_RESTART, NodeConfig, changed_settings
from blixard.agent.options import Bind
from blixard.errors import InputError

CHANGES: dict[str, Any] = {
    "node_id": 2,
    "bind": Bind.parse("127.0.0.1:7002"),
    "cluster": "another",
    "data_dir": Path("/srv/other"),
    "relay_url": "https://relay.example.org",
    "advertise": AdvertisePolicy(bridges=True),
    "join": ("/srv/node1.json",),
    "registries": ("/srv/registries",),
    "dns": ("fleet.example.org",),
    "etcd": ("etcd://etcd1:2379/fleet",),
    "etcd_user": "node",
    "etcd_password_file": "/etc/blixard/etcd-password",
    "etcd_ca_file": "/etc/blixard/etcd-ca.pem",
    "etcd_cert_file": "/etc/blixard/etcd-cert.pem",
    "etcd_key_file": "/etc/blixard/etcd-key.pem",
    "etcd_live": True,
    "cloud": ("aws:",),
    "mdns": True,
    "raft": True,
    "raft_voters": (1, 2, 3),
    "peers_file": Path("/etc/peers.json"),
    "refresh_interval_s": 5.0,
    "auto_connect": False,
    "admission": "known",
    "trusted_signers": (key(9).public(),),
    "gossip": True,
    "metrics": Bind.parse("127.0.0.1:9101"),
    "page": True,
    "log_level": "debug",
    "log_format": "json",
}
BEFORE = settings(Path("/srv/n1"))


def test_every_setting_is_known_here() -> None:
    assert CHANGES.keys() == {field.name for field in dataclasses.fields(NodeConfig)} - {"sha256"}
    assert set(NEEDS_RESTART) < CHANGES.keys()


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - set(NEEDS_RESTART)))
def test_a_setting_that_can_change_is_named(name: str) -> None:
    assert changed_settings(BEFORE, dataclasses.replace(BEFORE, **{name: CHANGES[name]})) == [name]


@pytest.mark.parametrize("name", NEEDS_RESTART)
def test_a_setting_that_cannot_is_refused_by_name_with_what_to_do(name: str) -> None:
    new = dataclasses.replace(BEFORE, **{name: CHANGES[name]}, log_level="debug")
    with pytest.raises(InputError) as caught:
        changed_settings(BEFORE, new)
    assert str(caught.value) == f"{name} cannot be changed while the node runs; nothing was changed; restart the node"


def test_the_same_file_again_changes_nothing() -> None:
    assert changed_settings(BEFORE, dataclasses.replace(BEFORE, sha256="0" * 64)) == []
