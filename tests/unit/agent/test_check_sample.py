# SPDX-License-Identifier: MIT
"""Whom a node checks, so that all nodes together leave nobody out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import peer

from blixard.agent.check_sample import SAMPLED_ABOVE, Sample, chosen, parse_sample, sample_size
from blixard.errors import InputError

PEERS = {number: peer(number) for number in range(1, 151)}
MEMBERS = st.one_of(
    st.sets(st.sampled_from(sorted(PEERS)), min_size=1),
    st.integers(1, len(PEERS)).map(lambda nodes: set(range(1, nodes + 1))),
)


def run(members: set[int], sample: Sample, missing: set[int] = frozenset()) -> dict[int, list[int]]:  # type: ignore[assignment]
    """Whom each of `members` checks; those that are `missing` check nobody."""
    known = [PEERS[number] for number in members]
    return {own: [each.node_id for each in chosen(known, own, sample)] for own in members - missing}


def connected(nodes: set[int], edges: dict[int, list[int]]) -> bool:
    """Whether the edges among `nodes` leave them in one piece."""
    beside: dict[int, set[int]] = {node: set() for node in nodes}
    for one, others in edges.items():
        for other in nodes.intersection(others):
            beside[one].add(other)
            beside[other].add(one)
    found, new = set(), {min(nodes)}
    while new:
        found |= new
        new = set[int]().union(*(beside[node] for node in new)) - found
    return found == nodes


@given(MEMBERS, st.one_of(st.just("auto"), st.just("all"), st.integers(1, 30)))
def test_every_node_is_checked_by_as_many_others_as_it_checks_and_all_hang_together(
    members: set[int], sample: Sample
) -> None:
    edges = run(members, sample)
    times = sample_size(sample, len(members))
    assert {own: len(set(others) - {own}) for own, others in edges.items()} == dict.fromkeys(members, times)
    checked = Counter(other for others in edges.values() for other in others)
    assert checked == Counter(dict.fromkeys(members if times else (), times))
    assert connected(members, edges)


@given(MEMBERS.filter(lambda members: len(members) > 1), st.integers(1, 30), st.data())
def test_nodes_that_do_not_check_are_checked_and_the_others_still_hang_together(
    members: set[int], sample: int, data: st.DataObject
) -> None:
    most = (sample_size(sample, len(members)) - 1) // 2
    missing = data.draw(st.sets(st.sampled_from(sorted(members)), max_size=most))
    edges = run(members, sample, missing)
    assert set().union(*edges.values()) == members
    assert connected(members - missing, edges)


@given(MEMBERS, st.integers(1, 15).map(lambda half: 2 * half))
def test_with_an_even_sample_of_two_nodes_that_check_at_different_times_the_later_one_checks_the_earlier_one(
    members: set[int], sample: int
) -> None:
    edges = run(members, sample)
    assert all(one in edges[other] for one, others in edges.items() for other in others)


def test_racks_of_neighbours_are_checked_from_other_racks() -> None:
    edges = run(set(range(1, 101)), "auto", missing=set(range(41, 61)))
    assert set(range(41, 61)) <= {other for others in edges.values() for other in others}


@pytest.mark.parametrize(
    ("nodes", "others"), [(0, 0), (1, 0), (2, 1), (SAMPLED_ABOVE, 63), (65, 14), (100, 14), (128, 14), (129, 16)]
)
def test_a_fleet_of_more_than_64_nodes_is_sampled_by_the_logarithm_of_its_size(nodes: int, others: int) -> None:
    assert sample_size("auto", nodes) == others
    assert sample_size("all", nodes) == max(0, nodes - 1)


def test_a_stranger_checks_as_many_as_it_is_told_and_all_where_it_is_told_all() -> None:
    known = [PEERS[number] for number in range(1, 14)]
    assert [each.node_id for each in chosen(known, None, "all")] == list(range(1, 14))
    assert len(chosen(known, None, 2)) == 2
    assert chosen([], None, 5) == []


def test_the_choice_is_sorted_and_does_not_depend_on_the_order_of_the_peers() -> None:
    known = [PEERS[number] for number in (5, 3, 9, 1, 7)]
    assert [each.node_id for each in chosen(known, 4, 2)] == [3, 5]
    assert chosen(known[::-1], 4, 3) == chosen(known, 4, 3)


@pytest.mark.parametrize(
    ("value", "sample"),
    [("auto", "auto"), ("all", "all"), (0, "all"), ("0", "all"), (3, 3), ("14", 14), (50_000, 50_000)],
)
def test_a_sample_is_written_as_a_word_or_as_a_number(value: Any, sample: Sample) -> None:
    assert parse_sample(value) == sample


@pytest.mark.parametrize("value", ["", "none", -1, "-1", 1.5, "1.5", True, None, [], "٣", 50_001, "9" * 5000])
def test_what_is_no_sample_is_refused_with_what_to_write(value: Any) -> None:
    with pytest.raises(InputError, match=r"is no sample of nodes.*write auto, all, or how many") as caught:
        parse_sample(value, "/sample")
    assert caught.value.place == "/sample"
