# SPDX-License-Identifier: MIT
"""Keeps PySyncObj 0.3.17 from cutting off entries that it has and has acknowledged.

On `append_entries` the engine deletes all that it has after the previous entry, without a look at the terms, then adds
what came. What was sent twice (after a lost answer, or in a burst) thereby takes acknowledged entries away for a
moment, in which they may be needed. Here such a message becomes one that begins where the log differs, as the Raft
paper has it (section 5.3). Answers are held against the term: one to a former leadership is not taken for this one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Entry = tuple[bytes, int, int]
"""A command, its index, its term: as the engine keeps them."""

Message = dict[str, Any]


class Log(Protocol):
    """What is asked of a journal: entries in order, the first index is that of the first."""

    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> Entry: ...


@dataclass(frozen=True)
class Guarded:
    """What becomes of one message.

    Attributes:
        message: for the engine; None when nothing is.
        answer: to be sent back beside what the engine answers.
    """

    message: Message | None
    answer: Message | None = None


def guard_append(message: Message, log: Log, committed: int) -> Guarded:
    """Return what the engine may be given of an `append_entries` of the present or a later term.

    Args:
        message: as it came, checked for its form.
        log: this node's journal.
        committed: the index up to which this node knows its entries as committed.
    """
    if "prevLogIdx" not in message:
        return Guarded(message)
    if log[len(log) - 1][2] == message["term"]:
        # The last entry is of this very leader, so that all here is as the leader has it: nothing is to be cut off.
        return _whole_log_is_the_leaders(message, log)
    matched = _matching(message, log)
    if matched is None:
        return Guarded(_housekeeping(message, committed), _answer(_try_next(message, log, committed), is_good=False))
    entries = [entry for entry in message["entries"] if entry[1] > matched]
    if not entries and _last(log) > matched:
        # Nothing here contradicts the leader, and nothing says that it has what follows.
        return Guarded(_housekeeping(message, matched), _answer(matched + 1, is_good=True))
    return Guarded({**message, "prevLogIdx": matched, "prevLogTerm": _term(log, matched), "entries": entries})


def _whole_log_is_the_leaders(message: Message, log: Log) -> Guarded:
    last = _last(log)
    entries = [entry for entry in message["entries"] if entry[1] > last]
    previous = message["prevLogIdx"]
    if previous is None or previous > last or (entries and entries[0][1] != last + 1):
        return Guarded(_housekeeping(message, last), _answer(last + 1, is_good=False))
    return Guarded({**message, "prevLogIdx": last, "prevLogTerm": _term(log, last), "entries": entries})


def _matching(message: Message, log: Log) -> int | None:
    """Return the last index up to which the message and the log agree; None when they do not at its beginning."""
    previous = message["prevLogIdx"]
    if previous is None or _term(log, previous) != message["prevLogTerm"]:
        return None
    matched: int = previous
    for _, index, term in message["entries"]:
        if _term(log, index) != term:
            break
        matched = index
    return matched


def _try_next(message: Message, log: Log, committed: int) -> int:
    """Return where the leader is to try next: behind this log's end, or before the whole term that does not fit."""
    previous = message["prevLogIdx"]
    if previous is not None and previous > _last(log):
        return _last(log) + 1
    index = previous if previous is not None else 0
    wrong = _term(log, index)
    while wrong is not None and index > committed + 1 and _term(log, index - 1) == wrong:
        index -= 1
    return max(committed + 1, index)


def _last(log: Log) -> int:
    return log[len(log) - 1][1]


def _term(log: Log, index: int) -> int | None:
    position = index - log[0][1]
    return log[position][2] if 0 <= position < len(log) else None


def _housekeeping(message: Message, commit_at_most: int) -> Message:
    """Return what makes the engine follow the leader, and commit what it may, without touching its log."""
    commit = min(message["commit_index"], commit_at_most)
    return {"type": "append_entries", "term": message["term"], "commit_index": commit, "serialized": None}


def _answer(next_index: int, *, is_good: bool) -> Message:
    return {"type": "next_node_idx", "next_node_idx": max(2, next_index), "reset": not is_good, "success": is_good}


def guard_answer(message: Message, *, term: int, last: int) -> Message | None:
    """Return what a leader may be given of a `next_node_idx`; None for nothing.

    Args:
        message: as it came, with the `term` that it answers in.
        term: the present one.
        last: the last index of this node's journal: no answer leads beyond it.
    """
    if message["term"] != term:
        return None
    return {**message, "next_node_idx": max(2, min(message["next_node_idx"], last + 1))}


def is_of_order(entries: Sequence[Entry], previous: int | None) -> bool:
    """Tell whether the indexes of `entries` follow `previous` and each other, and terms never fall."""
    if not entries:
        return True
    if previous is None:
        return False
    return all(index == previous + 1 + place for place, (_, index, _) in enumerate(entries)) and all(
        one[2] <= other[2] for one, other in itertools.pairwise(entries)
    )


def in_term(message: Mapping[str, Any], term: int) -> Message:
    """Return an answer with the term that it is given in."""
    return {**message, "term": term}
