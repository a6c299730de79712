# SPDX-License-Identifier: MIT
"""The sparse mesh of more than 64 nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulation.network import endpoint

from blixard.dialling.overlay import Overlay, neighbours, rings_for
from blixard.model.ids import EndpointId

IDS = [endpoint(5, number) for number in range(400)]
Graph = Mapping[EndpointId, Iterable[EndpointId]]


def graph(ids: list[EndpointId]) -> dict[EndpointId, Set[EndpointId]]:
    """Everyone's neighbours, each computed by that node itself."""
    return {own: neighbours(own, [each for each in ids if each != own]) for own in ids}


def reached(edges: Graph, start: EndpointId, alive: set[EndpointId]) -> set[EndpointId]:
    """Whom one can get to from `start` through those who are alive."""
    seen, todo = {start}, [start]
    while todo:
        for other in edges[todo.pop()]:
            if other in alive and other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


@pytest.fixture(scope="module")
def edges() -> dict[EndpointId, Set[EndpointId]]:
    return graph(IDS)


def test_an_edge_is_the_same_from_each_side(edges: dict[EndpointId, Set[EndpointId]]) -> None:
    assert all(own in edges[other] for own in edges for other in edges[own])


def test_everybody_reaches_everybody(edges: dict[EndpointId, Set[EndpointId]]) -> None:
    assert reached(edges, IDS[0], set(IDS)) == set(IDS)


def test_nobody_has_more_neighbours_than_twice_the_rings(edges: dict[EndpointId, Set[EndpointId]]) -> None:
    assert rings_for(len(IDS)) == 9
    assert all(len(edges[own]) <= 18 for own in edges)
    assert all(len(edges[own]) >= 9 for own in edges)


@pytest.mark.parametrize("seed", range(10))
def test_half_of_all_nodes_may_go_and_the_rest_is_still_one_mesh(
    edges: dict[EndpointId, Set[EndpointId]], seed: int
) -> None:
    alive = set(Random(seed).sample(IDS, len(IDS) // 2))
    assert reached(edges, next(iter(alive)), alive) == alive


def test_one_node_more_changes_the_neighbours_of_few(edges: dict[EndpointId, Set[EndpointId]]) -> None:
    grown = graph([*IDS, endpoint(5, 400)])
    changed = [own for own in IDS if grown[own] != edges[own]]
    assert len(changed) <= 2 * rings_for(len(IDS))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=120))
def test_joining_and_leaving_gives_the_same_as_computing_anew(steps: list[tuple[bool, int]]) -> None:
    overlay = Overlay(IDS[0])
    present: dict[EndpointId, None] = {}
    for joins, number in steps:
        if joins:
            overlay.add(IDS[number])
            present[IDS[number]] = None
        else:
            overlay.remove(IDS[number])
            present.pop(IDS[number], None)
        assert len(overlay) == len(present)
    assert overlay.neighbours() == neighbours(IDS[0], reversed(present))


def test_a_node_counts_itself_among_the_nodes_for_which_there_are_rings() -> None:
    overlay = Overlay(IDS[0])
    for number in range(1, 16):
        overlay.add(IDS[number])
    assert len(overlay._rings) == 4, "16 nodes"
    overlay.add(IDS[16])
    assert len(overlay._rings) == 5, "17 nodes"


def test_every_version_of_a_node_computes_the_same_graph() -> None:
    around = [IDS.index(each) for each in neighbours(IDS[0], IDS[1:41])]
    assert around == [28, 2, 22, 33, 20, 26, 27, 25, 15, 10, 24]


@pytest.mark.parametrize(("nodes", "rings"), [(1, 4), (2, 4), (16, 4), (17, 5), (65, 7), (1000, 10), (10**6, 16)])
def test_the_number_of_rings_is_the_logarithm_of_the_number_of_nodes(nodes: int, rings: int) -> None:
    assert rings_for(nodes) == rings
