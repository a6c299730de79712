# SPDX-License-Identifier: MIT
"""A peers file: all peers in one list, signed where signers are trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.canonical import sha256_hex
from blixard.documents.files import read_limited
from blixard.documents.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.documents.peers import parse_peers
from blixard.errors import InputError, TrustError
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting
from blixard.sources.looking import LookingSource
from blixard.sources.stamps import Stamp, stamp
from blixard.trust.fleet import SIGNATURE_SUFFIX, verify_peers

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.attestations import AttestationCheck
    from blixard.sources.seen import SeenNumbers


class StaticFile(LookingSource):
    """Reads a peers file again when it has changed, and parses it again when its bytes have.

    A file that was never there says nothing: it may be written later. One that was there and is gone is a failure,
    since a share that is not mounted looks the same; to take all peers away, write `[]`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        check: AttestationCheck,
        wall: Callable[[], datetime],
        signers: Collection[EndpointId] = (),
        cluster: str | None = None,
        seen: SeenNumbers | None = None,
    ) -> None:
        """`signers`: when there are any, the file needs a `.sig` by one of them, with a number not below `seen`."""
        self._path = Path(path).expanduser()
        super().__init__(f"static:{self._path}", "static")
        self._check = check
        self._wall = wall
        self._signers = frozenset(signers)
        self._cluster = cluster
        self._seen = seen
        self._stamps: tuple[Stamp | None, ...] | None = None
        self._digest: str | None = None
        self._good: Found | None = None
        self._answer: Answer = Nothing()

    def is_outdated(self) -> bool:
        return self._stamps is None or self._take_stamps() != self._stamps

    def look(self) -> Answer:
        stamps = self._take_stamps()
        if stamps != self._stamps:
            self._answer = self._read()
            # A file that changed just now may change again within one tick of its times: look again next time.
            now = self._wall().timestamp()
            self._stamps = stamps if all(each is None or each.is_settled(now) for each in stamps) else None
        return self._answer

    def _take_stamps(self) -> tuple[Stamp | None, ...]:
        paths = [self._path, self._signature_path()] if self._signers else [self._path]
        return tuple(stamp(path) for path in paths)

    def _signature_path(self) -> Path:
        return self._path.with_name(self._path.name + SIGNATURE_SUFFIX)

    def _read(self) -> Answer:
        if not os.path.lexists(self._path):
            if self._good is None:
                return Nothing()
            return Failed(f"{self._path}: has vanished, its peers are kept; to take them away write [] there")
        try:
            data = read_limited(self._path, MAX_PEERS_BYTES)
            signature = read_limited(self._signature_path(), MAX_SIGNATURE_BYTES) if self._signers else b""
            digest = sha256_hex(data + b"\0" + signature)
            if digest != self._digest or not isinstance(self._answer, Found):
                self._good = self._accept(data, signature)
                self._digest = digest
        except InputError as error:
            return Failed(str(error.located(file=str(self._path))))
        except TrustError as error:
            return Failed(f"{self._path}: {error}")
        assert self._good is not None  # noqa: S101 # set by _accept above or with the digest
        return self._good

    def _accept(self, data: bytes, signature: bytes) -> Found:
        """Verify and parse; the peers that are as they were stay the same objects."""
        seq = self._verify(data, signature) if self._signers else None
        old = {each.endpoint_id: each for each in self._good.sightings} if self._good else {}
        sightings, problems = [], []
        for peer in parse_peers(data, file=str(self._path)):
            endpoint_id = peer.endpoint_id
            problem = self._check.problem(peer)
            if problem is not None:
                problems.append(f"{self._path}: {problem}")
            kept = old.get(endpoint_id)
            if problem is None and (kept is None or kept.peer != peer):
                kept = Sighting(peer, str(self._path))
            if kept is not None:
                sightings.append(kept)
        if seq is not None and self._seen is not None:
            self._seen.raise_to(str(self._path), seq)
        return Found(tuple(sightings), tuple(problems))

    def _verify(self, data: bytes, signature: bytes) -> int:
        floor = self._seen.lowest(str(self._path)) if self._seen is not None else 0
        return verify_peers(data, signature, signers=self._signers, cluster=self._cluster, min_seq=floor)
