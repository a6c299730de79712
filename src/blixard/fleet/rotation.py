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

from blixard.agent.client import AgentError, AgentNotRunning, ask
from blixard.agent.config import parse_config
from blixard.agent.entry import last_signed, signed_entry
from blixard.documents.files import sync_folder
from blixard.errors import InputError
from blixard.trust.keys import KEY_FILE_NAME, create_secret_key, read_secret_key
from blixard.trust.rotation import announce

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.trust.keys import SecretKey

NEXT_SUFFIX = ".next"


def prepare(data_dir: Path, *, config: bytes, min_age: float, now: datetime, check: bool) -> dict[str, Any]:
    """Have a next key where one is due, and return what the controller needs of it.

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
    path, next_path = data_dir / KEY_FILE_NAME, data_dir / f"{KEY_FILE_NAME}{NEXT_SUFFIX}"
    old = read_secret_key(path)
    begun = os.path.lexists(next_path)
    due = begun or time.time() - path.stat().st_mtime >= min_age
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
    new = read_secret_key(next_path) if begun else _make(next_path, like=path)
    previous = last_signed(settings, new.public(), now)
    entry = signed_entry(settings, new, settings.bind.port, now=now, previous=previous)
    announcement = announce(old, new, cluster=settings.cluster, node_id=settings.node_id, now=now)
    return {**state, "new": new.public().base64, "announcement": announcement, "entry": entry.to_json()}


def swap(data_dir: Path, *, new: EndpointId, check: bool) -> dict[str, Any]:
    """Put the next key in the place of the key; the old one is gone then.

    Args:
        data_dir: the node's data directory.
        new: the id that the record has for this node: another key is not put in place.
        check: change nothing.

    Raises:
        InputError: there is no next key, or it is not that of `new`.
    """
    path, next_path = data_dir / KEY_FILE_NAME, data_dir / f"{KEY_FILE_NAME}{NEXT_SUFFIX}"
    if not os.path.lexists(next_path) and read_secret_key(path).public() == new:
        return {"changed": False}
    if read_secret_key(next_path).public() != new:
        mend = "remove it and run rotate.yml again"
        raise InputError(f"is not the key of {new.short}, as the record has it", file=str(next_path), mend=mend)
    if not check:
        next_path.replace(path)
        sync_folder(path.parent)
    return {"changed": True}


def _make(path: Path, *, like: Path) -> SecretKey:
    """Make the next key, for the account that owns the present one."""
    key = create_secret_key(path)
    owner = like.stat()
    if owner.st_uid != os.getuid():
        os.chown(path, owner.st_uid, owner.st_gid)
    return key


def _runs_with(data_dir: Path) -> str | None:
    """Return the id that the node runs with, None when it does not answer."""
    try:
        return str(ask(data_dir, "info")["iroh_node_id"])
    except (AgentError, AgentNotRunning):
        return None
