# SPDX-License-Identifier: MIT
"""The page of a running node: what it says, and that nothing of a peer's leaves its place."""

from __future__ import annotations

from hypothesis import given
from tests.browser.statuses import status_page
from tests.unit.pages.test_mesh_page import HOSTILE, Elements

from blixard.pages.node_page import MAX_PEERS, node_page


def test_the_headline_counts_the_connections_and_the_peers_without_one_come_first() -> None:
    page = status_page().decode()
    assert "Connected with 2 of 7 peers" in page
    table = page[page.index('id="peers"') : page.index('id="sources"')]
    states = ["refused", "circuit open", "backing off", "connecting", "discovered", "connected", "connected"]
    assert [table.index(f"<td>{state}</td>") for state in states] == sorted(
        table.index(f"<td>{state}</td>") for state in states
    )


def test_a_node_without_peers_has_a_page_too() -> None:
    page = node_page(cluster="harbour", node_id=1, version="0.1.0", peers=[], sources=[], events=[])
    assert b"No peers known" in page


def test_the_page_has_no_script_and_allows_none() -> None:
    page = status_page()
    assert Elements(page).held["script"] == []
    assert b"script-src" not in page
    assert b"default-src 'none'" in page


@given(HOSTILE)
def test_no_text_of_a_peer_or_a_source_adds_an_element_to_the_page(text: str) -> None:
    assert Elements(status_page(text)).found == Elements(status_page("a")).found


def test_of_very_many_peers_a_bounded_number_is_shown() -> None:
    page = status_page("x" * 10_000, many=10_000)
    assert page.count(b'<tr><th scope="row">') == MAX_PEERS + 2
    assert b"9,500 more" in page
    assert len(page) < 2_000_000
