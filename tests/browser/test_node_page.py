# SPDX-License-Identifier: MIT
"""The page of a running node in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from tests.browser.statuses import status_page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_anybody_from_using_the_page_of_a_node(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "node.html"
    path.write_bytes(status_page())
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(path.as_uri())
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    context.close()
    assert found.violations_count == 0, found.generate_report()
