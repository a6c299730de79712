# SPDX-License-Identifier: MIT
"""What the record keeps in an entry beside what the node says: its state, and when it was recorded.

The fields are extra ones of the registry format, written only where they say something:

- `state`: `draining` (leaving: still a member, no longer one to join through) or `absent` (a tombstone: the
  id never comes back); nothing means present.
- `recorded_at`: when an entry without attestation last changed; an attested one says so itself.
- `retired_ids`: Iroh ids (base64) that this name had before; they never come back either.
- `announcements`: the announced changes of key that led to the present id, oldest first, for whoever compares the
  record with what was signed off before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blixard.documents.json_times import parse_time
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.times import EPOCH
from blixard.model.words import too_many, wrong_kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId

PRESENT = "present"
_DRAINING = "draining"
ABSENT = "absent"
_STATES = (PRESENT, _DRAINING, ABSENT)

STATE = "state"
RECORDED_AT = "recorded_at"
RETIRED_IDS = "retired_ids"
ANNOUNCEMENTS = "announcements"
FIELDS = (STATE, RECORDED_AT, RETIRED_IDS, ANNOUNCEMENTS)
"""The record's own fields: a host has no say in them."""

MAX_ANNOUNCEMENTS = 16
"""Changes of key that an entry carries; between two states that are signed off there is one as a rule."""


def state_of(entry: NodeRegistryEntry) -> str:
    """Return the state that the record keeps for an entry: present when it says nothing.

    Raises:
        InputError: it is none of STATES.
    """
    state = entry.extra.get(STATE, PRESENT)
    return PRESENT if state is PRESENT else fields.at(f"/{STATE}", parse_state, state)


def parse_state(value: object) -> str:
    """Return `value` when it is one of STATES."""
    if not isinstance(value, str):
        raise InputError(wrong_kind("a string", value))
    if value not in _STATES:
        raise InputError(f"must be one of {', '.join(_STATES)}")
    return value


def changed_at(entry: NodeRegistryEntry) -> datetime:
    """Return when the entry last changed: signed at, else recorded at, else 1970-01-01.

    Raises:
        InputError: `recorded_at` is no time.
    """
    if entry.attestation is not None:
        return parse_time(entry.attestation.issued_at)
    recorded = entry.extra.get(RECORDED_AT)
    return EPOCH if recorded is None else fields.at(f"/{RECORDED_AT}", parse_time, recorded)


def retired_ids(entry: NodeRegistryEntry) -> tuple[EndpointId, ...]:
    """Return the ids that the entry's name had before.

    Raises:
        InputError: `retired_ids` is no list of ids.
    """
    listed = entry.extra.get(RETIRED_IDS, [])
    if not isinstance(listed, (list, tuple)):
        raise InputError(wrong_kind("a list", listed), place=f"/{RETIRED_IDS}")
    return tuple(fields.iroh_node_id(item, f"/{RETIRED_IDS}/{index}") for index, item in enumerate(listed))


def announcements_of(entry: NodeRegistryEntry) -> tuple[Mapping[str, object], ...]:
    """Return the announced changes of key that the record keeps for an entry, oldest first; not verified.

    Raises:
        InputError: `announcements` is no list of objects, or has too many.
    """
    listed = entry.extra.get(ANNOUNCEMENTS, [])
    if not isinstance(listed, (list, tuple)):
        raise InputError(wrong_kind("a list", listed), place=f"/{ANNOUNCEMENTS}")
    if len(listed) > MAX_ANNOUNCEMENTS:
        raise InputError(too_many(MAX_ANNOUNCEMENTS, len(listed)), place=f"/{ANNOUNCEMENTS}")
    for index, item in enumerate(listed):
        if not isinstance(item, dict):
            raise InputError(wrong_kind("an object", item), place=f"/{ANNOUNCEMENTS}/{index}")
    return tuple(listed)
