# SPDX-License-Identifier: MIT
"""A new secret key for a node, on its host: made beside the old one and announced by both, then put in its place.

Where a rotation stands is read from the host and the record alone, so that a run which broke off is taken up where
it stopped:

- no next key, and the key is older than asked for: the rotation has not begun;
- a next key: made, perhaps in the record and with the peers already; it is used again, never replaced;
- a young key: it is done, but for the node that may still run with the old one.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.control_client import AgentError, AgentNotRunning, ask
from blixard.agent.node_config import parse_config
from blixard.agent.own_entry import last_signed, ports_of, signed_entry
from blixard.documents.account import as_owner_of
from blixard.documents.data_dir_files import KEY_FILE_NAME, NEXT_KEY_FILE_NAME
from blixard.documents.files import sync_folder
from blixard.errors import InputError
from blixard.fleet import preloaded_modules  # noqa: F401
from blixard.trust.key_announcement import announce
from blixard.trust.keys import create_secret_key, read_secret_key

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId


def prepare(data_dir: Path, *, config: bytes, min_age: float, now: datetime, check: bool) -> dict[str, Any]:
    """Have a next key where one is due, and return what the controller needs of it. Root does it as the node's account.

    Args:
        data_dir: the node's data directory.
        config: its settings, in the form of node-config.json.
        min_age: seconds; a key that is younger is left alone.
        now: the present, with a time zone.
        check: make nothing.

    Returns:
        `changed`, `due` (a rotation is under way, or would begin), the `old` and `new` ids (base64; `new` is null
        where there is none, or none yet in check mode), the `announcement` and the signed `entry` under the new key
        (null without one), and `restart`: whether the node runs with another key than the one on disk, or not at
        all.

    Raises:
        InputError: key or settings that cannot be used.
    """
    with as_owner_of(data_dir):
        return _prepare(data_dir, config=config, min_age=min_age, now=now, check=check)


def _prepare(data_dir: Path, *, config: bytes, min_age: float, now: datetime, check: bool) -> dict[str, Any]:
    path, next_path = data_dir / KEY_FILE_NAME, data_dir / NEXT_KEY_FILE_NAME
    old = read_secret_key(path, own=True)
    begun = os.path.lexists(next_path)
    due = begun or time.time() - path.lstat().st_mtime >= min_age
    state: dict[str, Any] = {
        "changed": due and not begun,
        "due": due,
        "old": old.public().base64,
        "new": None,
        "announcement": None,
        "entry": None,
        "restart": _runs_with(data_dir) != old.public().base64,
    }
    if not due or (check and not begun):
        return state
    settings = parse_config(config, file="settings")
    new = read_secret_key(next_path, own=True) if begun else create_secret_key(next_path)
    previous = last_signed(settings, new.public(), now)
    entry = signed_entry(settings, new, ports_of(settings.bind), now=now, previous=previous)
    announcement = announce(old, new, cluster=settings.cluster, node_id=settings.node_id, now=now)
    return {**state, "new": new.public().base64, "announcement": announcement, "entry": entry.to_json()}


def swap(data_dir: Path, *, new: EndpointId, check: bool) -> dict[str, Any]:
    """Put the next key in the place of the key; the old one is gone then. Root does it as the node's account.

    Args:
        data_dir: the node's data directory.
        new: the id that the record has for this node: another key is not put in place.
        check: change nothing.

    Raises:
        InputError: there is no next key, or it is not that of `new`.
    """
    with as_owner_of(data_dir):
        return _swap(data_dir / KEY_FILE_NAME, data_dir / NEXT_KEY_FILE_NAME, new=new, check=check)


def _swap(path: Path, next_path: Path, *, new: EndpointId, check: bool) -> dict[str, Any]:
    if not os.path.lexists(next_path) and read_secret_key(path, own=True).public() == new:
        return {"changed": False}
    if read_secret_key(next_path, own=True).public() != new:
        mend = "remove it and run rotate.yml again"
        raise InputError(f"is not the key of {new.short}, as the record has it", file=str(next_path), mend=mend)
    if not check:
        next_path.replace(path)
        sync_folder(path.parent)
    return {"changed": True}


def _runs_with(data_dir: Path) -> str | None:
    """Return the id that the node runs with, None when it does not answer."""
    try:
        return str(ask(data_dir, "info")["iroh_node_id"])
    except (AgentError, AgentNotRunning):
        return None
