# SPDX-License-Identifier: MIT
"""The signed peers file in a node's data directory: which one it is, and a newer one put there from a peer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.peers_file import parse_peers
from blixard.errors import BlixardError, InputError, TrustError
from blixard.gossip.messages import FileMark
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.model.numbers import is_ahead
from blixard.sources.file_stamps import Stamp, stamp
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, parse_sig, verify_peers

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.trust.highest_seq import HighestSeq

FILE_MODE = 0o644
"""As a rollout leaves it."""


class SignedFile:
    """The peers file at `path` and its signature. What reads or writes is blocking, and is called one at a time.

    Attributes:
        mark: signer and number of the file that is there and good, or that waits to be written.
        problem: why a newer file is not written yet, on one line; None when there is nothing to write.
    """

    def __init__(
        self,
        path: Path,
        *,
        cluster: str,
        signers: Callable[[], Collection[EndpointId]],
        seen: HighestSeq,
        wall: Callable[[], datetime],
    ) -> None:
        """`signers` gives those that are trusted now; with none, no file travels."""
        self._path = path
        self._cluster = cluster
        self._signers = signers
        self._seen = seen
        self._wall = wall
        self._looked_at: object = None
        self._unwritten: tuple[bytes, bytes] | None = None
        self.mark: FileMark | None = None
        self.problem: str | None = None

    def wants(self, theirs: FileMark | None) -> bool:
        """Tell whether a file so marked is newer than all that was seen, and signed by somebody who is trusted."""
        signer = next((each for each in self._signers() if theirs is not None and each.raw == theirs.signer), None)
        if theirs is None or signer is None or is_ahead(theirs.number, self._wall()):
            return False
        if self.mark is not None:
            return theirs.number > max(self.mark.number, self._floor(signer))
        return theirs.number >= self._floor(signer)

    def look(self) -> bool:
        """Find out which file is there; tell whether that is another than before."""
        before = self.mark
        if self._unwritten is None:
            now = self._state()
            if now != self._looked_at or now is None:
                self.mark = self._marked()
                self._looked_at = now
        return self.mark != before

    def read(self) -> tuple[bytes, bytes] | None:
        """Return the file and its signature, those that are marked; None when they are others by now."""
        try:
            data = self._unwritten or self._read()
            return data if self._verify(*data) == self.mark else None
        except BlixardError:
            return None

    def take(self, data: bytes, signature: bytes, announced: FileMark) -> None:
        """Put a newer file in the place of the one that is there, as a rollout does.

        Raises:
            InputError: it is no peers file, or the signature none.
            TrustError: the signature does not hold, or the file is older than was `announced`.
        """
        _, number, signer, _ = parse_sig(signature)
        if number < announced.number:
            raise TrustError(f"has number {number}, {announced.number} was announced")
        if not self.wants(FileMark(signer.raw, number)) and signer in self._signers():
            return  # one as new has come by another way meanwhile
        mark = self._verify(data, signature)
        parse_peers(data)
        self.mark, self._unwritten = mark, (data, signature)
        self.write_again()

    def write_again(self) -> None:
        """Try to write what could not be written; who sees only one of the two keeps the peers that it has."""
        if self._unwritten is None:
            return
        data, signature = self._unwritten
        try:
            write_atomic(self._path, data, FILE_MODE, follow=False)
            write_atomic(self._signature_path, signature, FILE_MODE, follow=False)
        except InputError as error:
            self.problem = str(error)
        else:
            self.problem = self._unwritten = self._looked_at = None

    @property
    def _signature_path(self) -> Path:
        return self._path.with_name(self._path.name + SIGNATURE_SUFFIX)

    def _state(self) -> object:
        """Return what tells that nothing changed; None while a change would not show."""
        stamps: tuple[Stamp | None, ...] = (stamp(self._path), stamp(self._signature_path))
        now = self._wall().timestamp()
        is_settled = all(each is None or each.is_settled(now) for each in stamps)
        return (stamps, frozenset(self._signers())) if is_settled else None

    def _marked(self) -> FileMark | None:
        if not self._signers():
            return None
        try:
            return self._verify(*self._read())
        except BlixardError:
            return None  # the static source says what is wrong with it

    def _read(self) -> tuple[bytes, bytes]:
        return read_limited(self._path, MAX_PEERS_BYTES), read_limited(self._signature_path, MAX_SIGNATURE_BYTES)

    def _verify(self, data: bytes, signature: bytes) -> FileMark:
        _, _, signer, _ = parse_sig(signature)
        number = verify_peers(
            data,
            signature,
            signers=self._signers(),
            cluster=self._cluster,
            min_seq=self._floor(signer),
            now=self._wall(),
        )
        return FileMark(signer.raw, number)

    def _floor(self, signer: EndpointId) -> int:
        return self._seen.lowest(str(self._path), self._cluster, signer, self._signers())
