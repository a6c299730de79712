# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing this says in one line what to install where the controller's Python half is missing or of another version.

Every plugin imports it before it imports the package. The two halves have one version, and a release changes both.
"""

from __future__ import annotations

import sys

from ansible.errors import AnsibleError

VERSION = "0.1.0"
"""Version of the collection, and of the package `blixard` that it works with."""


def _trouble() -> str | None:
    """Return what is wrong with the package in the environment of this Python, if anything is."""
    try:
        from blixard import __version__ as found
    except ImportError:
        return "is missing"
    if found != VERSION:
        return f"is version {found}"
    try:
        import jsonschema  # noqa: F401
    except ImportError:
        return "lacks what a controller needs"
    return None


if trouble := _trouble():
    raise AnsibleError(
        f"blixard.fleet {VERSION} needs the Python package blixard {VERSION}, which {trouble} on the controller; run:"
        f" {sys.executable} -m pip install 'blixard[controller]=={VERSION}'"
    )
