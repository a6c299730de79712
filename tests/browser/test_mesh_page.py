# SPDX-License-Identifier: MIT
"""The page of a report in a browser: what is broken is seen, reached by keys and pointer, and read by everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.browser.reports import REFUSED, TIMEOUT, one_way, report

from blixard.pages.mesh_page import mesh_page

Open = Callable[..., Page]


def _broken(start: int, end: int) -> dict[str, Any] | None:
    bad: dict[tuple[int, int], dict[str, Any]] = {(7, 3): TIMEOUT, (2, 9): REFUSED}
    return bad.get((start, end))


SMALL = report(3)
ONE_BROKEN = report(3, one_way(2, 3))
BROKEN = report(20, _broken, stopped=[11])
LARGE = report(1000, one_way(1, 2), sample=20, stopped=[611])


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Give the function that opens the page of a report; at the end, nothing may have been complained of or fetched."""
    said: list[str] = []
    contexts = []

    def open_page(made: dict[str, Any], before: dict[str, Any] | None = None, **options: Any) -> Page:
        path = tmp_path / "mesh.html"
        path.write_bytes(mesh_page(made, before))
        contexts.append(browser.new_context(viewport={"width": 1360, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def details(page: Page) -> str:
    """What the page says of the edge that is looked at."""
    return f"{page.inner_text('#edge-title')}\n{page.inner_text('#details')}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_anybody_from_using_the_page(opened: Open, scheme: str) -> None:
    page = opened(BROKEN, SMALL, color_scheme=scheme)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_the_broken_edge_is_in_the_headline_and_one_click_shows_why(opened: Open) -> None:
    page = opened(ONE_BROKEN)
    assert page.inner_text("h1") == "✕ node2 does not reach node3."
    page.click("#wrong button")
    assert details(page).startswith("node2 → node3\n")
    for words in ("not reached", "timeout", "no answer within 3 s", "9.71 s"):
        assert words in details(page)


def test_the_pointer_on_a_cell_shows_its_edge_and_a_click_keeps_it(opened: Open) -> None:
    page = opened(SMALL)
    box = page.locator("#cursor").bounding_box()
    assert box
    # The last cell is that of a node to itself; left of it is the edge to the second node.
    page.mouse.move(box["x"] + box["width"] - 70, box["y"] + box["height"] - 20)
    assert details(page).startswith("node3 → node2\n")
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] - 70, box["y"] + box["height"] - 70 - 46)
    assert details(page).startswith("node3 → node2\n")


def test_the_matrix_is_walked_with_the_arrow_keys_and_said_aloud(opened: Open) -> None:
    page = opened(ONE_BROKEN)
    page.focus("#cursor")
    page.keyboard.press("Enter")
    assert page.inner_text("#says") == "node2 to node3: not reached"
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#says").startswith("node1 to node3: ")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#says").startswith("node1 to node2: ")
    page.keyboard.press("Escape")
    assert page.inner_text("#edge-title") == "Edge"


def test_n_goes_from_one_bad_edge_to_the_next(opened: Open) -> None:
    page = opened(report(20, _broken))
    page.keyboard.press("n")
    assert details(page).startswith("node07 → node03\n")
    page.keyboard.press("n")
    assert details(page).startswith("node02 → node09\n")
    page.keyboard.press("n")
    assert details(page).startswith("node07 → node03\n")


def test_a_slash_searches_and_escape_shows_all_again(opened: Open) -> None:
    page = opened(BROKEN)
    page.keyboard.press("/")
    page.keyboard.type("node07")
    expect(page.locator("[data-row]:visible")).to_have_count(1)
    assert all("node07" in row for row in page.locator("#rows th").all_inner_texts())
    page.keyboard.press("Escape")
    assert page.locator("[data-row]:visible").count() == 20


def test_of_a_thousand_nodes_those_in_trouble_are_shown_first_and_can_be_left(opened: Open) -> None:
    page = opened(LARGE)
    assert page.input_value("#show") == "trouble"
    assert page.inner_text("h1") in ("✕ node0611 is down.", "✕ node0611 is down and node0001 does not reach node0002.")
    assert "of 1,000 nodes" in page.inner_text("#shown")
    page.select_option("#show", "all")
    assert page.inner_text("#shown") == ""
    page.click("#more")
    assert page.locator("#rows tr").count() == 200


def test_what_changed_can_be_shown_alone(opened: Open) -> None:
    page = opened(ONE_BROKEN, SMALL)
    assert page.inner_text("#changes li") == "↓ node2 → node3 is no longer reached"
    page.select_option("#show", "changed")
    assert page.locator("#rows th").all_inner_texts() == ["node2 → node3"]
    page.click("#rows button")
    assert "Before" in details(page)


def test_cells_that_are_not_reached_are_red_with_a_sign_and_those_that_are_good_are_not(opened: Open) -> None:
    page = opened(ONE_BROKEN)
    # The colours of the third cell of the second row: its corner, and the sign in its middle.
    corner, middle = page.evaluate(
        """() => {
          const canvas = document.getElementById("cells"), pen = canvas.getContext("2d");
          const cell = 46, right = canvas.width - 2 - cell, y = canvas.height - 2 - 2 * cell;
          const at = (x, y) => [...pen.getImageData(x, y, 1, 1).data.slice(0, 3)];
          return [at(right + 3, y + 3), at(right + 22, y + 22)];
        }"""
    )
    assert corner == [0xC0, 0x1C, 0x28]
    assert middle == [0xFF, 0xFF, 0xFF]


def test_without_scripts_the_page_says_what_is_wrong(browser: Browser, opened: Open) -> None:
    page = opened(BROKEN, java_script_enabled=False)
    listed = page.inner_text("#wrong")
    for words in ("node11 its node is not running", "node07 → node03 not reached", "node02 → node09 not let in"):
        assert words in listed


def test_a_name_that_is_markup_is_text_everywhere(opened: Open) -> None:
    name = "<img src=x onerror=document.title='taken'>"
    made = report(3, one_way(1, 2))
    made["nodes"][0].update(name=name, groups=[name])
    page = opened(made)
    page.keyboard.press("n")
    assert name in page.inner_text("#edge-title")
    assert page.locator("img").count() == 0
    assert "taken" not in page.title().replace(name, "")
