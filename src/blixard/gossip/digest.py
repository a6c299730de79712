# SPDX-License-Identifier: MIT
"""Which entries a node holds, as short texts to compare: one for all, one for each bucket, the numbers in a bucket.

An entry is named by the first eight bytes of its endpoint id, and its version is the number of its attestation. The
first byte says in which of 256 buckets it is. Only buckets in which something changed are hashed again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence

PREFIX_BYTES = 8
BUCKETS = 256
BUCKET_BYTES = 8
DIGEST_BYTES = 16

PAIR = struct.Struct(">8sQ")
"""An entry's name and number."""

Pair = tuple[bytes, int]


class Index:
    """The names and numbers of the entries that a node holds."""

    def __init__(self) -> None:
        self._buckets: list[dict[bytes, int]] = [{} for _ in range(BUCKETS)]
        self._hashes = [_hash({})] * BUCKETS
        self._dirty: set[int] = set()
        self._joined = b"".join(self._hashes)

    def get(self, name: bytes) -> int:
        """Return the number of an entry; 0 where there is none."""
        return self._buckets[name[0]].get(name, 0)

    def put(self, name: bytes, number: int) -> bool:
        """Set the number of an entry; 0 removes it. Tell whether that changed anything."""
        bucket = self._buckets[name[0]]
        if bucket.get(name, 0) == number:
            return False
        if number:
            bucket[name] = number
        else:
            del bucket[name]
        self._dirty.add(name[0])
        return True

    def buckets(self) -> bytes:
        """Return the hashes of all buckets, one after the other."""
        if self._dirty:
            for bucket in self._dirty:
                self._hashes[bucket] = _hash(self._buckets[bucket])
            self._dirty.clear()
            self._joined = b"".join(self._hashes)
        return self._joined

    def digest(self) -> bytes:
        """Return one hash of everything."""
        return hashlib.sha256(self.buckets()).digest()[:DIGEST_BYTES]

    def differing(self, theirs: bytes) -> list[int]:
        """Return the buckets whose hashes are others than ours."""
        ours = self.buckets()
        places = range(0, BUCKETS * BUCKET_BYTES, BUCKET_BYTES)
        return [at // BUCKET_BYTES for at in places if ours[at : at + BUCKET_BYTES] != theirs[at : at + BUCKET_BYTES]]

    def pairs(self, buckets: Sequence[int], *, most: int, start: int) -> tuple[list[int], list[Pair]]:
        """Return what is in these buckets, as many of them as `most` entries allow, and which of them that is.

        Args:
            buckets: which, ascending.
            most: entries at most. A bucket that alone has more is cut.
            start: the bucket to begin with, so that not the same ones always come first.
        """
        covered: list[int] = []
        pairs: list[Pair] = []
        for bucket in [*(each for each in buckets if each >= start), *(each for each in buckets if each < start)]:
            held = sorted(self._buckets[bucket].items())
            if pairs and len(pairs) + len(held) > most:
                break
            covered.append(bucket)
            pairs += held[:most]
        return sorted(covered), pairs

    def compare(self, buckets: Iterable[int], theirs: Mapping[bytes, int]) -> tuple[list[bytes], list[bytes]]:
        """Return the names of the entries that they lack or have older, and of those that this node does."""
        give = [
            name
            for bucket in buckets
            for name, number in sorted(self._buckets[bucket].items())
            if number > theirs.get(name, 0)
        ]
        return give, [name for name, number in theirs.items() if number > self.get(name)]


def _hash(bucket: Mapping[bytes, int]) -> bytes:
    return hashlib.sha256(b"".join(PAIR.pack(*pair) for pair in sorted(bucket.items()))).digest()[:BUCKET_BYTES]
