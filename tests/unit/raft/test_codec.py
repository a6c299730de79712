# SPDX-License-Identifier: MIT
"""Frames of Raft: what may be in them, with the place of what may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blixard.errors import InputError
from blixard.raft.codec import BATCH, MAX_COMMAND, MAX_FRAME, NO_OP, REGULAR, command, frame, membership, parse

APPEND = {
    "type": "append_entries",
    "term": 3,
    "commit_index": 5,
    "prevLogIdx": 4,
    "prevLogTerm": 2,
    "entries": [(bytes([NO_OP]), 5, 2), (membership("add", 4), 6, 3), (command(REGULAR, {"op": "é"}), 7, 3)],
}


def changed(**changes: Any) -> bytes:
    body = json.loads(frame(APPEND, "g")) | changes
    return json.dumps({name: value for name, value in body.items() if value != "gone"}).encode()


def test_a_message_comes_back_as_it_was_sent() -> None:
    assert parse(frame(APPEND, "g"), "node 2").message == APPEND


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (changed(type="eval"), "node 2: /type: is no message of Raft"),
        (changed(term="gone"), "/term: is missing"),
        (changed(term=-1), "/term: "),
        (changed(term=2**60), "/term: "),
        (changed(more=1), "/more: is not known here"),
        (changed(prevLogIdx=3), "/entries: are not in order"),
        (changed(term=2), "/entries: are of a later term"),
        (changed(serialized=["", True, False]), "either entries"),
        (changed(entries=[[5, 2, 3, "{}"]]), "/entries/0/2: "),
        (changed(entries=[[5, 2, 1, "x"]]), "must be empty"),
        (changed(entries=[[5, 2, 2, '["drop", 1]']]), "no change of the voters"),
        (changed(entries=[[5, 2, 0, "x" * MAX_COMMAND]]), "too large"),
        (b"[]", "object"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said_in_one_line(data: bytes, why: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(data, "node 2")
    assert why in str(caught.value)


def test_a_command_beyond_its_size_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InputError, match="too large"):
        command(REGULAR, {"op": "x" * MAX_COMMAND})


def test_the_largest_batch_fits_a_frame() -> None:
    smallest = [(bytes([NO_OP]), 10**6 + number, 10**4) for number in range(BATCH)]
    message = APPEND | {"term": 10**4, "prevLogIdx": 10**6 - 1, "entries": smallest}
    assert len(frame(message, "g" * 32)) <= MAX_FRAME
    quotes = [
        (bytes([REGULAR]) + b'"' * (MAX_COMMAND - 2), 5 + number, 3) for number in range(BATCH // MAX_COMMAND + 1)
    ]
    assert len(frame(APPEND | {"entries": quotes}, "g" * 32)) <= MAX_FRAME
