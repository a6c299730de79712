# SPDX-License-Identifier: MIT
"""How many dials at once: fewer while this machine itself is too slow for them.

Without this a machine that starves makes no progress at all: its dials share the little time there is, all run into
their limit together, and open the circuits of peers that are well.
"""

from __future__ import annotations

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.protocols import DialError

MAX_DIALS = 16
"""Dials in flight at once: enough to hide one peer's silence behind the others, few enough that a dead network
costs the work of 16 and not of all peers."""

LATE = 0.25
"""Seconds by which a dial may end after its limit. When it is more, this program did not get to look at what had come
in: that the time is over says nothing about the peer."""


class Pace:
    """The dials that may be in flight: halved by each that ended late, one more for each that succeeded.

    Attributes:
        most: how many, from 1 to MAX_DIALS.
    """

    def __init__(self) -> None:
        self.most = MAX_DIALS

    def succeeded(self) -> None:
        """A dial brought a connection."""
        self.most = min(self.most + 1, MAX_DIALS)

    def failed(self, error: DialError, seconds: float) -> DialError:
        """Return the error of a dial that took `seconds`: one of this machine, where it is the machine's."""
        if error.kind != "timeout" or seconds <= DIAL_TIMEOUT + LATE:
            return error
        self.most = max(1, self.most // 2)
        return DialError("local", f"this machine is too busy: a dial ended {seconds - DIAL_TIMEOUT:.1f} s late")
