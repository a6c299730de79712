# SPDX-License-Identifier: MIT
"""A new key on its host: made once, announced by both keys, put in place when the record has it."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW

from blixard.errors import InputError
from blixard.fleet.rotation import prepare, swap
from blixard.model.entry import NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.trust.attestation import verify_attestation
from blixard.trust.key_announcement import verify_announcement
from blixard.trust.keys import KEY_FILE_NAME, create_secret_key, read_secret_key

DAY = 86400.0


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node whose key is older than a day."""
    create_secret_key(tmp_path / KEY_FILE_NAME)
    os.utime(tmp_path / KEY_FILE_NAME, (1, 1))
    return tmp_path


def _prepare(node: Path, **changes: Any) -> dict[str, Any]:
    settings = {"node_id": 3, "cluster": CLUSTER, "bind": "127.0.0.1:7003", "data_dir": str(node)}
    arguments: dict[str, Any] = {
        "config": json.dumps(settings).encode(),
        "min_age": DAY,
        "now": NOW,
        "check": False,
    }
    return prepare(node, **{**arguments, **changes})


def _id(path: Path) -> str:
    return read_secret_key(path).public().base64


def test_a_new_key_is_made_beside_the_old_one_and_announced_by_both(node: Path) -> None:
    before = (node / KEY_FILE_NAME).read_bytes()
    state = _prepare(node)

    assert (node / KEY_FILE_NAME).read_bytes() == before
    assert (node / f"{KEY_FILE_NAME}.next").stat().st_mode & 0o777 == 0o600
    assert (state["changed"], state["due"], state["restart"]) == (True, True, True)
    assert state["old"] == _id(node / KEY_FILE_NAME)
    assert state["new"] == _id(node / f"{KEY_FILE_NAME}.next") != state["old"]
    said = verify_announcement(state["announcement"], cluster=CLUSTER)
    assert (said.node_id, said.old.base64, said.new.base64) == (3, state["old"], state["new"])
    entry = NodeRegistryEntry.from_json(state["entry"])
    assert verify_attestation(entry, cluster=CLUSTER)
    assert (entry.iroh_node_id, entry.direct_addresses) == (state["new"], ("127.0.0.1:7003",))


def test_a_run_that_broke_off_goes_on_with_the_same_key(node: Path) -> None:
    first = _prepare(node)
    again = _prepare(node, now=NOW + timedelta(minutes=1))

    assert not again["changed"]
    assert again["due"]
    assert again["new"] == first["new"]


def test_the_new_key_takes_the_place_of_the_old_one_only_as_the_record_has_it(node: Path) -> None:
    new = EndpointId.parse(_prepare(node)["new"])
    with pytest.raises(InputError, match=r"iroh-secret-key\.next: is not the key of"):
        swap(node, new=EndpointId.parse(_id(node / KEY_FILE_NAME)), check=False)

    assert swap(node, new=new, check=True) == {"changed": True}
    assert swap(node, new=new, check=False) == {"changed": True}
    assert swap(node, new=new, check=False) == {"changed": False}
    assert _id(node / KEY_FILE_NAME) == new.base64
    assert sorted(path.name for path in node.iterdir()) == [KEY_FILE_NAME]


def test_a_young_key_is_left_alone(node: Path) -> None:
    swap(node, new=EndpointId.parse(_prepare(node)["new"]), check=False)

    state = _prepare(node)

    assert (state["changed"], state["due"], state["new"]) == (False, False, None)
    assert _prepare(node, min_age=0)["due"]


def test_check_mode_says_that_a_key_is_due_and_makes_none(node: Path) -> None:
    state = _prepare(node, check=True)

    assert (state["changed"], state["due"], state["new"]) == (True, True, None)
    assert [path.name for path in node.iterdir()] == [KEY_FILE_NAME]


def test_no_key_is_shown(node: Path) -> None:
    shown = repr(_prepare(node))

    for path in node.iterdir():
        assert path.read_text().strip() not in shown


def test_a_node_without_a_key_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="iroh-secret-key"):
        _prepare(tmp_path)
