# SPDX-License-Identifier: MIT
"""A new key on its host: made once, announced by both keys, put in place when the record has it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
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


ACCOUNT = 54321
"""A user and a group that this machine does not have."""


@pytest.fixture
def node_of_an_account() -> Iterator[Path]:
    """The same, in a directory of an account's; not in pytest's own folder, which the account may not enter."""
    room = Path(tempfile.mkdtemp(prefix="blixard-rotation-"))
    room.chmod(0o755)
    data_dir = room / "data"
    data_dir.mkdir(0o700)
    create_secret_key(data_dir / KEY_FILE_NAME)
    os.utime(data_dir / KEY_FILE_NAME, (1, 1))
    for path in (data_dir, data_dir / KEY_FILE_NAME):
        os.chown(path, ACCOUNT, ACCOUNT)
    yield data_dir
    shutil.rmtree(room)


def _owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


@pytest.mark.root
def test_the_next_key_that_root_makes_belongs_to_the_nodes_account_before_and_after_the_swap(
    node_of_an_account: Path,
) -> None:
    node = node_of_an_account
    new = EndpointId.parse(_prepare(node)["new"])
    assert _owner(node / f"{KEY_FILE_NAME}.next") == (ACCOUNT, ACCOUNT)

    assert swap(node, new=new, check=False)["changed"]

    assert (_owner(node / KEY_FILE_NAME), _owner(node)) == ((ACCOUNT, ACCOUNT), (ACCOUNT, ACCOUNT))
    assert _id(node / KEY_FILE_NAME) == new.base64
    assert os.geteuid() == 0


@pytest.mark.root
def test_root_does_not_put_a_key_of_somebody_elses_in_the_place_of_the_accounts(node_of_an_account: Path) -> None:
    node = node_of_an_account
    planted = create_secret_key(node / f"{KEY_FILE_NAME}.next")
    before = _id(node / KEY_FILE_NAME)
    with pytest.raises(InputError, match=r"iroh-secret-key\.next: "):
        swap(node, new=planted.public(), check=False)
    assert _id(node / KEY_FILE_NAME) == before


@pytest.mark.root
@pytest.mark.parametrize("name", [KEY_FILE_NAME, f"{KEY_FILE_NAME}.next"])
def test_a_key_that_another_account_owns_is_neither_rotated_nor_put_in_place(node: Path, name: str) -> None:
    new = EndpointId.parse(_prepare(node)["new"])
    os.chown(node / name, ACCOUNT, ACCOUNT)
    with pytest.raises(InputError, match=f"{name}: "):
        _prepare(node)
    if name == KEY_FILE_NAME:
        (node / f"{KEY_FILE_NAME}.next").unlink()
        new = EndpointId.parse(_id(node / KEY_FILE_NAME))
    with pytest.raises(InputError, match=f"{name}: "):
        swap(node, new=new, check=False)
