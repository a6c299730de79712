# SPDX-License-Identifier: MIT
"""A look at a host says whose the key is, and nothing else about it."""

from __future__ import annotations

import getpass
import grp
import json
import os
from pathlib import Path

import pytest

from blixard.fleet.look import KEY_FILE_NAME, look
from blixard.trust.keys import create_secret_key


def test_a_key_has_an_owner_and_nothing_else_is_said_of_it(tmp_path: Path) -> None:
    key = create_secret_key(tmp_path / KEY_FILE_NAME)

    seen = look(tmp_path, config=None, paths={}, expected={})

    assert seen["key"] == {
        "path": str(tmp_path / KEY_FILE_NAME),
        "state": "present",
        "owner": getpass.getuser(),
        "group": grp.getgrgid(os.getgid()).gr_name,
    }
    assert key.to_bytes().hex() not in json.dumps(seen)


def test_a_key_of_an_account_that_is_not_there_has_a_number_for_an_owner(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root gives files away")
    create_secret_key(tmp_path / KEY_FILE_NAME)
    os.chown(tmp_path / KEY_FILE_NAME, 54321, 54321)

    key = look(tmp_path, config=None, paths={}, expected={})["key"]

    assert (key["owner"], key["group"]) == ("54321", "54321")
