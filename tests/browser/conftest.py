# SPDX-License-Identifier: MIT
"""Pages in a real browser without a window: Debian's Chromium, or Chrome."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


# Not for the session: while Playwright runs, its event loop stands in the way of the tests that have their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give the browser; skip where there is none. A CI without it fails."""
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs Debian's package chromium, see tools/make-services", pytrace=False)
        pytest.skip("needs Debian's package chromium, see tools/make-services")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root; the pages are ours.
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()
