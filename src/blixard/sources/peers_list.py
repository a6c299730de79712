# SPDX-License-Identifier: MIT
"""From the bytes of a peers file and its signature to sightings, wherever the bytes came from."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING

from blixard.documents.canonical import sha256_hex
from blixard.documents.peers import parse_peers
from blixard.errors import InputError, TrustError
from blixard.sources.base import Found, Sighting
from blixard.trust.fleet import verify_peers

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.attestations import AttestationCheck
    from blixard.sources.seen import SeenNumbers


class PeersReader:
    """Verifies and parses the peers files of one place; bytes that did not change cost nothing."""

    def __init__(
        self,
        place: str,
        *,
        check: AttestationCheck,
        wall: Callable[[], datetime],
        signers: Collection[EndpointId] = (),
        cluster: str | None = None,
        seen: SeenNumbers | None = None,
    ) -> None:
        """`signers`: when there are any, the file needs a `.sig` by one of them, with a number not below `seen`."""
        self._place = place
        self._check = check
        self._wall = wall
        self._signers = frozenset(signers)
        self._cluster = cluster
        self._seen = seen
        self._digest: str | None = None
        self.good: Found | None = None

    @property
    def wants_signature(self) -> bool:
        """Whether the bytes of a signature are needed."""
        return bool(self._signers)

    def read(self, data: bytes, signature: bytes = b"") -> Found:
        """Return what the file says; the peers that are as they were stay the same objects.

        Raises:
            InputError: it is no peers file, or the signature no signature file.
            TrustError: the signature does not hold.
        """
        digest = sha256_hex(data + b"\0" + signature)
        if self.good is None or digest != self._digest:
            try:
                self.good = self._accept(data, signature)
            except InputError as error:
                raise error.located(file=self._place) from None
            except TrustError as error:
                raise TrustError(f"{self._place}: {error}") from None
            self._digest = digest
        return self.good

    def _accept(self, data: bytes, signature: bytes) -> Found:
        seq = self._verify(data, signature) if self._signers else None
        old = {each.endpoint_id: each for each in self.good.sightings} if self.good else {}
        sightings, problems = [], []
        for peer in parse_peers(data, file=self._place):
            endpoint_id = peer.endpoint_id
            problem = self._check.problem(peer)
            if problem is not None:
                problems.append(f"{self._place}: {problem}")
            kept = old.get(endpoint_id)
            if problem is None and (kept is None or kept.peer != peer):
                kept = Sighting(peer, self._place)
            if kept is not None:
                sightings.append(kept)
        if seq is not None and self._seen is not None:
            self._seen.raise_to(self._place, seq)
        # A signed file is whole, and newer than the last: it says who is no member any more, too.
        return Found(tuple(sightings), tuple(problems), final=seq is not None)

    def _verify(self, data: bytes, signature: bytes) -> int:
        floor = self._seen.lowest(self._place) if self._seen is not None else 0
        now = self._wall()
        return verify_peers(data, signature, signers=self._signers, cluster=self._cluster, min_seq=floor, now=now)
