# SPDX-License-Identifier: MIT
"""What two nodes hold, compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blixard.gossip.digest import BUCKET_BYTES, BUCKETS, Index

NAMES = st.binary(min_size=8, max_size=8)
HOLDINGS = st.dictionaries(NAMES, st.integers(1, 5), max_size=40)


def index_of(holding: dict[bytes, int]) -> Index:
    index = Index()
    for name, number in holding.items():
        index.put(name, number)
    return index


@given(HOLDINGS, HOLDINGS)
def test_what_one_lacks_is_what_the_other_gives_and_digests_are_equal_when_there_is_nothing(
    ours: dict[bytes, int], theirs: dict[bytes, int]
) -> None:
    one, other = index_of(ours), index_of(theirs)
    covered, pairs = other.pairs(other.differing(one.buckets()), most=1000, start=7)
    give, want = one.compare(covered, dict(pairs))
    assert set(give) == {name for name in ours if ours[name] > theirs.get(name, 0)}
    assert set(want) == {name for name in theirs if theirs[name] > ours.get(name, 0)}
    assert (one.digest() == other.digest()) == (ours == theirs)


@given(HOLDINGS)
def test_the_digest_depends_on_what_is_held_and_not_on_the_way_there(holding: dict[bytes, int]) -> None:
    index = index_of(dict(reversed(holding.items())))
    index.put(b"12345678", 9)
    index.buckets()
    index.put(b"12345678", holding.get(b"12345678", 0))
    assert index.digest() == index_of(holding).digest()
    assert len(index.buckets()) == BUCKETS * BUCKET_BYTES


def test_more_than_fits_is_told_in_whole_buckets_from_another_one_each_time() -> None:
    index = index_of({bytes([bucket]) + bytes([number] * 7): 1 for bucket in range(4) for number in range(5)})
    assert [index.pairs([0, 1, 2, 3], most=11, start=start)[0] for start in (0, 3, 9)] == [[0, 1], [0, 3], [0, 1]]
    assert len(index.pairs([2], most=3, start=0)[1]) == 3


def test_the_same_number_again_changes_nothing() -> None:
    index = index_of({b"12345678": 3})
    assert not index.put(b"12345678", 3)
    assert not index.put(b"87654321", 0)
    assert index.put(b"12345678", 0)
    assert index.get(b"12345678") == 0
