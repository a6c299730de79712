# SPDX-License-Identifier: MIT
"""The publication of a run: record and peers file to every place, and what is said of those that did not get it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.agent.node_config import etcd_of_environment
from blixard.publishing.base import RUN_LOCK, PublishContext, held_of, read_publication
from blixard.publishing.factory import make_destinations, publish_everywhere, remember, report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


def publish(
    record: Path,
    peers_file: Path,
    places: Sequence[str],
    *,
    wall: Callable[[], datetime],
    check: bool,
    pending: bool,
    tsig_key_file: Path | None = None,
    needed: str = "",
    lock: str = "",
) -> dict[str, object]:
    """Publish to every place, and return the action's result; `lost` is why `needed` did not get it, else None.

    Args:
        record: the folder of the record.
        peers_file: the peers file that follows from it, its signature beside it.
        places: folders and URLs.
        wall: the date and time.
        check: write nothing.
        tsig_key_file: the file with the key that DNS updates are signed with.
        pending: in check mode, what would be published is not written yet: then every place would change.
        needed: a place that comes before all others, which get nothing that it has not got; empty for none.
        lock: what is told of the lock that this run has at a place in etcd, see `held_of`.

    Raises:
        InputError: a place is none, or a file cannot be used.
        TrustError: record, peers file and signature do not fit each other.
    """
    held = {**held_of(os.environ.get(RUN_LOCK, "")), **held_of(lock)}
    context = PublishContext(wall, tsig_key_file, etcd_of_environment(os.environ), held)
    first, others = make_destinations([needed] if needed else [], context), make_destinations(places, context)
    if check and pending:
        return {"changed": bool(first or others), "places": [], "troubles": [], "lost": None}
    publication = read_publication(record, peers_file)
    outcomes = asyncio.run(publish_everywhere(first, publication, check=check))
    lost = next((each.reason for each in outcomes if each.reason is not None), None)
    if lost is None:
        others = [each for each in others if each.name not in {place.name for place in first}]
        outcomes += asyncio.run(publish_everywhere(others, publication, check=check))
    if not check:
        remember(record, publication, outcomes)
    changed = [each for each in outcomes if each.status == "changed"]
    return {
        "changed": bool(changed),
        **report(outcomes),
        "lost": lost,
        "troubles": [each.reason for each in outcomes if each.reason is not None],
        "diff": [{"prepared": "".join(f"{line}\n" for line in (each.place, *each.changes))} for each in changed],
    }
