# SPDX-License-Identifier: MIT
"""From the bytes of a peers file and its signature to sightings, wherever the bytes came from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import sha256_hex
from blixard.documents.peers_file import format_peers, parse_peers
from blixard.errors import BlixardError, InputError, TrustError
from blixard.sources.base import Failed, Found, Sighting
from blixard.sources.snapshots import Snapshot
from blixard.sources.worker import StillBusy, Worker
from blixard.trust.peers_signature import parse_sig, verify_peers

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.base import Answer
    from blixard.sources.snapshots import SnapshotStore
    from blixard.trust.attestation import AttestationCheck
    from blixard.trust.highest_seq import HighestSeq


@dataclass(frozen=True)
class _Signed:
    """What a signature that holds says."""

    cluster: str
    signer: EndpointId
    seq: int


@dataclass(frozen=True)
class _Recalled:
    """What is remembered, and verified again."""

    found: Found
    signed: _Signed | None
    taken_at: datetime


class PeersReader:
    """Verifies and parses the peers files of one place; bytes that did not change cost nothing.

    What was good is kept in `memory`, and is what counts after a restart until the place is good again.
    """

    def __init__(
        self,
        place: str,
        *,
        name: str,
        check: AttestationCheck,
        wall: Callable[[], datetime],
        signers: Collection[EndpointId] = (),
        cluster: str | None = None,
        seen: HighestSeq | None = None,
        memory: SnapshotStore | None = None,
    ) -> None:
        """`signers`: when there are any, the file needs a `.sig` by one of them, with a number not below `seen`.

        `name` is that of the source, under which `memory` keeps its file.
        """
        self._place = place
        self._name = name
        self._check = check
        self._wall = wall
        self._signers = frozenset(signers)
        self._cluster = cluster
        self._seen = seen
        self._memory = memory
        self._digest: str | None = None
        self._signed: _Signed | None = None
        self._recalling = threading.Lock()
        self._worker: Worker[Found | None] = Worker()
        self._has_recalled = memory is None
        self._recalled: _Recalled | None = None
        self.good: Found | None = None

    @property
    def wants_signature(self) -> bool:
        """Whether the bytes of a signature are needed."""
        return bool(self._signers)

    @property
    def is_superseded(self) -> bool:
        """Whether a newer file than the one here was taken from elsewhere."""
        return self.good is not None and self._signed is not None and self._signed.seq < self._floor(self._signed)

    def read(self, data: bytes, signature: bytes = b"") -> Found:
        """Return what the file says; the peers that are as they were stay the same objects.

        Raises:
            InputError: it is no peers file, or the signature no signature file.
            TrustError: the signature does not hold.
        """
        digest = sha256_hex(data + b"\0" + signature)
        if self.good is not None and self.is_superseded:
            # Who was taken out by the newer file must not stay a member by the word of this one.
            problem = f"{self._place}: is older than a file of the same signer that was taken from elsewhere"
            self.good, self._signed = Found((), (problem,), final=True), None
        if self.good is None or digest != self._digest:
            try:
                good, self._signed = self._accept(data, signature)
            except InputError as error:
                raise error.located(file=self._place) from None
            except TrustError as error:
                raise TrustError(f"{self._place}: {error}") from None
            self._keep(data, signature, good)
            self.good, self._digest = good, digest
        return self.good

    def forget(self) -> None:
        """Remember nothing of this place: it has no peers file any more, and that is meant."""
        if self._memory is not None:
            self._memory.forget(self._name)
        self._has_recalled, self._recalled = True, None

    def recall(self) -> Found | None:
        """Return what was last good here before the restart; None when there is nothing that still holds. Blocking."""
        with self._recalling:
            if not self._has_recalled:
                self._recalled, self._has_recalled = self._recall(), True
            recalled = self._recalled
            if recalled is not None and recalled.signed and recalled.signed.seq < self._floor(recalled.signed):
                self._recalled = recalled = replace(recalled, found=Found((), final=True), signed=None)
        return None if recalled is None else recalled.found

    async def backed(self, answer: Answer) -> Answer:
        """Return `answer`; a failure, while nothing good was read since the start, with what is remembered."""
        if not isinstance(answer, Failed) or self.good is not None:
            return answer
        try:
            remembered = await self._worker.run(self.recall)
        except StillBusy:
            return answer
        if remembered is None or self._recalled is None:
            return answer
        return replace(answer, remembered=remembered, memory_of=self._recalled.taken_at)

    def _accept(self, data: bytes, signature: bytes) -> tuple[Found, _Signed | None]:
        signed = self._verify(data, signature) if self._signers else None
        peers = parse_peers(data, file=self._place)
        problems = {peer.endpoint_id: problem for peer in peers if (problem := self._check.problem(peer)) is not None}
        before = self.good or (self.recall() if problems else None)
        old = {each.endpoint_id: each for each in before.sightings} if before else {}
        sightings = []
        for peer in peers:
            endpoint_id = peer.endpoint_id
            kept = old.get(endpoint_id)
            if endpoint_id not in problems and (kept is None or kept.peer != peer):
                kept = Sighting(peer, self._place)
            if kept is not None:
                sightings.append(kept)
        if signed is not None and self._seen is not None:
            self._seen.raise_to(self._place, signed.cluster, signed.signer, signed.seq)
        lines = tuple(f"{self._place}: {problem}" for problem in problems.values())
        # A signed file is whole, and newer than the last: it says who is no member any more, too.
        return Found(tuple(sightings), lines, final=signed is not None), signed

    def _verify(self, data: bytes, signature: bytes) -> _Signed:
        cluster, seq, signer, _ = parse_sig(signature)
        signed = _Signed(cluster, signer, seq)
        verify_peers(
            data,
            signature,
            signers=self._signers,
            cluster=self._cluster,
            min_seq=self._floor(signed),
            now=self._wall(),
        )
        return signed

    def _floor(self, signed: _Signed) -> int:
        if self._seen is None:
            return 0
        return self._seen.lowest(self._place, signed.cluster, signed.signer, self._signers)

    def _keep(self, data: bytes, signature: bytes, good: Found) -> None:
        if self._memory is None:
            return
        if not good.sightings and not good.problems:
            self.forget()
            return
        if good.problems and not self._signers:
            # Of a part that was refused, what it said before is what is good.
            data = format_peers(list(good.peers))
        self._memory.keep(self._name, Snapshot(data, signature, self._wall()))

    def _recall(self) -> _Recalled | None:
        assert self._memory is not None  # noqa: S101  (else there is nothing to recall)
        kept = self._memory.recall(self._name)
        if kept is None:
            return None
        try:
            signed = self._verify(kept.data, kept.signature) if self._signers else None
            peers = parse_peers(kept.data)
        except BlixardError:
            # The signers are others, or a newer file was seen since: it counts no more than at its source.
            self._memory.forget(self._name)
            return None
        sightings = tuple(Sighting(peer, self._place) for peer in peers if self._check.problem(peer) is None)
        return _Recalled(Found(sightings, final=signed is not None), signed, kept.taken_at)
