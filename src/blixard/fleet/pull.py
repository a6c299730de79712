# SPDX-License-Identifier: MIT
"""The record as several controllers share it, brought here before a run works on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from blixard.agent.node_config import etcd_of_environment
from blixard.model.ids import EndpointId
from blixard.publishing.base import PublishContext
from blixard.publishing.pull import Here, pull, shared_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path


def pull_record(
    place: str,
    record: Path,
    peers_file: Path,
    *,
    signers: Iterable[str],
    wall: Callable[[], datetime],
    check: bool,
    discard: bool,
) -> dict[str, object]:
    """Have here what is published at `place`, and return the action's result.

    Args:
        place: `etcd://HOST:PORT/PREFIX`.
        record: the folder of the record.
        peers_file: the peers file that follows from it, its signature beside it.
        signers: the fleet keys that are trusted.
        wall: the date and time.
        check: write nothing.
        discard: also over changes that were not published.

    Raises:
        InputError: the place is none or gives no good answer, or there are changes here that were not published.
        TrustError: what is there is not signed as what is here, or older.
    """
    shared = shared_at(place, PublishContext(wall, etcd=etcd_of_environment(os.environ)))
    lines = pull(
        shared.look(),
        shared.name,
        Here(record, peers_file),
        signers=[EndpointId.parse(each) for each in signers],
        now=wall(),
        check=check,
        discard=discard,
    )
    prepared = "".join(f"{line}\n" for line in (shared.name, *lines)) if lines else ""
    return {"changed": bool(lines), "changes": list(lines), "diff": [{"prepared": prepared}] if lines else []}
