# SPDX-License-Identifier: MIT
"""The page of a connectivity report: its bytes, its policy, and that no text of a host's leaves its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.browser.reports import REFUSED, TIMEOUT, one_way, report

from blixard.pages.mesh_page import MAX_FINDINGS, mesh_page

HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "</script><script>alert(1)</script>",
            "<!--<script>",
            "]]>",
            '"><img src=x onerror=alert(1)>',
            "' onmouseover='alert(1)",
            "&lt;/script&gt;",
            "\u2028\u202e\x00\x1b[2J",
            "</title></style></noscript>",
        ]
    ),
)


class Elements(HTMLParser):
    """The elements of a page with their attributes, as a browser would find them, and what its scripts hold."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.held: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self._open = tag
        if tag in self.held:
            self.held[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.held:
            self.held[self._open][-1] += data

    @property
    def data(self) -> Any:
        """What the page's script reads."""
        return json.loads(self.held["script"][0])


def _with_texts(name: str, message: str) -> dict[str, Any]:
    """A report in which a host says these texts of itself, wherever it can."""
    made = report(3, lambda a, b: {**TIMEOUT, "error": {"kind": name, "message": message}} if a == 1 == b - 1 else None)
    for node in made["nodes"]:
        node.update(name=name, version=message, groups=[name], problems=[message], error=message)
    for edge in made["edges"]:
        edge.update(from_name=name, to_name=message)
    return made


def test_the_same_reports_give_the_same_bytes() -> None:
    now, before = report(5, one_way(2, 3)), report(5)
    assert mesh_page(now, before) == mesh_page(json.loads(json.dumps(now)), json.loads(json.dumps(before)))


def test_the_policy_allows_the_pages_own_style_and_script_by_their_digests_and_nothing_else() -> None:
    page = mesh_page(report(3))
    held = Elements(page).held

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    found = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found
    (style,), (_, script) = held["style"], held["script"]
    assert found[1].decode().split("; ") == [
        "default-src 'none'",
        f"style-src {digest(style)}",
        f"script-src {digest(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_page_names_no_other_place_and_has_no_handler_or_style_in_an_attribute() -> None:
    page = mesh_page(report(3, one_way(1, 2)), report(3))
    names = {name for _, attributes in Elements(page).found for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href", "style", "srcdoc", "action"}
    assert set(re.findall(rb"https?://[^\s\"']+", page)) == {b"http://www.w3.org/2000/svg"}


@given(HOSTILE, HOSTILE)
def test_no_text_of_a_host_adds_an_element_or_an_attribute_to_the_page(name: str, message: str) -> None:
    plain, hostile = _with_texts("a", "b"), _with_texts(name or "a", message or "b")
    found = Elements(mesh_page(hostile, hostile))
    assert found.found == Elements(mesh_page(plain, plain)).found
    assert found.data["edges"]["start"] == [0, 0, 1, 1, 2, 2]


def test_a_very_long_text_of_a_host_is_cut() -> None:
    assert len(mesh_page(_with_texts("n" * 100_000, "m" * 100_000))) < 80_000


def test_of_very_many_findings_the_first_are_listed_with_how_many_more_there_are() -> None:
    page = mesh_page(report(200, lambda a, b: REFUSED if b == a + 1 else None, sample=0)).decode()
    listed = page[page.index('id="wrong"') : page.index("</ul>")]
    assert listed.count("<li>") == MAX_FINDINGS + 1
    assert "… and 149 more" in listed


def test_node_ids_beyond_what_a_script_can_count_are_whole() -> None:
    made = report(3)
    made["nodes"][2]["node_id"] = 2**64 - 1
    for edge in made["edges"]:
        for end in ("from", "to"):
            edge[end] = 2**64 - 1 if edge[end] == 3 else edge[end]
    assert Elements(mesh_page(made)).data["numbers"] == ["1", "2", "18446744073709551615"]


def test_a_thousand_nodes_with_sampled_edges_take_less_than_five_megabytes() -> None:
    assert len(mesh_page(report(1000, sample=20, stopped=[611]), report(1000, sample=20))) < 5_000_000
