# SPDX-License-Identifier: MIT
"""The highest signature numbers seen, kept across restarts: an older peers file is never taken again, from nowhere.

A number belongs to a cluster and a signer. By which path, URL or mirror a file came makes no difference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from blixard.documents.data_dir_files import SEEN_FILE_NAME
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import loads, pretty_bytes, sha256_hex
from blixard.errors import InputError
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_SAFE_INTEGER
from blixard.model.numbers import is_ahead

Key = TypeVar("Key")
_Value = TypeVar("_Value")

FILE_NAME = SEEN_FILE_NAME
VERSION = 2
MOST = 1024
"""Signers, and places, that are remembered: as many as a configuration names. The one seen longest ago goes first."""

MOST_TOLD = 16
"""Signers of whom a look tells: more than are trusted at once, during changes of the fleet key too."""

_LIMIT = 2 * 1024 * 1024
_LONGEST_PLACE = 256
_MEND = "remove it to accept any number once more, if you know that the peers files are the latest"


@dataclass(frozen=True)
class _Taken:
    """What a place's file was signed with: by whom (None: written down before signers were), and the number."""

    signer: str | None
    seq: int


class HighestSeq:
    """A small JSON file of numbers, by cluster and signer. Without a folder it remembers in memory only.

    Beside them stands for each place who signed what was taken there last. Where another trusted signer follows there,
    as in a change of key, the former one's older files count nowhere any more.

    May be used from several threads.
    """

    def __init__(self, folder: Path | None, wall: Callable[[], datetime]) -> None:
        """Read what is there, also in the form of earlier versions (a number for each place).

        `wall` is the date and time: a number far ahead of it counts for nothing.

        Raises:
            InputError: the file is there and cannot be used; to start without it would be to forget it.
        """
        self._path = folder / FILE_NAME if folder is not None else None
        self._wall = wall
        self._lock = threading.Lock()
        self._signers: dict[tuple[str, str], int] = {}
        self._places: dict[str, _Taken] = {}
        self._is_written = True
        self.problem: str | None = None
        """Why the last number could not be written, on one line; None when it was."""
        if self._path is not None and self._path.exists():
            self._signers, self._places = _read(self._path)

    def lowest(self, place: str, cluster: str, signer: EndpointId, trusted: Collection[EndpointId]) -> int:
        """Return the lowest number that may be taken.

        Args:
            place: where the file is from.
            cluster: the one that it is signed for.
            signer: who signed it.
            trusted: the signers that are trusted now.
        """
        now = self._wall()
        taken = self._places.get(_key(place))
        numbers = [self._signers.get((cluster, signer.base64), 0)]
        if taken is not None and taken.signer in (None, *(each.base64 for each in trusted)):
            numbers.append(taken.seq)
        return max((number for number in numbers if not is_ahead(number, now)), default=0)

    def raise_to(self, place: str, cluster: str, signer: EndpointId, number: int) -> None:
        """Remember that `number` was taken; written to disk before this returns.

        A folder that cannot be written to is no reason to refuse a good file: `problem` says so.
        """
        with self._lock:
            taken = self._places.get(_key(place))
            raised = self._raise(cluster, signer.base64, number)
            if taken is not None and taken.signer not in (None, signer.base64):
                raised = self._raise(cluster, taken.signer or "", number) or raised
            new = _Taken(signer.base64, number)
            if taken != new:
                _put(self._places, _key(place), new)
            if raised or taken != new:
                self._is_written = False
                self._write()

    def write_again(self) -> None:
        """Try to write what could not be written."""
        with self._lock:
            if not self._is_written:
                self._write()

    def _raise(self, cluster: str, signer: str, number: int) -> bool:
        before = self._signers.get((cluster, signer), 0)
        if number <= before and not is_ahead(before, self._wall()):
            return False
        _put(self._signers, (cluster, signer), number)
        return True

    def _write(self) -> None:
        if self._path is None:
            self._is_written = True
            return
        try:
            write_atomic(self._path, self._bytes())
        except InputError as error:
            self.problem = str(error)
        else:
            self._is_written, self.problem = True, None

    def _bytes(self) -> bytes:
        signers: dict[str, dict[str, int]] = {}
        for (cluster, signer), number in self._signers.items():
            signers.setdefault(cluster, {})[signer] = number
        places = {place: {"signer": taken.signer, "seq": taken.seq} for place, taken in self._places.items()}
        return pretty_bytes({"version": VERSION, "signers": signers, "places": places})


