# SPDX-License-Identifier: MIT
"""Announced changes of key, held against the record: which host may come with which new id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blixard.errors import BlixardError, InputError
from blixard.trust.key_announcement import verify_announcement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId


def announced_ids(
    record: Mapping[str, NodeRegistryEntry], announcements: Mapping[str, Any], *, cluster: str
) -> tuple[dict[str, EndpointId], list[str]]:
    """Return the new id of each host whose announcement holds, and a line for each one that does not.

    Args:
        record: the record before the change; it says which key a host may speak with.
        announcements: host name to announcement, as JSON.
        cluster: the cluster they must be for.
    """
    ids: dict[str, EndpointId] = {}
    refused = []
    for name, obj in announcements.items():
        try:
            said = verify_announcement(obj, cluster=cluster)
        except InputError as error:
            refused.append(str(error.located(file=f"announcement of {name}")))
            continue
        except BlixardError as error:
            refused.append(f"{name}: {error}")
            continue
        entry = record.get(name)
        if entry is None or said.node_id != entry.node_id or entry.endpoint_id not in (said.old, said.new):
            refused.append(
                f"{name}: announces node {said.node_id} with the key {said.old.short}, which is not what the record"
                " has for it"
            )
        else:
            ids[name] = said.new
    return ids, refused
