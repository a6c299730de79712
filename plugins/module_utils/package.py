# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python package that the collection needs, and the line that says how to install it."""

from __future__ import annotations

import sys

VERSION = "0.1.0"
"""Version of the collection and of its package `blixard`; a release changes both."""


def found() -> str | None:
    """Return the version of the package in this Python's environment; None where it is missing."""
    try:
        from blixard import __version__
    except ImportError:
        return None
    return str(__version__)


def to_install(place: str, extra: str = "") -> str:
    """Return one line that names what is missing at `place`, such as "on node1", and the command that installs it."""
    here = found()
    state = "is missing" if here is None else f"is version {here}" if here != VERSION else "lacks what it needs"
    return (
        f"blixard.fleet {VERSION} needs the Python package blixard {VERSION}, which {state} {place};"
        f" run: {sys.executable} -m pip install 'blixard{extra}=={VERSION}'"
    )