def numbers_seen(path: Path, cluster: str, place: str, now: datetime) -> dict[str | None, int]:
    """Return the numbers that a node holds the files of `place` against, by signer, of the last few signers.

    What the numbers mean for a signer is for whoever knows whom the node trusts; None stands for each of them.
    Nothing is parsed that would need more than the standard library: a look at a host is cheap.

    Args:
        path: the file of numbers, which may be missing.
        cluster: the node's cluster.
        place: where its peers file is.
        now: its date and time; numbers far ahead of that are left out, as the node leaves them out.

    Raises:
        InputError: the file cannot be used; the node does not start with it.
    """
    if not path.exists():
        return {}
    document = loads(read_limited(path, _LIMIT))
    try:
        signers, taken = _raw(_mapping(document), cluster, _key(place))
        numbers = [*signers.items()][-MOST_TOLD:] + ([(taken.get("signer"), taken.get("seq"))] if taken else [])
        told = [(None if signer is None else str(signer), _number(number)) for signer, number in numbers]
    except ValueError:
        raise InputError("is not what this program writes there", file=str(path), mend=_MEND) from None
    highest: dict[str | None, int] = {}
    for signer, number in told:
        if number and not is_ahead(number, now):
            highest[signer] = max(number, highest.get(signer, 0))
    return highest


def _raw(known: Mapping[str, object], cluster: str, key: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return what the file has of a cluster, numbers by signer, and of a place."""
    if not isinstance(known.get("signers"), dict):
        return {}, ({"seq": known[key]} if key in known else {})
    signers = _mapping(known["signers"]).get(cluster, {})
    return _mapping(signers), _mapping(_mapping(known.get("places", {})).get(key, {}))


def _key(place: str) -> str:
    """Return what a place is remembered by: of any length, it is bounded."""
    data = place.encode("utf-8", "surrogatepass")
    return place if place.isprintable() and len(data) <= _LONGEST_PLACE else f"sha256:{sha256_hex(data)}"


def _put(mapping: dict[Key, _Value], key: Key, value: _Value) -> None:
    mapping.pop(key, None)
    mapping[key] = value
    if len(mapping) > MOST:
        del mapping[next(iter(mapping))]


def _read(path: Path) -> tuple[dict[tuple[str, str], int], dict[str, _Taken]]:
    data = read_limited(path, _LIMIT)
    try:
        obj = loads(data)
        if not isinstance(obj, dict):
            raise ValueError
        if not isinstance(obj.get("signers"), dict):
            return {}, {_key(place): _Taken(None, _number(number)) for place, number in obj.items()}
        if obj.get("version") != VERSION:
            raise ValueError
        signers = {
            (cluster, EndpointId.parse(signer).base64): _number(number)
            for cluster, numbers in _mapping(obj["signers"]).items()
            for signer, number in _mapping(numbers).items()
        }
        return signers, {place: _taken(_mapping(taken)) for place, taken in _mapping(obj.get("places")).items()}
    except (ValueError, InputError):
        raise InputError("is not what this program writes there", file=str(path), mend=_MEND) from None


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _taken(values: Mapping[str, object]) -> _Taken:
    signer = values.get("signer")
    if signer is not None:
        signer = EndpointId.parse(signer).base64 if isinstance(signer, str) else _number(None)
    return _Taken(str(signer) if signer is not None else None, _number(values.get("seq")))


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SAFE_INTEGER:
        raise ValueError
    return value
