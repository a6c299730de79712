# SPDX-License-Identifier: MIT
"""What the record keeps of an entry beside what the node says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.documents.samples import entry, key

from blixard.documents.entry_states import announcements_of, retired_ids, state_of
from blixard.errors import InputError


def test_an_entry_has_sixteen_announcements_at_most() -> None:
    listed: list[object] = [{"seq": number} for number in range(17)]
    assert announcements_of(entry(1)) == ()
    assert announcements_of(entry(1, extra={"announcements": listed[:16]})) == tuple(listed[:16])
    with pytest.raises(InputError, match="16"):
        announcements_of(entry(1, extra={"announcements": listed}))


@pytest.mark.parametrize(
    ("listed", "place"),
    [({}, "/announcements"), ("text", "/announcements"), ([{}, "text"], "/announcements/1")],
)
def test_what_is_no_list_of_announcements_is_refused_by_its_place(listed: Any, place: str) -> None:
    with pytest.raises(InputError) as caught:
        announcements_of(entry(1, extra={"announcements": listed}))
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("listed", "place"),
    [({}, "/retired_ids"), (7, "/retired_ids"), ([key(1).public().base64, "no id"], "/retired_ids/1")],
)
def test_what_is_no_list_of_former_ids_is_refused_by_its_place(listed: Any, place: str) -> None:
    assert retired_ids(entry(1)) == ()
    with pytest.raises(InputError) as caught:
        retired_ids(entry(1, extra={"retired_ids": listed}))
    assert caught.value.place == place


def test_a_state_that_there_is_not_is_refused() -> None:
    assert state_of(entry(1)) == "present"
    with pytest.raises(InputError, match="must be one of present, draining, absent"):
        state_of(entry(1, extra={"state": "gone"}))
